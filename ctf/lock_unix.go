// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ctf

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// locksWork: who holds no lock is dead.
const locksWork = true

// tryLock takes the advisory lock of an open file or folder, and reports whether it was free.
// Closing the file gives it back; so does the end of the process.
func tryLock(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		default:
			return err == nil, err
		}
	}
}
