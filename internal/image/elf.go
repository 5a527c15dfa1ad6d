// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"ocm"
)

// maxMissing is how many missing libraries an error names.
const maxMissing = 20

// triplets are the folders of libraries that the loader searches for an architecture without being told.
var triplets = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

// resolved proves that each program and library of a tree finds the loader and the libraries that it was linked with, by the rules of
// ld.so(8): its own list, then the folders of the system. So no cache of libraries is needed, and none that is left out was missed.
func resolved(t *tree, arch string) error {
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(t.entries)) {
		e := t.entries[name]
		if e.kind != tar.TypeReg || !bytes.HasPrefix(e.content, []byte(elf.ELFMAG)) {
			continue
		}
		needs, dirs, err := linked(e.content)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for i, d := range dirs {
			dirs[i] = strings.NewReplacer("$ORIGIN", "/"+path.Dir(name), "${ORIGIN}", "/"+path.Dir(name)).Replace(d)
		}
		dirs = append(dirs, "usr/lib/"+triplets[arch], "usr/lib")
		for _, n := range needs {
			if !t.found(n, dirs) {
				missing = append(missing, fmt.Sprintf("%.100q for %s", n, name))
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("no package brings %s; leave the file out, or a package in: %w", strings.Join(missing[:min(len(missing), maxMissing)], ", "), ocm.ErrInvalid)
}

func (t *tree) found(name string, dirs []string) bool {
	if strings.Contains(name, "/") {
		e, ok := t.follow(name)
		return ok && e.kind == tar.TypeReg
	}
	return slices.ContainsFunc(dirs, func(dir string) bool {
		e, ok := t.follow(path.Join(dir, name))
		return ok && e.kind == tar.TypeReg
	})
}

// linked are the loader and the libraries that a program needs, and the folders that it names for them.
func linked(content []byte) (needs, dirs []string, err error) {
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, nil, err
	}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return nil, nil, nil
	}
	if needs, err = f.ImportedLibraries(); err != nil {
		return nil, nil, err
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP || p.Filesz > maxName {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			return nil, nil, err
		}
		needs = append(needs, strings.TrimRight(string(b), "\x00"))
	}
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		lists, err := f.DynString(tag)
		if err != nil {
			return nil, nil, err
		}
		for _, l := range lists {
			dirs = append(dirs, strings.Split(l, ":")...)
		}
	}
	return needs, dirs, nil
}
