// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"ocm"
)

func TestWording(t *testing.T) {
	t.Parallel()
	noFile := &fs.PathError{Op: "statat", Path: "a.txt", Err: syscall.ENOENT}
	refused := errors.New("registry h:1: HEAD http://h:1/v2/: nobody listens on h:1: dial tcp 127.0.0.1:1: connect: connection refused")
	tests := []struct {
		err  error
		want string
	}{
		{errors.New(""), ""},
		{fmt.Errorf("./x: no such folder or archive: %w", ocm.ErrNotFound), "./x: no such folder or archive"},
		{fmt.Errorf("no component version: ./x: %w", ocm.ErrNotFound), "no component version: ./x: not found"},
		{fmt.Errorf("manifest %q: %w", "is not 1.0.0", ocm.ErrNotFound), `manifest "is not 1.0.0": not found`},
		{fmt.Errorf("version %q: expected 1.0.0: %w", "x", ocm.ErrInvalid), `version "x": expected 1.0.0`},
		{fmt.Errorf("name %q: %w", "x", ocm.ErrInvalid), `name "x": invalid`},
		{errors.Join(fmt.Errorf("a: b is missing: %w", ocm.ErrInvalid), ocm.ErrInvalid), "a: b is missing\ninvalid"},
		{fmt.Errorf("the key is wrong: %w", ocm.ErrSignature), "the key is wrong: signature verification failed"},
		{fmt.Errorf("file /d/a.txt: %w", noFile), "file /d/a.txt: no such file or directory"},
		{fmt.Errorf("file: %w", noFile), "file: statat a.txt: no such file or directory"},
		{refused, "registry h:1: HEAD http://h:1/v2/: nobody listens on h:1"},
		{fmt.Errorf("reference %q: expected //, for example acme.org/app:1.0.0: %w", "./a", ocm.ErrInvalid), `reference "./a": expected //, for example acme.org/app:1.0.0`},
		{errors.New("source: acme.org/app:1.0.0: acme.org/app:1.0.0: signatures: bad"), "source: acme.org/app:1.0.0: signatures: bad"},
		{errors.New(`uploader type "x": unknown type (known: )`), `uploader type "x": unknown type (none is known, plugins bring them)`},
		{errors.New(`input type "x": unknown type (known: Dir, Dir/v1, UTF8, dir, dir/v1, utf8)`), `input type "x": unknown type (known: dir, utf8)`},
	}
	for _, tt := range tests {
		if got := wording(tt.err); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}
