// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ocm"
)

// What a recipe may ask for.
const (
	maxRecipe = 64 << 10
	maxID     = 1<<32 - 2 // of users and groups; the last number means "nobody is named" to the kernel
)

// recipe says what stands in an image of packages. It is a text of lines; # begins a comment.
//
//	package NAME[=VERSION]...             wanted, with what it depends on; without any, all packages of the folder are
//	without NAME|/PATTERN...              not wanted: a package, with what only it depends on; files, by their path or that of a folder
//	version NAME                          the image has the version of this package, as a label
//	account NAME NUMBER HOME              a user and a group of that number
//	folder PATH NUMBER MODE               an empty folder, and whose it is
//	link PATH TARGET                      a symbolic link
type recipe struct {
	packages []string
	without  []string
	patterns []string
	version  string
	accounts []account
	folders  []folder
	links    [][2]string
}

type account struct {
	name, home string
	id         int
}

type folder struct {
	path string
	id   int
	mode int64
}

// Names of packages and versions as Debian's policy has them (5.6.1, 5.6.12), of accounts as its tools take them.
var (
	packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]{1,127}$`)
	versionName = regexp.MustCompile(`^[0-9][A-Za-z0-9.+~:-]{0,127}$`)
	accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
)

// parseRecipe reads a recipe. Errors name the line.
func parseRecipe(text []byte) (recipe, error) {
	var r recipe
	if len(text) > maxRecipe {
		return r, fmt.Errorf("a recipe has at most %d bytes: %w", maxRecipe, ocm.ErrLimit)
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if !r.line(words[0], words[1:]) {
			return recipe{}, fmt.Errorf("line %d is not understood: %.200q: %w", number, strings.Join(words, " "), ocm.ErrInvalid)
		}
	}
	return r, nil
}

// line takes one line, and says whether it makes sense.
func (r *recipe) line(verb string, args []string) bool {
	switch {
	case verb == "package" && len(args) > 0:
		r.packages = append(r.packages, args...)
		return !slices.ContainsFunc(args, func(s string) bool {
			name, version, pinned := strings.Cut(s, "=")
			return !packageName.MatchString(name) || pinned && !versionName.MatchString(version)
		})
	case verb == "without" && len(args) > 0:
		for _, a := range args {
			if p, ok := strings.CutPrefix(a, "/"); ok {
				r.patterns = append(r.patterns, p)
				if _, err := path.Match(p, ""); err != nil {
					return false
				}
			} else if r.without = append(r.without, a); !packageName.MatchString(a) {
				return false
			}
		}
		return true
	case verb == "version" && len(args) == 1 && r.version == "":
		r.version = args[0]
		return packageName.MatchString(r.version)
	case verb == "account" && len(args) == 3:
		id, err := strconv.ParseUint(args[1], 10, 32)
		r.accounts = append(r.accounts, account{args[0], args[2], int(id)}) //nolint:gosec // 32 bits
		return err == nil && id <= maxID && accountName.MatchString(args[0]) && path.IsAbs(args[2]) && !strings.Contains(args[2], ":")
	case verb == "folder" && len(args) == 3:
		id, err := strconv.ParseUint(args[1], 10, 32)
		mode, err2 := strconv.ParseUint(args[2], 8, 16)
		r.folders = append(r.folders, folder{strings.TrimPrefix(args[0], "/"), int(id), int64(mode)}) //nolint:gosec // as above
		return err == nil && err2 == nil && id <= maxID && mode <= 0o1777 && path.IsAbs(args[0])
	case verb == "link" && len(args) == 2:
		r.links = append(r.links, [2]string{strings.TrimPrefix(args[0], "/"), args[1]})
		return path.IsAbs(args[0])
	}
	return false
}

// documents stand in nearly every package and are of no use to a program. Licences are: they go where the files go.
var documents = []string{"usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug"}

// leftOut says whether the recipe does without a path.
func (r recipe) leftOut(name string) bool {
	for _, p := range documents {
		if (name == p || strings.HasPrefix(name, p+"/")) && path.Base(name) != "copyright" {
			return true
		}
	}
	for ; name != "." && name != "/"; name = path.Dir(name) {
		for _, p := range r.patterns {
			if ok, err := path.Match(p, name); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// inFolder are all packages of a folder, in the order of their names.
func (r recipe) inFolder(dir string) ([]deb, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no packages (*.deb) in %s, and the recipe names none: %w", dir, ocm.ErrNotFound)
	}
	slices.Sort(paths)
	var debs []deb
	for _, p := range paths {
		debs = append(debs, deb{path: p, layer: wanted})
	}
	return debs, nil
}

// extend adds what no package brings.
func (r recipe) extend(t *tree) error {
	for _, l := range r.links {
		if err := t.addLink(l[0], l[1], top); err != nil {
			return err
		}
	}
	for _, f := range r.folders {
		if err := t.add(f.path, entry{kind: tar.TypeDir, mode: f.mode, uid: f.id, gid: f.id, layer: top}); err != nil {
			return err
		}
	}
	if len(r.accounts) == 0 {
		return nil
	}
	var users, groups strings.Builder
	for _, a := range slices.Concat([]account{{"root", "/root", 0}}, r.accounts, []account{{"nobody", "/nonexistent", 65534}}) {
		fmt.Fprintf(&users, "%s:x:%d:%d:%s:%s:/usr/sbin/nologin\n", a.name, a.id, a.id, a.name, a.home)
		fmt.Fprintf(&groups, "%s:x:%d:\n", a.name, a.id)
	}
	if err := t.add("etc/passwd", file(top, 0o644, []byte(users.String()))); err != nil {
		return err
	}
	return t.add("etc/group", file(top, 0o644, []byte(groups.String())))
}
