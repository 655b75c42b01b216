// Package whole tests what a Mac runs, but for Objective-C and the GPU: graphs, the Metal
// backend, the files of package mtl, the fake runtime of package objcfake, and on the CPU
// the real kernels. Its tests are built with the tag metalemu. They are a package of their
// own because a process has one GPU.
package whole
