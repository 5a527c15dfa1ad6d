// SPDX-License-Identifier: Apache-2.0

//go:build unix

package blob

import (
	"path/filepath"
	"syscall"
	"testing"

	"ocm"
)

// TestNamedPipe: opening a pipe would wait for a writer for ever.
func TestNamedPipe(t *testing.T) {
	t.Parallel()
	root := tree(t, "f")
	must(t, syscall.Mkfifo(filepath.Join(root, "p"), 0o600))
	_, err := File(filepath.Join(root, "p"), "")
	wantError(t, err, ocm.ErrInvalid, "a named pipe")
	c, err := TarDir(root, DirOptions{})
	must(t, err)
	_, err = read(c)
	wantError(t, err, ocm.ErrInvalid, "p: ", "a named pipe")
	c, err = TarDir(root, DirOptions{Include: []string{"f"}})
	must(t, err)
	readContent(t, c)
}
