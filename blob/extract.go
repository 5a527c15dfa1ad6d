// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"ocm"
)

// Limits of [Extract] unless [ExtractOptions] say otherwise.
const (
	DefaultExtractEntries = 1_000_000 // files, directories and links
	DefaultExtractBytes   = 64 << 30  // of all files together
	maxExtractDepth       = 256       // nested directories
	entryOverhead         = 4096      // bytes of headers and padding per entry, on average
)

// ExtractOptions bound what an archive may create. The zero value gives the defaults.
type ExtractOptions struct {
	MaxEntries int   // 0: DefaultExtractEntries
	MaxBytes   int64 // 0: DefaultExtractBytes
}

// Extract unpacks a tar archive, plain or compressed with gzip, into the directory dir. dir must
// not exist or be empty ([ocm.ErrExists]); missing parents are created. dir appears when
// everything is unpacked, and not at all after an error: until then the files are in a
// directory beside it, whose name begins with a dot and ends in ".partial".
//
// The archive is not trusted: nothing outside dir is read, written or linked. Refused
// ([ocm.ErrInvalid]) are absolute names and names with "..", entries below something that is
// not a directory of this archive, second entries of one name, links that lead out of dir,
// hard links to anything but a file that was unpacked before, and devices. Setuid, setgid and
// sticky bits, owners and times are dropped; the owner may always enter directories; a mode of
// zero means the usual one. [ocm.ErrLimit] beyond the limits.
func Extract(ctx context.Context, r io.Reader, dir string, o ExtractOptions) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := vacant(dir); err != nil {
		return fmt.Errorf("extract to %s: %w", dir, err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return fmt.Errorf("extract to %s: %w", dir, fileError(err))
	}
	partial := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+"."+rand.Text()[:8]+".partial")
	if err := os.Mkdir(partial, 0o777); err != nil {
		return fmt.Errorf("extract to %s: %w", dir, fileError(err))
	}
	err = extractInto(ctx, r, partial, o)
	if err == nil {
		err = moveTo(partial, dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("extract to %s: %w", dir, err), os.RemoveAll(partial))
	}
	return nil
}

// vacant returns nil if dir does not exist or is an empty directory.
func vacant(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fileError(err)
	}
	if !info.IsDir() {
		return fmt.Errorf("expected a new or empty directory, found %s: %w", kind(info.Mode()), ocm.ErrExists)
	}
	f, err := os.Open(dir)
	if err != nil {
		return fileError(err)
	}
	defer f.Close()
	if _, err := f.Readdirnames(1); err != io.EOF {
		return fmt.Errorf("expected a new or empty directory, found one with content: %w", ocm.ErrExists)
	}
	return nil
}

// moveTo renames a directory to a name that is free or that of an empty directory. The
// separator at the end makes sure that nothing but a directory is removed.
func moveTo(from, to string) error {
	if err := os.Remove(to + string(filepath.Separator)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError(err)
	}
	return os.Rename(from, to)
}

func extractInto(ctx context.Context, r io.Reader, dir string, o ExtractOptions) error {
	if o.MaxEntries <= 0 {
		o.MaxEntries = DefaultExtractEntries
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultExtractBytes
	}
	plain, _, err := Gunzip(&limitReader{ctxReader{ctx, r}, MaxArchive})
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	x := &extractor{t: newTarStream(ctx, plain, o.MaxEntries), root: root, bytes: o.MaxBytes}
	x.t.max = min(MaxArchive, o.MaxBytes+int64(o.MaxEntries)*entryOverhead+maxPadding)
	for {
		hdr, err := x.t.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := x.entry(hdr); err != nil {
			return fmt.Errorf("archive entry %q: %w", hdr.Name, err)
		}
	}
}

// extractor unpacks one archive below root. What is a directory there stays one: nothing that
// exists is ever replaced, which is what the checks of paths and links rest on. It asks the
// file system and keeps no list of its own, because only the file system knows which names are
// the same there (CVE-2024-10389: letter case).
type extractor struct {
	t      *tarStream
	root   *os.Root
	bytes  int64  // what may still be written
	parent string // directory that was checked last
}

func (x *extractor) entry(hdr *tar.Header) error {
	name, err := x.name(hdr.Name)
	if err != nil {
		return err
	}
	if hdr.Typeflag == tar.TypeDir {
		return x.dir(name, mode(hdr, 0o755)|0o700)
	}
	if name == "." {
		return fmt.Errorf("the root must be a directory: %w", ocm.ErrInvalid)
	}
	if err := x.parents(path.Dir(name)); err != nil {
		return err
	}
	switch hdr.Typeflag {
	case tar.TypeReg:
		return x.file(name, hdr)
	case tar.TypeSymlink:
		return x.symlink(name, hdr.Linkname)
	case tar.TypeLink:
		return x.hardlink(name, hdr.Linkname)
	}
	return fmt.Errorf("entries of type %q are not accepted: %w", hdr.Typeflag, ocm.ErrInvalid)
}

// name returns the entry's path in the system's form, which must be local there too.
func (x *extractor) name(raw string) (string, error) {
	name, err := entryName(raw)
	if err != nil {
		return "", err
	}
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", fmt.Errorf("the name is not a relative path on this system: %w", ocm.ErrInvalid)
	}
	if strings.Count(name, "/") >= maxExtractDepth {
		return "", fmt.Errorf("directories nested more than %d deep: %w", maxExtractDepth, ocm.ErrLimit)
	}
	return name, nil
}

// mode is the entry's permission; without any it is usual.
func mode(hdr *tar.Header, usual fs.FileMode) fs.FileMode {
	if m := fs.FileMode(hdr.Mode) & 0o777; m != 0 {
		return m
	}
	return usual
}

// parents makes sure that name and everything above it are directories, not links to some.
func (x *extractor) parents(name string) error {
	if name == "." || name == x.parent {
		return nil
	}
	if err := x.parents(path.Dir(name)); err != nil {
		return err
	}
	if err := x.dir(name, 0o755); err != nil {
		return err
	}
	x.parent = name
	return nil
}

// dir creates a directory unless it is there.
func (x *extractor) dir(name string, perm fs.FileMode) error {
	if name == "." {
		return nil
	}
	if err := x.parents(path.Dir(name)); err != nil {
		return err
	}
	info, err := x.root.Lstat(filepath.FromSlash(name))
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s is %s, not a directory: %w", name, kind(info.Mode()), ocm.ErrInvalid)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if x.t.left--; x.t.left < 0 { // directories without an entry of their own count too
		return fmt.Errorf("too many entries: %w", ocm.ErrLimit)
	}
	return x.root.Mkdir(filepath.FromSlash(name), perm)
}

func (x *extractor) file(name string, hdr *tar.Header) error {
	if hdr.Size > x.bytes {
		return fmt.Errorf("%d bytes, of the accepted total %d are left: %w", hdr.Size, x.bytes, ocm.ErrLimit)
	}
	x.bytes -= hdr.Size
	f, err := x.root.OpenFile(filepath.FromSlash(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode(hdr, 0o644))
	if err != nil {
		return x.exists(err)
	}
	_, err = io.Copy(f, x.t.tr)
	if err != nil {
		err = archiveError(err)
	}
	return errors.Join(err, f.Close())
}

// symlink creates a link whose target stays inside whatever other links there are. ".." is only
// accepted at the beginning of the target, where it goes up from a real directory; after an
// element that may be a link it could lead anywhere.
func (x *extractor) symlink(name, target string) error {
	slash := filepath.ToSlash(target)
	rest := slash
	for strings.HasPrefix(rest, "../") {
		rest = rest[len("../"):]
	}
	inside := path.Join(path.Dir(name), slash)
	if slash == "" || path.IsAbs(slash) || len(slash) > maxPath || rest != ".." && hasDotDot(rest) || !filepath.IsLocal(filepath.FromSlash(inside)) {
		return fmt.Errorf("the link's target %.200q leads, or could lead, out of the directory: %w", target, ocm.ErrInvalid)
	}
	return x.exists(x.root.Symlink(filepath.FromSlash(slash), filepath.FromSlash(name)))
}

func hasDotDot(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// hardlink gives a file that was unpacked before a second name. The target is a name in the
// archive, never relative to the current directory.
func (x *extractor) hardlink(name, target string) error {
	old, err := x.name(target)
	if err != nil {
		return fmt.Errorf("hard link: %w", err)
	}
	for p := old; p != "."; p = path.Dir(p) {
		info, err := x.root.Lstat(filepath.FromSlash(p))
		if err != nil {
			return fmt.Errorf("hard link to %q, which was not unpacked before: %w: %w", target, err, ocm.ErrInvalid)
		}
		if p == old && !info.Mode().IsRegular() || p != old && !info.IsDir() {
			return fmt.Errorf("hard link to %q: %s is %s: %w", target, p, kind(info.Mode()), ocm.ErrInvalid)
		}
	}
	if old == "." {
		return fmt.Errorf("hard link to the root: %w", ocm.ErrInvalid)
	}
	return x.exists(x.root.Link(filepath.FromSlash(old), filepath.FromSlash(name)))
}

// exists explains the error of a name that is taken.
func (x *extractor) exists(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the archive has this entry twice, or under a name that is the same here: %w", ocm.ErrInvalid)
	}
	return err
}
