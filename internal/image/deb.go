// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"

	"ocm"
)

// What a package may be.
const (
	maxDeb      = 1 << 30 // as a file
	maxUnpacked = 2 << 30 // as an archive of files
	maxFile     = 256 << 20
	maxFields   = 100 // of a control file
)

// deb is a Debian package.
type deb struct {
	path     string
	expected string // SHA-256 in hexadecimal, of the archive's index; empty: not known
	layer    int

	control []byte // as it stands in the package
	fields  stanza
	sum     string
}

// stanza is a paragraph of fields, of which only the first lines are kept.
type stanza map[string]string

// parseStanzas reads paragraphs of fields (deb822(5)). A field that continues on further lines is nothing that we ask for.
func parseStanzas(text []byte) ([]stanza, error) {
	var list []stanza
	open := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.TrimSpace(line) == "":
			open = false
			continue
		case line[0] == ' ' || line[0] == '\t' || line[0] == '#':
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("%.200q is no field: %w", line, ocm.ErrInvalid)
		}
		if !open {
			list, open = append(list, stanza{}), true
		}
		s := list[len(list)-1]
		if _, twice := s[name]; twice || len(s) >= maxFields {
			return nil, fmt.Errorf("field %.200q: twice in a paragraph, or one of more than %d: %w", name, maxFields, ocm.ErrInvalid)
		}
		s[name] = strings.TrimSpace(value)
	}
	return list, nil
}

// sumFile is the SHA-256 of a file in hexadecimal.
func sumFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxDeb+1))
	if err == nil && n > maxDeb {
		err = fmt.Errorf("a package has at most %d bytes: %w", maxDeb, ocm.ErrLimit)
	}
	return hex.EncodeToString(h.Sum(nil)), err
}

// unpack puts the files of a package into a tree, and its control file to where scanners look for it in images without dpkg.
func (d *deb) unpack(ctx context.Context, arch string, r recipe, t *tree) error {
	var err error
	if d.sum, err = sumFile(d.path); err != nil {
		return err
	}
	if d.expected != "" && d.sum != d.expected {
		return fmt.Errorf("the archive's index has SHA-256 %s, the file has %s: %w", d.expected, d.sum, ocm.ErrDigest)
	}
	if d.control, err = output(ctx, "", "dpkg-deb", "--field", d.path); err != nil {
		return err
	}
	list, err := parseStanzas(d.control)
	if err != nil || len(list) != 1 || !packageName.MatchString(list[0]["Package"]) || !versionName.MatchString(list[0]["Version"]) {
		return fmt.Errorf("its control file names no package and version: %w", errors.Join(err, ocm.ErrInvalid))
	}
	d.fields = list[0]
	if a := d.fields["Architecture"]; a != arch && a != "all" {
		return fmt.Errorf("the package is for %.40q, the image for %q: %w", a, arch, ocm.ErrInvalid)
	}
	if err := t.add("var/lib/dpkg/status.d/"+d.fields["Package"], file(d.layer, 0o644, d.control)); err != nil {
		return err
	}
	return d.files(ctx, r, t)
}

// files reads the archive in a package as it is unpacked.
func (d *deb) files(ctx context.Context, r recipe, t *tree) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", d.path)
	var errs bounded
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	limited := &io.LimitedReader{R: out, N: maxUnpacked}
	err = d.read(tar.NewReader(limited), r, t)
	if err == nil {
		_, err = io.Copy(io.Discard, limited)
	}
	if err == nil && limited.N == 0 {
		err = fmt.Errorf("unpacked it has more than %d bytes: %w", maxUnpacked, ocm.ErrLimit)
	}
	if err != nil {
		stop()
	}
	if end := cmd.Wait(); end != nil && err == nil {
		err = fmt.Errorf("dpkg-deb: %w: %s", end, strings.TrimSpace(string(errs)))
	}
	return err
}

// read takes each entry of a package's archive.
func (d *deb) read(from *tar.Reader, r recipe, t *tree) error {
	own := map[string]bool{} // files of this package, which alone may be linked to
	for {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := inside(h.Name)
		if err != nil {
			return err
		}
		if name == "." {
			continue
		}
		name = usrMerged(name)
		e, err := d.entry(from, h, own, t)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		own[name] = e.kind == tar.TypeReg
		if r.leftOut(name) {
			continue
		}
		if err := place(t, name, h.Linkname, e); err != nil {
			return err
		}
	}
}

// entry is what a header announces. Rights beyond reading, writing and running are not taken over.
func (d *deb) entry(from io.Reader, h *tar.Header, own map[string]bool, t *tree) (entry, error) {
	e := entry{kind: h.Typeflag, mode: h.Mode & 0o1777, layer: d.layer}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") { // a few bytes that become very many
			return e, fmt.Errorf("sparse files are not taken: %w", ocm.ErrInvalid)
		}
	}
	switch h.Typeflag {
	case tar.TypeReg:
		if h.Size > maxFile {
			return e, fmt.Errorf("%d bytes, at most %d are taken: %w", h.Size, maxFile, ocm.ErrLimit)
		}
		var err error
		e.content, err = io.ReadAll(from)
		return e, err
	case tar.TypeLink: // becomes a file of its own: nobody has to unpack in our order
		to, err := inside(h.Linkname)
		if err != nil {
			return e, err
		}
		linked, ok := t.entries[usrMerged(to)]
		if !ok || !own[usrMerged(to)] {
			return e, fmt.Errorf("it is linked to %.200q, which no earlier file of the package is, or one that is left out: %w", h.Linkname, ocm.ErrInvalid)
		}
		e.kind, e.content, e.mode = tar.TypeReg, linked.content, linked.mode
		return e, nil
	case tar.TypeDir, tar.TypeSymlink:
		return e, nil
	}
	return e, fmt.Errorf("of kind %q: only files, folders and links are taken: %w", h.Typeflag, ocm.ErrInvalid)
}

// place adds an entry of a package, at the place where it really stands.
func place(t *tree, name, target string, e entry) error {
	if root, _, _ := strings.Cut(name, "/"); root == "usr" {
		if err := mergeUsr(t, name, e.layer); err != nil {
			return err
		}
	}
	if e.kind == tar.TypeSymlink {
		return t.addLink(name, target, e.layer)
	}
	return t.add(name, e)
}

// inside is the clean path of an entry; "." for the root.
func inside(name string) (string, error) {
	clean := path.Clean(name)
	if name == "" || path.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "../") || strings.Contains("/"+name+"/", "/../") {
		return "", fmt.Errorf("%.200q leads out of the package: %w", name, ocm.ErrInvalid)
	}
	return clean, nil
}

// Folders that moved below usr in Debian 12, while packages still name the old ones.
func movedToUsr(dir string) bool {
	return dir == "bin" || dir == "sbin" || dir == "lib" || dir == "lib32" || dir == "lib64" || dir == "libx32"
}

// usrMerged is where an entry stands since then.
func usrMerged(name string) string {
	if dir, _, _ := strings.Cut(name, "/"); movedToUsr(dir) {
		return "usr/" + name
	}
	return name
}

// mergeUsr adds the link from the old folder to that of an entry, once.
func mergeUsr(t *tree, name string, layer int) error {
	dir, _, _ := strings.Cut(strings.TrimPrefix(name, "usr/"), "/")
	if _, there := t.entries[dir]; there || !movedToUsr(dir) {
		return nil
	}
	return t.addLink(dir, "usr/"+dir, layer)
}
