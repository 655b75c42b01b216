// Package objc is what package mtl knows of Objective-C: on macOS the objc package of
// darwinkit, elsewhere the fake of package objcfake, under the same names. With it comes
// [Encode], which turns a [Tape] of dispatches into messages, on macOS in C: a message sent
// through darwinkit costs half a microsecond and eight allocations.
package objc
