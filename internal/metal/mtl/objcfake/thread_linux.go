package objcfake

import "golang.org/x/sys/unix"

// thread tells the thread that runs.
func thread() int { return unix.Gettid() }
