// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncTogether writes everything of the file system of dir to the disk: one wait instead of one for
// each of many small files.
func syncTogether(dir *os.Root) (done bool, err error) {
	f, err := dir.Open(".")
	if err != nil {
		return false, err
	}
	defer f.Close()
	return true, unix.Syncfs(int(f.Fd()))
}
