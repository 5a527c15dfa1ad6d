// SPDX-License-Identifier: Apache-2.0

package input

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ocm"
	"ocm/internal/fixture"
)

func TestGitOnThisMachine(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not on PATH")
	}
	env := workspace(t)
	outside := filepath.Dir(env.Dir)
	git := func(dir string, args ...string) string { return fixture.Must[string](t)(fixture.GitRun(dir, args...)) }
	repo := filepath.Join(env.Dir, "d")
	must(t, os.RemoveAll(filepath.Join(repo, "way"))) // leads out of it
	for _, dir := range []string{repo, outside} {
		git(dir, "init", "-q", "-b", "main")
		git(dir, "add", ".")
		git(dir, "commit", "-qm", "one")
	}
	commit := git(repo, "rev-parse", "HEAD")
	must(t, os.WriteFile(filepath.Join(repo, "later"), nil, 0o644)) // is not committed
	want := ""
	for _, spec := range []string{"repository: d", "repository: ./d, ref: main", "repository: " + repo, "repository: file://" + repo + ", ref: refs/heads/main", "repository: d/.git, commit: " + commit} {
		c, err := open(t, env, "{type: git, "+spec+"}")
		must(t, err)
		got := read(t, c)
		if want == "" {
			want = got
		}
		if got != want || len(got) < 100 || c.Root.MediaType != "application/x-tgz" {
			t.Errorf("%s: found %d bytes, %+v", spec, len(got), c.Root)
		}
	}
	for spec, text := range map[string]string{
		"repository: ..":            "leaves the directory",
		"repository: up":            "escapes",
		"repository: " + outside:    "leaves the directory",
		"repository: file:///etc":   "leaves the directory",
		"repository: d, commit: x":  "expected 40 or 64",
		"repository: d, ref: 'a b'": "ref",
		"repository: d, branch: x":  "branch",
		"ref: main":                 "repository is missing",
	} {
		_, err := open(t, env, "{type: git, "+spec+"}")
		if err == nil {
			t.Fatalf("%s: no error", spec)
		}
		if text != "escapes" {
			wantError(t, err, ocm.ErrInvalid, text)
		}
	}
	_, err := open(t, env, "{type: git, repository: none}")
	wantError(t, err, ocm.ErrNotFound, "none")
	_, err = open(t, env, "{type: git, repository: d/sub}")
	wantError(t, err, ocm.ErrNotFound, "no git repository")
}
