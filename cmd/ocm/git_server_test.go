// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"ocm/internal/fixture"
)

// scriptCommit commits all files of a folder, which becomes a git repository with the branch main, and sets $COMMIT, or
// another variable:
//
//	commit FOLDER [NAME]
func scriptCommit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: commit FOLDER [NAME]")
	}
	dir := ts.MkAbs(args[0])
	git := func(args ...string) string {
		out, err := fixture.GitRun(dir, args...)
		ts.Check(err)
		return out
	}
	if _, err := os.Stat(filepath.Join(dir, ".git")); err != nil {
		git("init", "-q", "-b", "main")
	}
	git("add", "-A")
	git("commit", "-qm", "changed")
	ts.Setenv(append(args, "COMMIT")[1], git("rev-parse", "HEAD"))
}

// scriptGitServer serves the git repositories in a folder by git's own HTTP server, and sets $GIT to its host:port and $GIT_PORT
// to its port:
//
//	gitserver FOLDER [USER:PASSWORD]
func scriptGitServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: gitserver FOLDER [USER:PASSWORD]")
	}
	user, password, _ := strings.Cut(append(args, "")[1], ":")
	url, stop, err := fixture.GitHTTP(ts.MkAbs(args[0]), user, password)
	serve(ts, "GIT", url, stop, err)
}

// scriptGitHub serves the git repositories OWNER/NAME in a folder as GitHub does, see [fixture.GitHubProtocolServer], and sets
// $GITHUB to its host:port and $GITHUB_PORT to its port:
//
//	github FOLDER [TOKEN]
func scriptGitHub(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: github FOLDER [TOKEN]")
	}
	url, stop, err := fixture.GitHubProtocolServer(ts.MkAbs(args[0]), append(args, "")[1])
	serve(ts, "GITHUB", url, stop, err)
}

func serve(ts *testscript.TestScript, name, url string, stop func(), err error) {
	ts.Check(err)
	ts.Defer(stop)
	at := strings.TrimPrefix(url, "http://")
	_, port, _ := strings.Cut(at, ":")
	ts.Setenv(name, at)
	ts.Setenv(name+"_PORT", port)
}
