// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ctf

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// haveLocks tells whether a lock keeps others away.
const haveLocks = true

// openSafely is for names that may have become a pipe or a link.
const openSafely = unix.O_NOFOLLOW | unix.O_NONBLOCK

// ownedAlone reports whether a file is ours and has no second name.
func ownedAlone(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 1 && int(st.Uid) == os.Geteuid()
}

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
