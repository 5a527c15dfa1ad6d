// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"os"
	"path/filepath"
	"testing"

	"ocm/ctf"
	"ocm/internal/fixture"
	"ocm/transfer"
)

// The transfer that made an archive makes it whole again, whatever file got lost or was cut.
func TestLostContentIsCopiedAgain(t *testing.T) {
	t.Parallel()
	from := repository(fixture.Must[*ctf.Store](t)(ctf.Open(t.TempDir())))
	a := write(t, from, "acme.org/app", "1.0.0", nil)
	a.resource("text", text("some text"))
	a.resource("image", fixture.Image("a layer"))
	a.resource("images", fixture.Index("another layer"))
	a.commit()
	dir := t.TempDir()
	run := func() (*transfer.Summary, error) {
		to := repository(fixture.Must[*ctf.Store](t)(ctf.Open(dir)))
		defer to.Close()
		return moveAll(t, from, to)
	}
	fixture.Must[*transfer.Summary](t)(run())
	for _, content := range []string{"some text", "a layer", "another layer"} {
		path := fileWith(t, dir, content)
		for how, damage := range map[string]func() error{
			"lost": func() error { return os.Remove(path) },
			"cut":  func() error { return os.Truncate(path, 3) },
		} {
			os.Chmod(path, 0o600)
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			if s := fixture.Must[*transfer.Summary](t)(run()); s.Written != 1 {
				t.Errorf("%s, %s: expected that it is written again, found %+v", content, how, s)
			}
			if got := fixture.Must[[]byte](t)(os.ReadFile(path)); string(got) != content {
				t.Errorf("%s, %s: found %q", content, how, got)
			}
			if s := fixture.Must[*transfer.Summary](t)(run()); s.Written != 0 {
				t.Errorf("%s, %s: afterwards %+v", content, how, s)
			}
		}
	}
}

// fileWith is the blob file with this content.
func fileWith(t *testing.T, dir, content string) string {
	t.Helper()
	for _, f := range fixture.Must[[]string](t)(filepath.Glob(filepath.Join(dir, "blobs", "*"))) {
		if raw := fixture.Must[[]byte](t)(os.ReadFile(f)); string(raw) == content {
			return f
		}
	}
	t.Fatalf("no blob has %q", content)
	return ""
}
