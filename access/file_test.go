// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ocm"
	"ocm/access"
	"ocm/internal/accesstest"
)

func TestFile(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{dir + "/sub/in.txt": "inside", outside + "/out.txt": "outside"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, dir+"/link"); err != nil {
		t.Fatal(err)
	}
	env := &ocm.Env{Dir: dir}
	accesstest.Run(t, accesstest.Case{
		Method: access.File, Env: env, WantType: "text/plain", Want: []byte("inside"),
		Good:    map[string]any{"path": "sub/in.txt", "mediaType": "text/plain"},
		Missing: []map[string]any{{"path": "sub/gone.txt"}},
		Wrong:   []map[string]any{{"path": "../x"}, {"path": ""}, {"path": outside + "/out.txt"}, {"uri": "file:sub/in.txt"}},
	})
	for raw, want := range map[string]error{
		`{"type":"file","uri":"file:sub/in.txt"}`:                               nil,
		`{"type":"file","uri":"file://` + dir + `/sub/in.txt"}`:                 nil,
		`{"type":"file","path":"` + dir + `/sub/in.txt"}`:                       nil,
		`{"type":"file","path":"link/out.txt"}`:                                 ocm.ErrInvalid,
		`{"type":"file","path":"sub"}`:                                          ocm.ErrInvalid,
		`{"type":"file","uri":"https://host/x"}`:                                ocm.ErrInvalid,
		`{"type":"file","uri":"file://host/sub/in.txt"}`:                        ocm.ErrInvalid,
		`{"type":"file","uri":"file:%zz"}`:                                      ocm.ErrInvalid,
		`{"type":"file","uri":"file:///../` + filepath.Base(outside) + `/out"}`: ocm.ErrInvalid,
	} {
		if _, err := access.File.Open(t.Context(), env, spec(t, raw)); !errors.Is(err, want) {
			t.Errorf("%s: expected %v, found %v", raw, want, err)
		}
	}
}

// Without a folder that the user gave, nothing of this computer is read, whatever a descriptor says.
func TestFileOfADescriptorIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range []*ocm.Env{nil, {}} {
		for _, raw := range []string{`{"type":"file","path":"file_test.go"}`, `{"type":"File/v1alpha1","path":"` + file + `"}`, `{"type":"file","uri":"file://` + file + `"}`} {
			if _, err := access.File.Open(t.Context(), env, spec(t, raw)); !errors.Is(err, ocm.ErrDenied) {
				t.Errorf("%s: %v", raw, err)
			}
		}
	}
}
