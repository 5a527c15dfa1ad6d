// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// marker is a file that says that a folder is that of a run, which the next one may remove.
const marker = ".sovereign-run"

// lab is the folder of a run.
type lab struct {
	root       string // of the project
	dir        string
	build      string // $BUILD: a copy of conformance/sovereign
	site       string // $SITE: empty, but for what is carried
	images     string // $IMAGES: what was built beforehand
	archive    string // $CONTROLLERS: the component of our controllers
	tools      string // programs that an administrator of the target has
	cluster    string // what the cluster writes
	kubeconfig string // of its administrator, once it runs
	nodeDisk   string // $NODE_DISK: where containers and images are
	log        string
}

// newLab makes the folders of a run, and removes those of an earlier one.
func newLab(o options) (*lab, error) {
	l := &lab{root: o.root, dir: o.dir}
	if entries, err := os.ReadDir(l.dir); err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(l.dir, marker)); err != nil {
			return nil, fmt.Errorf("%s is not a folder of an earlier run, and stays: choose another by -dir", l.dir)
		}
		if err := os.RemoveAll(l.dir); err != nil {
			return nil, err
		}
	}
	for path, name := range map[*string]string{
		&l.build: "build", &l.site: "site", &l.tools: "tools", &l.cluster: "cluster", &l.nodeDisk: "disk", &l.log: "log",
	} {
		*path = filepath.Join(l.dir, name)
		if err := os.MkdirAll(*path, 0o755); err != nil {
			return nil, err
		}
	}
	for _, s := range []side{build, target} {
		if err := os.MkdirAll(l.home(s), 0o700); err != nil {
			return nil, err
		}
	}
	// A module of its own: the copies of sources must not be taken for packages of this one.
	for name, text := range map[string]string{marker: "", "go.mod": "module lab\n"} {
		if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	l.images, l.archive = filepath.Join(l.root, "bin", "sovereign", "images"), filepath.Join(l.root, "bin", "sovereign", "controller", "archive")
	if err := os.CopyFS(l.build, os.DirFS(filepath.Join(l.root, "conformance", "sovereign"))); err != nil {
		return nil, err
	}
	return l, l.copyTool("kubectl")
}

// copyTool gives the target a program that it has of its own.
func (l *lab) copyTool(name string) error {
	program, err := os.ReadFile(filepath.Join(l.root, "bin", "k8s", name))
	if err != nil {
		return fmt.Errorf(`%w; run "make k8s-binaries"`, err)
	}
	return os.WriteFile(filepath.Join(l.tools, name), program, 0o755) //nolint:gosec // a program
}

func (l *lab) home(s side) string { return filepath.Join(l.dir, "home-"+string(s)) }

// hidden is what nobody in the target can see. What does not exist cannot be seen anyway.
func (l *lab) hidden() (all []string) {
	for _, dir := range []string{l.build, l.home(build), l.images, filepath.Dir(l.archive)} {
		if _, err := os.Stat(dir); err == nil {
			all = append(all, dir)
		}
	}
	return all
}

// folder is where the blocks of a side begin.
func (l *lab) folder(s side) string {
	if s == target {
		return l.site
	}
	return l.build
}

// environment is all that the blocks of a side know.
func (l *lab) environment(s side) []string {
	const system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	bin := filepath.Join(l.root, "bin")
	env := []string{"LANG=C.UTF-8", "HOME=" + l.home(s), "TMPDIR=" + l.home(s)}
	switch s {
	case target:
		return append(env, "SITE="+l.site, "PATH="+filepath.Join(l.site, "bin")+":"+l.tools+":"+system,
			"KUBECONFIG="+l.kubeconfig, "NODE_DISK="+l.nodeDisk)
	case carry:
		env = append(env, "SITE="+l.site)
	}
	return append(env, "BUILD="+l.build, "IMAGES="+l.images, "CONTROLLERS="+l.archive, "CRDS="+filepath.Join(l.root, "bin", "k8s", "crds"),
		"PATH="+bin+":"+filepath.Join(l.root, "bin", "k8s")+":"+system)
}

// size is how many bytes are in a file, or in the files of a folder. What cannot be read, say because it was removed meanwhile, counts nothing.
func size(path string) (n int64) {
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// within makes a path relative to the folder of the run, for people.
func (l *lab) within(path string) string {
	if rel, err := filepath.Rel(l.dir, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}
