// SPDX-License-Identifier: Apache-2.0

//go:build unix

package installed

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"ocm"

	"ocm/internal/fixture"
)

// What is no file is neither a record nor a program: a pipe would be waited for, and a link that leads nowhere is no missing record, with
// which a program runs unchecked.
func TestIrregularFiles(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(at string) error{
		"pipe":   func(at string) error { return syscall.Mkfifo(at, 0o600) },
		"link":   func(at string) error { return os.Symlink(filepath.Join(t.TempDir(), "nowhere"), at) },
		"device": func(at string) error { return os.Symlink("/dev/zero", at) },
		"folder": func(at string) error { return os.Mkdir(at, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "program")
			if err := errors.Join(fixture.Program(path, nil), put(recordOf(path))); err != nil {
				t.Fatal(err)
			}
			if r, err := Check(path); !errors.Is(err, ocm.ErrInvalid) {
				t.Errorf("record: %v %v", r, err)
			}
			other := filepath.Join(t.TempDir(), "program")
			if err := put(other); err != nil {
				t.Fatal(err)
			}
			if r, err := Check(other); r != nil || err == nil {
				t.Errorf("program: %v %v", r, err)
			}
		})
	}
}
