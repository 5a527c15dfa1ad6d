// SPDX-License-Identifier: Apache-2.0

package host

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"ocm"
	"ocm/plugin/installed"
)

// What is run must be what the user or root has put there: nobody else may write to the file, or to a folder on the way to it.

// open opens the plugin's file, and makes sure that it may be run. What is open is what was checked, whatever becomes of the path.
func (p *Plugin) open() (*os.File, error) {
	f, err := os.OpenFile(p.real, openFlags, 0)
	if err != nil {
		return nil, err
	}
	if err := p.checkFile(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (p *Plugin) checkFile(f *os.File) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("%s: not a file that can be run: %w", p.real, ocm.ErrInvalid)
	}
	if err := checkWriters(p.real, info, false); err != nil {
		return err
	}
	if _, err := installed.Compare(p.Path, f); err != nil {
		return err
	}
	want := p.settings().Digest
	if want == "" {
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	verifier := want.Verifier()
	if _, err := io.Copy(verifier, f); err != nil {
		return err
	}
	if !verifier.Verified() {
		return fmt.Errorf("%s: it does not have the digest %s that the configuration demands; if it was replaced on purpose, write the new one there: %w", p.real, want, ocm.ErrDigest)
	}
	return nil
}

// checkWriters refuses what others than this user and root may change. In a folder with the sticky bit they cannot replace what is not
// theirs.
func checkWriters(path string, info fs.FileInfo, sticky bool) error {
	switch {
	case !trusted(info):
		return fmt.Errorf("%s belongs to somebody else; it must belong to you or to root: %w", path, ocm.ErrDenied)
	case info.Mode()&0o022 == 0 || sticky && info.Mode()&fs.ModeSticky != 0:
		return nil
	}
	return fmt.Errorf("%s can be changed by others (mode %04o); if it is as it should be: chmod go-w %q: %w", path, info.Mode().Perm(), path, ocm.ErrDenied)
}

// folders remembers which folders may hold plugins.
type folders map[string]error

// check refuses a folder that others may change, or that lies in one. Path has no symbolic links.
func (s folders) check(path string) error {
	if err, ok := s[path]; ok {
		return err
	}
	info, err := os.Lstat(path)
	if err == nil {
		err = checkWriters(path, info, true)
	}
	if above := filepath.Dir(path); err == nil && above != path {
		err = s.check(above)
	}
	s[path] = err
	return err
}
