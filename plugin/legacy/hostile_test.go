// SPDX-License-Identifier: Apache-2.0

package legacy_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/internal/fixture"
	"ocm/plugin/legacy"
)

// What a plugin answers is refused, with its name, and it goes on working.
func TestHostile(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	home := fixture.Must[string](t)(os.UserHomeDir())
	kit, s, _ := alone(t, "hostile", legacy.Options{})
	for what, want := range map[string]error{
		"at /etc/shadow":            ocm.ErrDenied,
		"at /etc/passwd":            ocm.ErrDenied,
		"at /proc/self/environ":     ocm.ErrDenied,
		"at /dev/zero":              ocm.ErrDenied,
		"at /tmp/../etc/passwd":     ocm.ErrDenied,
		"at " + home + "/.ssh/id":   ocm.ErrDenied,
		"at /":                      ocm.ErrDenied,
		"at etc/passwd":             ocm.ErrInvalid,
		"at ":                       ocm.ErrInvalid,
		"at /tmp/a\x00b":            ocm.ErrInvalid,
		"at /tmp/no-such-file-here": ocm.ErrNotFound,
		"fifo":                      ocm.ErrInvalid,
		"link /etc/passwd":          ocm.ErrInvalid,
		"folder":                    ocm.ErrInvalid,
		"flood":                     ocm.ErrLimit,
		"status":                    nil,
		"redirect " + elsewhere.URL: nil,
		"pipe":                      errors.ErrUnsupported,
		"media application/vnd.oci.image.manifest.v1+json": ocm.ErrInvalid,
		"media text/plain\x1b[2J":                          ocm.ErrInvalid,
		"escape":                                           nil,
		"nonsense {":                                       ocm.ErrInvalid,
		"nonsense []":                                      ocm.ErrInvalid,
		"nonsense {\"location\":7}":                        ocm.ErrInvalid,
		"nonsense " + strings.Repeat("[", 20000):           ocm.ErrInvalid,
		"nothing":                                          ocm.ErrInvalid,
	} {
		t.Run(what[:min(len(what), 30)], func(t *testing.T) {
			_, err := echoed(t, kit, nil, what)
			if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), "plugin hostile") {
				t.Errorf("expected %v, found %v", want, err)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\u202e\x00") {
				t.Errorf("the error controls the terminal: %q", err)
			}
		})
	}
	if n := s.started.Load(); n != 1 {
		t.Errorf("%d processes", n)
	}
}

// A plugin that does not answer is not waited for for ever, and less if whoever asks has gone.
func TestHangs(t *testing.T) {
	t.Parallel()
	kit, _, _ := alone(t, "hostile", legacy.Options{Timeout: 50 * time.Millisecond})
	_, err := echoed(t, kit, nil, "hang")
	fixture.WantErr(t, err, context.DeadlineExceeded, "plugin hostile")
	kit, _, _ = alone(t, "hostile", legacy.Options{})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("gone"))
	defer cancel()
	_, err = fixture.Must[ocm.Opener](t)(kit.Access.For("echo/v1")).Open(ctx, nil, spec(t, "echo/v1", "text", "hang"))
	if err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("expected the cause, found %v", err)
	}
}

// A file that was there before the call stays, also in the folder for temporary files.
func TestOldFilesStay(t *testing.T) {
	t.Parallel()
	kit, _, _ := alone(t, "hostile", legacy.Options{})
	dir := fixture.Must[string](t)(os.MkdirTemp("", "l"))
	t.Cleanup(func() { os.RemoveAll(dir) })
	direct := fixture.Must[*os.File](t)(os.CreateTemp("", "l"))
	t.Cleanup(func() { os.Remove(direct.Name()) })
	direct.Close()
	below := filepath.Join(dir, "kept")
	hour := time.Now().Add(-time.Hour)
	for _, path := range []string{direct.Name(), below} {
		if err := errors.Join(os.WriteFile(path, []byte("old"), 0o600), os.Chtimes(path, hour, hour)); err != nil {
			t.Fatal(err)
		}
		if got, err := echoed(t, kit, nil, "at "+path); err != nil || got != "old" {
			t.Errorf("%q %v", got, err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(direct.Name(), []byte("new"), 0o600); err != nil { // as if the plugin had just written it
		t.Fatal(err)
	}
	now := time.Now().Add(time.Second)
	if err := os.Chtimes(direct.Name(), now, now); err != nil {
		t.Fatal(err)
	}
	if got, err := echoed(t, kit, nil, "at "+direct.Name()); err != nil || got != "new" {
		t.Errorf("%q %v", got, err)
	}
	if _, err := os.Stat(direct.Name()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file that was made for the answer is still there: %v", err)
	}
}
