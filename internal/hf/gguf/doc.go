// Package gguf reads and writes GGUF files, the format of llama.cpp, and turns their
// blocks of packed weights into floats and back.
//
// The main types are [File], one mapped file with its [Value] entries and [Tensor] list,
// and [Writer], which writes one. Files are not trusted: every count, length, offset and
// shape is checked before anything is allocated for it. The package makes no arrays and
// knows no model: names are what the file says.
//
// The format, of versions 2 and 3, little-endian: "GGUF", a uint32 version, the uint64
// counts of tensors and of entries, the entries (key, type, value), the tensors' headers
// (name, dimensions with the innermost first, type, offset), and from the next multiple
// of general.alignment on the tensors' bytes. References: ggml's docs/gguf.md and
// ggml-quants.c.
package gguf
