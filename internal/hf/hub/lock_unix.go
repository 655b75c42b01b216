//go:build linux || darwin

package hub

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// tryLock takes the lock of a file as Python's filelock does: flock on a file that
// is made if need be. It returns nil, nil when somebody else has it. A file whose
// holder removed it meanwhile, as new versions of filelock do, is no lock.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			return nil, nil
		}
		return nil, fmt.Errorf("the cache needs a file system that can lock files (HF_HUB_CACHE is another place): %w", &os.PathError{Op: "lock", Path: path, Err: err})
	}
	var held syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &held); err != nil || held.Nlink == 0 {
		f.Close()
		return nil, err
	}
	return f, nil
}

// freeSpace is what an ordinary user can still write to dir, in bytes.
func freeSpace(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
