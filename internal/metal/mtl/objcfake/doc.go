// Package objcfake is an Objective-C runtime for tests: as much of the runtime, of
// Foundation and of Metal as package mtl uses, in memory, and stricter than Apple's. The
// files of mtl run on it on any system, through the names of package objc.
//
// What Apple's runtime answers with a crash, a leak or nothing at all is a fault here,
// with the line that caused it: a selector the object does not have, arguments or results
// of other types than the method's, messages to freed objects, too many releases, objects
// that nobody released, messages outside of an autorelease pool, pools drained by another
// thread, encoders that were not ended or are used after they were, dispatches without a
// pipeline, command buffers whose objects die before they ran.
//
// Types of arguments are written as in Objective-C's type encodings, one letter each:
// @ object, # class, Q NSUInteger, q NSInteger, B BOOL, d double, ^ pointer or block,
// S MTLSize, v nothing. The first letter of a signature is the result's.
//
// The device works at once or when an event allows it, on a goroutine for each queue.
// Kernels are Go functions given to [Runtime.Kernel]. Between barriers dispatches run in
// a random order, as do encoders that no fence orders.
package objcfake
