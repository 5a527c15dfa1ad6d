// SPDX-License-Identifier: Apache-2.0

// Package installed is a folder that plugins are installed into: how a program gets there whole or not at all, and what is remembered of
// where it came from.
//
// A program that was installed has a record beside it, with its digest. Whoever runs plugins compares them by [Check] and does not run
// what has changed. That finds what was damaged, or replaced by accident or by other tools; it is no protection from somebody who may
// write into the folder, and could write a record as well.
package installed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"ocm"
)

// staging is the beginning of the names of folders in which programs wait until they are known to be good. Hidden names are never
// taken for plugins.
const staging = ".installing-"

// abandoned is the age of a staging folder that nobody uses any more.
const abandoned = 24 * time.Hour

// Stage is a program that is not installed yet. It is for one goroutine.
type Stage struct {
	// Path is where the program is to be written. Its last element is the name of the plugin.
	Path   string
	folder string
	digest digest.Digest
}

// Begin prepares the installation of a program into a folder, which is made if it is not there. [ocm.ErrInvalid] if the name is no good one,
// [fs.ErrPermission] if others may write into the folder. Whoever begins calls [Stage.Drop] in the end.
func Begin(folder, name string) (*Stage, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	if err := ownOnly(folder); err != nil {
		return nil, err
	}
	dropAbandoned(folder)
	dir, err := os.MkdirTemp(folder, staging)
	if err != nil {
		return nil, err
	}
	return &Stage{Path: filepath.Join(dir, name), folder: folder}, nil
}

// ownOnly refuses a folder in which others could exchange a program after it was verified.
func ownOnly(folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if info.Mode()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("%s: others than its owner may write into this folder (mode %s), and plugins in it would not be run: chmod go-w %s: %w", folder, info.Mode(), folder, fs.ErrPermission)
	}
	return nil
}

// dropAbandoned removes what a process has left that was killed. What cannot be removed does no harm.
func dropAbandoned(folder string) {
	left, _ := filepath.Glob(filepath.Join(folder, staging+"*"))
	for _, dir := range left {
		if info, err := os.Lstat(dir); err == nil && info.IsDir() && time.Since(info.ModTime()) > abandoned {
			_ = os.RemoveAll(dir)
		}
	}
}

// Drop removes what was not installed.
func (s *Stage) Drop() { _ = os.RemoveAll(filepath.Dir(s.Path)) }

// Seal makes an executable of what was written, and returns its digest. [ocm.ErrInvalid] if that is no file, [ocm.ErrLimit] if it is larger
// than [MaxProgram].
func (s *Stage) Seal() (digest.Digest, error) {
	info, err := os.Lstat(s.Path)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("the content is a folder and not one program: %w", ocm.ErrInvalid)
	case info.Size() > MaxProgram:
		return "", fmt.Errorf("the program has %d bytes, at most %d are accepted: %w", info.Size(), MaxProgram, ocm.ErrLimit)
	}
	f, err := os.OpenFile(s.Path, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	s.digest, err = digest.SHA256.FromReader(f)
	return s.digest, errors.Join(err, f.Sync(), f.Chmod(0o755), f.Close())
}

// Finish installs what was sealed, in place of a program of the same name if allow says nothing against it: it is asked while nobody
// else installs or removes. old is the record of what is there, nil if there is no record; there says whether a file is there.
//
// The program gets its name by one rename. Whatever ends the process, there is afterwards the old one or the new one, and a record that
// matches it.
func (s *Stage) Finish(r Record, allow func(old *Record, there bool) error) error {
	unlock, err := lock(s.folder)
	if err != nil {
		return err
	}
	defer unlock()
	path := filepath.Join(s.folder, filepath.Base(s.Path))
	old, there, err := Look(path)
	if err != nil {
		return err
	}
	if err := allow(old, there); err != nil {
		return err
	}
	r.Digest, r.Previous = s.digest, ""
	if d, err := digestOf(path); there && err == nil && (old == nil || old.Matches(d) == nil) {
		r.Previous = d // one that was changed must not be run, now as before
	}
	if err := r.write(path); err != nil {
		return err
	}
	if err := os.Rename(s.Path, path); err != nil {
		return errors.Join(err, restore(old, path))
	}
	if r.Previous != "" {
		r.Previous = ""
		err = r.write(path)
	}
	return errors.Join(err, syncFolder(s.folder))
}

// restore puts back the record of a program that could not be replaced.
func restore(old *Record, path string) error {
	if old == nil {
		return os.Remove(recordOf(path))
	}
	return old.write(path)
}

// Look tells what is at the path of a plugin: its record, if there is one, and whether there is a file. A record that cannot be read counts
// as none, so that the plugin can be installed again.
func Look(path string) (old *Record, there bool, err error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, false, err
	case info.IsDir():
		return nil, false, fmt.Errorf("%s is a folder: remove it first: %w", path, ocm.ErrExists)
	default:
		there = true
	}
	old, err = Read(path)
	if err != nil && !errors.Is(err, ocm.ErrNotFound) && !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
		return nil, there, err
	}
	return old, there, nil
}

// Remove removes a plugin and its record. [ocm.ErrNotFound] if there is neither. A program without a record was put there by other
// means, and is removed only with force: [ocm.ErrDenied].
func Remove(folder, name string, force bool) error {
	if err := CheckName(name); err != nil {
		return err
	}
	path := filepath.Join(folder, name)
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: no such plugin: %w", path, ocm.ErrNotFound)
	}
	unlock, err := lock(folder)
	if err != nil {
		return err
	}
	defer unlock()
	_, there, err := Look(path)
	if err != nil {
		return err
	}
	_, err = os.Lstat(recordOf(path))
	switch noRecord := errors.Is(err, fs.ErrNotExist); {
	case noRecord && !there:
		return fmt.Errorf("%s: no such plugin: %w", path, ocm.ErrNotFound)
	case noRecord && !force:
		return fmt.Errorf("%s: it was not installed as a component, but put there by other means: %w", path, ocm.ErrDenied)
	}
	for _, p := range []string{path, recordOf(path)} { // the program first: without a record it would be run unchecked
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncFolder(folder)
}

// Paths lists the programs in a folder and the folders below it, and the paths of records whose program is missing. A folder that is not there
// has none. [ocm.ErrLimit] beyond [MaxPrograms].
func Paths(folder string) ([]string, error) {
	var paths []string
	seen := map[string]bool{}
	add := func(path string) {
		if !seen[path] {
			seen[path], paths = true, append(paths, path)
		}
	}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		base := filepath.Base(path)
		switch hidden := strings.HasPrefix(base, ".") && path != folder; {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir() && hidden:
			return fs.SkipDir
		case d.IsDir():
			return nil
		case len(paths) == MaxPrograms:
			return fmt.Errorf("%s: more than %d plugins: %w", folder, MaxPrograms, ocm.ErrLimit)
		case hidden:
			if name, ok := strings.CutSuffix(base[1:], ".json"); ok && CheckName(name) == nil {
				add(filepath.Join(filepath.Dir(path), name))
			}
			return nil
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			add(path)
		}
		return nil
	})
	return paths, err
}

func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	_ = f.Sync() // not every file system can
	return nil
}
