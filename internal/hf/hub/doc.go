// Package hub fetches models from the Hugging Face Hub into the cache that
// huggingface_hub keeps, and reads that cache: files that a Python tool fetched are
// used, and what is fetched here serves Python tools.
//
// The cache of a repository org/name is
//
//	models--org--name/blobs/ETAG                      the files, by the Hub's ETag
//	models--org--name/blobs/ETAG.incomplete           a file on its way
//	models--org--name/refs/REVISION                   the commit of a branch or tag
//	models--org--name/snapshots/COMMIT/NAME           links to blobs
//	.locks/models--org--name/ETAG.lock                held (flock) while a blob is written
//
// A snapshot is put in place when all of its files are there and checked.
package hub
