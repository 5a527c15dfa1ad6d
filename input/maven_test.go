// SPDX-License-Identifier: Apache-2.0

package input

import (
	"os"
	"path/filepath"
	"testing"

	"ocm"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
)

func TestMaven(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	repo := filepath.Join(dir, "repo")
	url, stop, err := fixture.Maven(repo)
	must(t, err)
	t.Cleanup(stop)
	must(t, os.Symlink("/etc", filepath.Join(dir, "out")))
	env := &ocm.Env{Dir: dir}
	good := func(name, value string) map[string]any {
		return map[string]any{name: value, "groupId": "org.acme", "artifactId": "app", "version": "1.0", "classifier": "", "extension": "jar"}
	}
	remote, local := good("repoUrl", url+"/open"), good("path", "repo")
	for name, c := range map[string]map[string]any{"remote": remote, "local": local} {
		t.Run(name, func(t *testing.T) {
			test := accesstest.Case{
				Method: ocm.Strict(Maven), Env: env, Good: c, Want: []byte("app-1.0.jar"), WantType: "application/java-archive",
				Missing: []map[string]any{{"version": "9.9"}, {"artifactId": "none"}, {"extension": "none"}},
				Wrong:   []map[string]any{{"groupId": "../x"}, {"unknown": 1}, {"version": ".."}},
			}
			if name == "local" {
				test.Missing = append(test.Missing, map[string]any{"path": "none"})
				test.Wrong = append(test.Wrong, map[string]any{"path": "../repo"}, map[string]any{"path": "out"}, map[string]any{"path": "/etc"}, map[string]any{"repoUrl": url})
			}
			accesstest.Run(t, test)
		})
	}
	_, err = open(t, env, "{type: maven, groupId: org.acme, artifactId: app, version: '1.0'}")
	wantError(t, err, ocm.ErrInvalid, "repoUrl", "path")
	_, err = open(t, env, "{type: maven, repoUrl: 'file:///x', groupId: org.acme, artifactId: app, version: '1.0'}")
	wantError(t, err, ocm.ErrInvalid, "path in place of repoUrl")
	c, err := open(t, env, "{type: maven, path: repo, groupId: org.acme, artifactId: app, version: 2.0-SNAPSHOT, classifier: '', extension: jar}")
	must(t, err)
	if got := read(t, c); got != "app-2.0-20260102.030405-2.jar" {
		t.Errorf("found %q", got)
	}
}
