// SPDX-License-Identifier: Apache-2.0

package git

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ocm"
	"ocm/blob"
)

// Limits of the files of one commit. [blob.MaxDirEntries] and [blob.MaxDirDepth] apply too.
const (
	maxHead = 64 << 10 // of a commit, bytes that are looked at
	maxTree = 32 << 20 // of a folder's list of entries, bytes
	maxPath = 4096     // bytes of a path, and of what a symbolic link says
)

// entry is one line of a tree.
type entry struct {
	mode, name string
	id         id
}

// Modes of entries. Older versions of git wrote others for files, which stand for the first.
const (
	modeFile       = "100644"
	modeExecutable = "100755"
	modeLink       = "120000"
	modeDir        = "40000"
	modeSubmodule  = "160000"
)

// rootTree reads which tree a commit has. git takes the first line for it, so nothing else may
// claim to be one (CVE-2026-45022).
func (s *store) rootTree(commit string) (id, error) {
	name, err := parseID(commit)
	if err != nil {
		return name, err
	}
	r, err := s.find(name, commitObject)
	if err != nil {
		return name, err
	}
	head, err := io.ReadAll(io.LimitReader(r, maxHead))
	if err != nil {
		return name, err
	}
	headers, _, _ := strings.Cut(string(head), "\n\n")
	first, rest, _ := strings.Cut(headers, "\n")
	tree, ok := strings.CutPrefix(first, "tree ")
	if !ok || len(tree) != len(commit) || strings.Contains("\n"+rest, "\ntree ") {
		return name, fmt.Errorf("commit %s: expected one tree, on the first line: %w", commit, ocm.ErrInvalid)
	}
	return parseID(tree)
}

func parseID(text string) (name id, err error) {
	if err := CheckCommit(text); err != nil {
		return name, err
	}
	_, err = hex.Decode(name[:], []byte(text))
	return name, err
}

// parseTree reads the entries of a folder: mode, space, name, zero, and the hash, which has size bytes.
func parseTree(raw []byte, size int) ([]entry, error) {
	var out []entry
	for len(raw) > 0 {
		head, rest, ok := bytes.Cut(raw, []byte{0})
		mode, name, two := strings.Cut(string(head), " ")
		if !ok || !two || len(rest) < size {
			return nil, fmt.Errorf("entry %d of a tree: expected mode, name and hash: %w", len(out)+1, ocm.ErrInvalid)
		}
		e := entry{mode: mode, name: name}
		copy(e.id[:], rest[:size])
		switch mode {
		case modeFile, modeExecutable, modeLink, modeDir, modeSubmodule:
		case "100664", "100640", "100600":
			e.mode = modeFile
		case "040000":
			e.mode = modeDir
		default:
			return nil, fmt.Errorf("%.200q has the mode %.20q, which git does not have: %w", name, mode, ocm.ErrInvalid)
		}
		if err := checkName(name); err != nil {
			return nil, err
		}
		out = append(out, e)
		raw = rest[size:]
	}
	slices.SortFunc(out, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return out, checkTwins(out)
}

// checkName refuses names that lead elsewhere, on this system or another: "..", git's own folder in any of
// the spellings that file systems take for it (CVE-2014-9390, CVE-2019-1353), and what cannot be seen.
func checkName(name string) error {
	if name == "" || len(name) > maxPath || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || strings.Contains(name, "/") {
		return fmt.Errorf("%.200q: expected a name in UTF-8 without slash and control characters: %w", name, ocm.ErrInvalid)
	}
	for part := range strings.SplitSeq(name, `\`) { // separates on Windows
		if part == "." || part == ".." || isDotGit(part) {
			return fmt.Errorf("%.200q is not a name that a file may have: %w", name, ocm.ErrInvalid)
		}
	}
	if strings.HasPrefix(name, `\`) || len(name) > 1 && name[1] == ':' {
		return fmt.Errorf("%.200q is a path from the root on Windows: %w", name, ocm.ErrInvalid)
	}
	return nil
}

// isDotGit reports whether some file system takes the name for ".git": letters of any case, invisible
// characters on HFS+, and on NTFS the short name, dots and spaces behind, and streams.
func isDotGit(name string) bool {
	name = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
	name, _, _ = strings.Cut(name, ":")
	name = strings.TrimRight(name, " .")
	return name == ".git" || name == "git~1"
}

// checkTwins refuses a name that stands twice, and a link whose name differs from another by letter case only:
// where that makes no difference, writing the other would follow the link (CVE-2021-21300).
func checkTwins(sorted []entry) error {
	links := false
	for i, e := range sorted {
		links = links || e.mode == modeLink
		if i > 0 && sorted[i-1].name == e.name {
			return fmt.Errorf("%.200q stands twice in a tree: %w", e.name, ocm.ErrInvalid)
		}
	}
	if !links {
		return nil
	}
	folded := map[string]entry{}
	for _, e := range sorted {
		low := strings.ToLower(e.name)
		if other, ok := folded[low]; ok && (e.mode == modeLink || other.mode == modeLink) {
			return fmt.Errorf("%.200q and %.200q are the same name on some systems, and one is a symbolic link: %w", other.name, e.name, ocm.ErrInvalid)
		} else if !ok || e.mode == modeLink {
			folded[low] = e
		}
	}
	return nil
}

// checkLink demands that a link leads to something in the tree. Beyond its beginning it has no "..", because
// behind another link that would be another place than the text says.
func checkLink(name, target string) error {
	inside := path.Join(path.Dir(name), target)
	plain := strings.TrimSuffix(target, "/") == path.Clean(target)
	if target == "" || !utf8.ValidString(target) || strings.ContainsFunc(target, unicode.IsControl) || path.IsAbs(target) || strings.Contains(target, `\`) || !plain || !filepath.IsLocal(inside) {
		return fmt.Errorf("the symbolic link %.200q leads to %.200q; accepted are relative ones that stay in the repository, with .. at their beginning only: %w", name, target, ocm.ErrInvalid)
	}
	return nil
}

// archive writes the files of a tree as a tar archive.
type archive struct {
	*store
	ctx        context.Context
	tw         *tar.Writer
	maxEntries int
	maxBytes   int64
	count      int
	bytes      int64
	submodules []string
}

// dir writes a folder, which is "." or a path, and what is in it.
func (a *archive) dir(name string, tree id, depth int) error {
	if depth > blob.MaxDirDepth {
		return fmt.Errorf("more than %d folders in each other: %w", blob.MaxDirDepth, ocm.ErrLimit)
	}
	r, err := a.find(tree, treeObject)
	if err != nil {
		return err
	}
	raw, err := blob.ReadDocument(r, r.Size(), maxTree)
	if err != nil {
		return fmt.Errorf("folder %.200q: %w", name, err)
	}
	entries, err := parseTree(raw, a.newHash().Size())
	if err != nil {
		return fmt.Errorf("folder %.200q: %w", name, err)
	}
	if err := a.header(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}); err != nil {
		return err
	}
	for _, e := range entries {
		if err := a.entry(path.Join(name, e.name), e, depth); err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) entry(name string, e entry, depth int) error {
	switch e.mode {
	case modeDir:
		return a.dir(name, e.id, depth+1)
	case modeSubmodule: // what git itself leaves of one that was not asked for
		a.submodules = append(a.submodules, name)
		return a.header(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755})
	}
	r, err := a.find(e.id, blobObject)
	if err != nil {
		return fmt.Errorf("file %.200q: %w", name, err)
	}
	if e.mode == modeLink {
		return a.link(name, r)
	}
	h := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: r.Size()}
	if e.mode == modeExecutable {
		h.Mode = 0o755
	}
	// A small pack can hold an endless tree: the same file again and again.
	if a.bytes += h.Size; a.bytes > a.maxBytes {
		return fmt.Errorf("all files together have more than %d bytes: %w", a.maxBytes, ocm.ErrLimit)
	}
	if err := a.header(h); err != nil {
		return err
	}
	_, err = io.Copy(a.tw, r)
	return err
}

func (a *archive) link(name string, r *io.SectionReader) error {
	target, err := blob.ReadDocument(r, r.Size(), maxPath)
	if err != nil {
		return fmt.Errorf("symbolic link %.200q: %w", name, err)
	}
	if err := checkLink(name, string(target)); err != nil {
		return err
	}
	return a.header(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: string(target), Mode: 0o777})
}

// header writes what is the same on every machine and for every commit with this tree.
func (a *archive) header(h tar.Header) error {
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	if a.count++; a.count > a.maxEntries {
		return fmt.Errorf("more than %d files and folders: %w", a.maxEntries, ocm.ErrLimit)
	}
	if len(h.Name) > maxPath {
		return fmt.Errorf("path %.100q… has more than %d bytes: %w", h.Name, maxPath, ocm.ErrLimit)
	}
	h.ModTime = time.Unix(0, 0)
	return a.tw.WriteHeader(&h)
}
