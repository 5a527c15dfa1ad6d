// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"ocm/internal/fixture"
)

// scriptDockerd starts a server of Docker's protocol that has images, each with one layer, which are named
// NAME:TAG=ARCHITECTURE, and sets DOCKER_HOST. With a file it writes what docker save would, before version 25 or,
// with -new, since then:
//
//	dockerd [-new] NAME:TAG=ARCHITECTURE...
//	dockerd -save FILE [-new] NAME:TAG=ARCHITECTURE
func scriptDockerd(ts *testscript.TestScript, neg bool, args []string) {
	file := ""
	if len(args) > 1 && args[0] == "-save" {
		file, args = args[1], args[2:]
	}
	since25 := len(args) > 0 && args[0] == "-new"
	if since25 {
		args = args[1:]
	}
	if neg || len(args) == 0 || file != "" && len(args) > 1 {
		ts.Fatalf("usage: dockerd [-save FILE] [-new] NAME:TAG=ARCHITECTURE...")
	}
	dir, err := os.MkdirTemp("", "d") // the path of a socket is short
	ts.Check(err)
	ts.Defer(func() { os.RemoveAll(dir) })
	for _, arg := range args {
		name, arch, _ := strings.Cut(arg, "=")
		raw, root := fixture.DockerSave(since25, name, arch, "hello from "+arch)
		path := filepath.Join(dir, strings.NewReplacer("/", "_", ":", "_").Replace(name)+".tar")
		if file != "" {
			path = ts.MkAbs(file)
		}
		ts.Check(os.WriteFile(path, raw, 0o600))
		ts.Setenv("IMAGE", root.Digest.String())
	}
	if file != "" {
		return
	}
	socket, stop, err := fixture.DockerProtocolServer(dir)
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv("DOCKER_HOST", "unix://"+socket)
}
