// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"ocm"
)

// Layers of an image, from the one that changes least.
const (
	below      = iota // packages that others need
	wanted            // packages that the recipe names
	top               // the program, and what the recipe adds
	layerCount        // how many there are
)

// What a tree may hold. A database with its libraries has 4,000 entries and 90 MB.
const (
	maxEntries = 200_000
	maxTree    = 2 << 30
	maxName    = 4096
	maxLinks   = 40 // that are followed one after the other, as in the kernel
)

// entry is a file, a folder or a symbolic link, by its kind of [tar.Header].
type entry struct {
	kind     byte
	mode     int64 // permissions and the sticky bit, nothing else
	uid, gid int
	link     string // where a link leads, relative to its folder
	content  []byte
	layer    int
	implied  bool // a folder that nobody has named
}

func file(layer int, mode int64, content []byte) entry {
	return entry{kind: tar.TypeReg, mode: mode, content: content, layer: layer}
}

// tree is what stands in an image, by its clean path without a leading slash. No folder of a path is a link, so that a path means
// the same to everybody who unpacks it.
type tree struct {
	entries map[string]entry
	size    int64
}

func newTree() *tree { return &tree{entries: map[string]entry{}} }

// add puts an entry there; two may agree on a folder, and on nothing else.
func (t *tree) add(name string, e entry) error {
	if name == "" || name != path.Clean(name) || name == "." || name == ".." || strings.HasPrefix(name, "../") || path.IsAbs(name) ||
		strings.ContainsRune(name, 0) || len(name) > maxName {
		return fmt.Errorf("%.200q is no path below the root of the image: %w", name, ocm.ErrInvalid)
	}
	if dir := path.Dir(name); dir != "." {
		if err := t.add(dir, entry{kind: tar.TypeDir, mode: 0o755, layer: e.layer, implied: true}); err != nil {
			return err
		}
	}
	old, ok := t.entries[name]
	switch {
	case ok && (old.kind != tar.TypeDir || e.kind != tar.TypeDir):
		return fmt.Errorf("%s stands there already, and not as a folder: %w", name, ocm.ErrExists)
	case ok && !old.implied, ok && e.implied:
		return nil
	}
	t.size += int64(len(e.content))
	if len(t.entries) >= maxEntries || t.size > maxTree {
		return fmt.Errorf("%s: an image has at most %d entries and %d bytes: %w", name, maxEntries, maxTree, ocm.ErrLimit)
	}
	t.entries[name] = e
	return nil
}

// addLink adds a symbolic link. Where it leads becomes relative, and has to be inside: also who unpacks the image to look at it,
// without making its root theirs, stays in it.
func (t *tree) addLink(name, target string, layer int) error {
	from := path.Dir(name)
	if path.IsAbs(target) {
		target = relative(from, usrMerged(path.Clean(target[1:])))
	}
	if to := path.Clean(path.Join(from, target)); target == "" || to == ".." || strings.HasPrefix(to, "../") || len(target) > maxName || strings.ContainsRune(target, 0) {
		return fmt.Errorf("link %s leads out of the image, to %.200q: %w", name, target, ocm.ErrInvalid)
	}
	return t.add(name, entry{kind: tar.TypeSymlink, mode: 0o777, link: target, layer: layer})
}

// relative is the way from one folder to a path; both are clean and start at the root.
func relative(from, to string) string {
	up := ""
	for from != "." && to != from && !strings.HasPrefix(to, from+"/") {
		up, from = up+"../", path.Dir(from)
	}
	if from == "." {
		return up + to
	}
	return path.Clean(up + strings.TrimPrefix(strings.TrimPrefix(to, from), "/"))
}

// follow is where a path ends after all links, also those that stand for folders in it.
func (t *tree) follow(name string) (entry, bool) {
	for range maxLinks {
		if name = path.Clean(strings.TrimPrefix(name, "/")); len(name) > maxName {
			break
		}
		link, rest := "", ""
		for i := range len(name) + 1 {
			if i < len(name) && name[i] != '/' {
				continue
			}
			if e, ok := t.entries[name[:i]]; ok && e.kind == tar.TypeSymlink {
				link, rest = path.Join(path.Dir(name[:i]), e.link), name[i:]
				break
			}
		}
		if link == "" {
			e, ok := t.entries[name]
			return e, ok
		}
		name = link + rest
	}
	return entry{}, false
}

// layer is a tar archive of what belongs to a layer, with the folders that it stands in; nil if that is nothing. The order is that of
// the names, and no time stands in it.
func (t *tree) layer(n int) ([]byte, error) {
	names := map[string]bool{}
	for name, e := range t.entries {
		for ; e.layer == n && name != "."; name = path.Dir(name) {
			names[name] = true
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		e := t.entries[name]
		h := tar.Header{Name: name, Typeflag: e.kind, Mode: e.mode, Uid: e.uid, Gid: e.gid, Linkname: e.link, Size: int64(len(e.content))}
		if e.kind == tar.TypeDir {
			h.Name += "/"
		}
		if err := w.WriteHeader(&h); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	err := w.Close()
	return b.Bytes(), err
}
