// SPDX-License-Identifier: Apache-2.0

//go:build unix

package installed

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lock waits until nobody else installs into a folder or removes there, which takes milliseconds. A file system without locks has none. The end
// of the process gives the lock back, too.
func lock(folder string) (unlock func(), err error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	for errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX), unix.EINTR) {
	}
	return func() { f.Close() }, nil
}
