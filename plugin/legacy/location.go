// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// location says where content is. Existing hosts and plugins know files only.
type location struct {
	Type      string `json:"type"`
	Value     string `json:"value"`
	MediaType string `json:"mediaType,omitempty"`
}

const localFile = "localFile"

// handed is a content in a file that a plugin is given.
type handed struct {
	location
	root ociv1.Descriptor // of the content, complete
	file digest.Digest    // of the file, which for an artifact is an archive
}

// handOut writes a content into a file of a folder: as it is, or an artifact with all that is below it as an OCI image layout.
// The bytes are compared with the digest that the content promises.
func handOut(ctx context.Context, dir string, c ocm.Content) (h handed, err error) {
	f, err := os.CreateTemp(dir, "content-") // 0600
	if err != nil {
		return h, err
	}
	defer func() {
		if failed := f.Close(); err == nil {
			err = failed
		}
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	h = handed{location: location{Type: localFile, Value: f.Name(), MediaType: c.Root.MediaType}, root: c.Root}
	sum := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 256<<10)
	if blob.IsManifest(c.Root.MediaType) {
		h.MediaType = blob.MediaTypeLayout
		err = blob.WriteLayout(ctx, w, c, "")
	} else {
		h.root.Size, err = copyContent(ctx, w, c)
	}
	if err == nil {
		err = w.Flush()
	}
	h.file = digest.NewDigest(digest.SHA256, sum)
	if h.root.Digest == "" {
		h.root.Digest = h.file
	}
	return h, err
}

func copyContent(ctx context.Context, w io.Writer, c ocm.Content) (int64, error) {
	r, err := blob.OpenContent(ctx, c)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n, err := io.Copy(w, r)
	if err == nil && c.Root.Size >= 0 && n != c.Root.Size {
		err = fmt.Errorf("content: expected %d bytes, found %d: %w", c.Root.Size, n, ocm.ErrDigest)
	}
	return n, err
}

// file is an open file that a plugin has answered with, closed when nobody needs it any more.
type file struct {
	*os.File
	size  int64
	users atomic.Int32
}

func (f *file) release() {
	if f.users.Add(-1) == 0 {
		_ = f.Close() // it was only read
	}
}

// taking says what of a plugin's answer is accepted.
type taking struct {
	process *process
	began   time.Time // of the question: older files stay
	also    string    // one more folder that files may lie in; empty: none
	call    string    // a folder of the call, which goes when the answer was looked at; empty: none
	shared  []string  // the system's folders for temporary files
}

// sharedFolders are where plugins write temporary files that do not ask where these belong.
func sharedFolders() []string { return []string{os.TempDir(), "/tmp"} }

func (t taking) close() {
	if t.call != "" {
		_ = os.RemoveAll(t.call)
	}
}

// take opens the file of a location, and removes it if it was made for this answer.
func (t taking) take(l location) (*file, error) {
	if l.Type != localFile {
		return nil, fmt.Errorf("location of the type %q: only %s is known: %w", shown(l.Type), localFile, errors.ErrUnsupported)
	}
	if !filepath.IsAbs(l.Value) || strings.ContainsRune(l.Value, 0) {
		return nil, fmt.Errorf("location %q: expected an absolute path: %w", shown(l.Value), ocm.ErrInvalid)
	}
	path := filepath.Clean(l.Value)
	for _, dir := range append([]string{t.process.dir, t.call, t.also}, t.shared...) {
		name, ok := within(dir, path)
		if !ok {
			continue
		}
		f, err := t.open(dir, name)
		if err != nil {
			return nil, fmt.Errorf("location %q: %w", shown(l.Value), err)
		}
		return f, nil
	}
	return nil, fmt.Errorf("location %q lies neither in the folder for temporary files nor in one that the plugin was given: %w", shown(l.Value), ocm.ErrDenied)
}

// within is the name of a path below a folder, however the path to the folder is spelt.
func within(dir, path string) (string, bool) {
	if dir == "" {
		return "", false
	}
	spellings := []string{dir}
	if absolute, err := filepath.Abs(dir); err == nil {
		spellings = append(spellings, absolute)
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		spellings = append(spellings, real)
	}
	for _, spelling := range spellings {
		if name, err := filepath.Rel(spelling, path); err == nil && filepath.IsLocal(name) && name != "." {
			return name, true
		}
	}
	return "", false
}

// open opens a regular file of a folder, which no link leads out of.
func (t taking) open(dir, name string) (*file, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no such file: %w", ocm.ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("expected a regular file, found %s: %w", info.Mode().Type(), ocm.ErrInvalid)
	}
	opened, err := root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	now, err := opened.Stat()
	if err == nil && !os.SameFile(info, now) {
		err = fmt.Errorf("it was replaced while it was opened: %w", ocm.ErrConflict)
	}
	if err != nil {
		_ = opened.Close()
		return nil, err
	}
	if t.mayRemove(dir, name, now) {
		_ = root.Remove(name) // what is left goes with the folder of the process
	}
	f := &file{File: opened, size: now.Size()}
	f.users.Store(1)
	return f, nil
}

// mayRemove reports whether a file was made for the answer: it was written since the question was asked, in the folder of the process, or in
// the system's folder for temporary files itself.
func (t taking) mayRemove(dir, name string, info fs.FileInfo) bool {
	if dir == t.also || info.ModTime().Before(t.began) {
		return false
	}
	return dir == t.process.dir || dir == t.call || filepath.Dir(name) == "."
}
