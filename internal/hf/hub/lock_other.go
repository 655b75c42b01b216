//go:build !linux && !darwin

package hub

import (
	"errors"
	"math"
	"os"
	"runtime"
	"time"
)

func tryLock(string) (*os.File, error) {
	return nil, errors.New("files cannot be locked on " + runtime.GOOS + ", so nothing is downloaded")
}

func freeSpace(string) (int64, error) { return math.MaxInt64, nil }

func noSpace(error) bool { return false }

func lastUsed(info os.FileInfo) time.Time { return info.ModTime() }
