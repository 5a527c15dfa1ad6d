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

// HasLocks tells whether processes that write one directory wait for each other. Where it is false, as on Windows, only one
// process may write a directory at a time; whoever runs several has to see to that.
const HasLocks = true

// openSafely is for names that may have become a pipe or a link.
const openSafely = unix.O_NOFOLLOW | unix.O_NONBLOCK

// ownedAlone reports whether a file is ours and has no second name.
func ownedAlone(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 1 && int(st.Uid) == os.Geteuid()
}

// tryLock takes the advisory lock of an open file or folder, and reports whether it was free.
// Closing the file gives it back; so does the end of the process.
func tryLock(f *os.File) (bool, error) { return flock(f, unix.LOCK_EX) }

// tryShare is tryLock for those who only keep away who wants the lock alone.
func tryShare(f *os.File) (bool, error) { return flock(f, unix.LOCK_SH) }

func flock(f *os.File, how int) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		default:
			return err == nil, err
		}
	}
}

// allowReplacing has nothing to do here: the directory's mode decides who may rename over a file.
func allowReplacing(*os.Root, string) {}
