// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

const maxDepth = 32 // folders in folders of a chart

// Dir is the archive of a chart's folder, which has the slash path name below the directory within and cannot be left: a
// symbolic link that leads out of it is [ocm.ErrInvalid]. What it links to inside is taken in its place.
//
// Files are in lexical order after Chart.yaml, with mode 0644, no owner and no time; what .helmignore says stays
// behind. Dependencies that Chart.yaml or requirements.yaml names must be in the folder charts ([ocm.ErrNotFound]):
// nothing is downloaded. The archive is written while it is read, from the folder as it is then.
func Dir(within, name string) (ocm.Content, error) {
	d := &directory{within: within, name: filepath.FromSlash(name)}
	root, err := d.open()
	if err != nil {
		return ocm.Content{}, err
	}
	defer root.Close()
	if err := d.prepare(root); err != nil {
		return ocm.Content{}, fmt.Errorf("chart %s: %w", name, err)
	}
	c := ocm.Content{Root: ociv1.Descriptor{MediaType: "application/x-tar", Size: -1}, From: d}
	return blob.Gzip(c, MediaTypeContent), nil
}

// directory fetches a chart's folder as a tar archive.
type directory struct {
	within, name string
	base         string // the folder's name in the archive: the chart's
	ignore       rules
}

func (d *directory) open() (*os.Root, error) {
	within, err := os.OpenRoot(d.within)
	if err != nil {
		return nil, fileError(err)
	}
	defer within.Close()
	root, err := within.OpenRoot(d.name)
	return root, fileError(err)
}

// prepare reads what decides on the archive's form.
func (d *directory) prepare(root *os.Root) error {
	raw, err := document(root, "Chart.yaml")
	if err != nil {
		return fmt.Errorf("%w; is it the folder of a chart?", err)
	}
	meta, err := ParseMeta(raw)
	if err != nil {
		return err
	}
	d.base = meta.Name
	switch raw, err = document(root, "requirements.yaml"); {
	case errors.Is(err, ocm.ErrNotFound):
	case err != nil:
		return err
	case meta.APIVersion == "v1":
		if err := decode("requirements.yaml", raw, meta); err != nil {
			return err
		}
	}
	if err := meta.checkDependencies(); err != nil {
		return err
	}
	switch raw, err = document(root, ".helmignore"); {
	case errors.Is(err, ocm.ErrNotFound):
	case err != nil:
		return err
	}
	if d.ignore, err = parseRules(string(raw)); err != nil {
		return err
	}
	return d.checkVendored(root, meta.Dependencies)
}

// document reads a small file of the chart.
func document(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, fileError(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file: %w", name, ocm.ErrInvalid)
	}
	raw, err := blob.ReadDocument(f, -1, MaxMetadata)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return raw, nil
}

// checkVendored demands the charts that this one needs.
func (d *directory) checkVendored(root *os.Root, needed []*Dependency) error {
	if len(needed) == 0 {
		return nil
	}
	have, err := names(root, "charts")
	if err != nil && !errors.Is(err, ocm.ErrNotFound) {
		return err
	}
	for _, dep := range needed {
		if !slices.ContainsFunc(have, func(n string) bool { return n == dep.Name || isArchiveOf(n, dep.Name) }) {
			return fmt.Errorf("dependency %s is not in the folder charts; \"helm dependency build\" puts it there: %w", dep.Name, ocm.ErrNotFound)
		}
	}
	return nil
}

// isArchiveOf reports whether a file is called like the archive of some version of a chart.
func isArchiveOf(file, chart string) bool {
	version, ok := strings.CutPrefix(file, chart+"-")
	version, tgz := strings.CutSuffix(version, ".tgz")
	_, err := (&Meta{Name: chart, Version: version}).FileName()
	return ok && tgz && err == nil
}

// names lists a folder in lexical order.
func names(root *os.Root, folder string) ([]string, error) {
	f, err := root.Open(filepath.FromSlash(folder))
	if err != nil {
		return nil, fileError(err)
	}
	defer f.Close()
	list, err := f.Readdirnames(MaxFiles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	slices.Sort(list)
	return list, nil
}

// Fetch implements [ocm.Fetcher].
func (d *directory) Fetch(ctx context.Context, _ ociv1.Descriptor) (io.ReadCloser, error) {
	root, err := d.open()
	if err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	stop := context.AfterFunc(ctx, func() { pw.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer root.Close()
		defer stop()
		p := &packing{directory: d, ctx: ctx, root: root, tw: tar.NewWriter(pw)}
		err := p.all()
		if err != nil {
			err = fmt.Errorf("chart %s: %w", d.name, err)
		}
		pw.CloseWithError(err) // nil is io.EOF
	}()
	return pr, nil
}

// packing is one walk through a chart's folder.
type packing struct {
	*directory
	ctx   context.Context
	root  *os.Root
	tw    *tar.Writer
	count int
	bytes int64
}

func (p *packing) all() error {
	if err := p.visit("Chart.yaml", nil); err != nil {
		return err
	}
	if err := p.folder(".", nil); err != nil {
		return err
	}
	return p.tw.Close()
}

// visit packs the entry with this slash path and what is below it. above are the folders that the walk is in.
func (p *packing) visit(name string, above []fs.FileInfo) error {
	if p.count++; p.count > MaxFiles {
		return fmt.Errorf("more than %d files and folders: %w", MaxFiles, ocm.ErrLimit)
	}
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	info, err := p.root.Stat(filepath.FromSlash(name)) // follows links, as far as they stay inside
	switch {
	case err != nil && p.ignore.ignores(name, false):
		return nil // such as a link that leads anywhere
	case err != nil:
		return linkError(name, fileError(err))
	case p.ignore.ignores(name, info.IsDir()):
		if name == "Chart.yaml" {
			return fmt.Errorf(".helmignore leaves out Chart.yaml, without which there is no chart: %w", ocm.ErrInvalid)
		}
		return nil
	case info.IsDir():
		return p.folder(name, append(slices.Clip(above), info))
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a file nor a folder: %w", name, ocm.ErrInvalid)
	}
	return p.file(name, info)
}

// linkError says that a link must stay inside.
func linkError(name string, err error) error {
	if errors.Is(err, ocm.ErrInvalid) {
		return fmt.Errorf("%s: a symbolic link must lead to something in the chart's folder; put a copy there, or name it in .helmignore: %w", name, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (p *packing) folder(name string, above []fs.FileInfo) error {
	for _, a := range above[:max(0, len(above)-1)] {
		if os.SameFile(a, above[len(above)-1]) {
			return fmt.Errorf("%s: the symbolic link leads back to a folder that it is in: %w", name, ocm.ErrInvalid)
		}
	}
	if len(above) > maxDepth {
		return fmt.Errorf("%s: folders nested more than %d deep: %w", name, maxDepth, ocm.ErrLimit)
	}
	list, err := names(p.root, name)
	if err != nil {
		return err
	}
	for _, n := range list {
		if n == "Chart.yaml" && name == "." {
			continue // it was the first
		}
		if err := p.visit(path.Join(name, n), above); err != nil {
			return err
		}
	}
	return nil
}

// file packs a file. Its header was written with one size, so it must keep it.
func (p *packing) file(name string, info fs.FileInfo) error {
	if p.bytes += info.Size(); p.bytes > MaxUnpacked {
		return fmt.Errorf("more than %d bytes, which helm would not load; .helmignore leaves files out: %w", MaxUnpacked, ocm.ErrLimit)
	}
	f, err := p.root.Open(filepath.FromSlash(name))
	if err != nil {
		return linkError(name, fileError(err))
	}
	defer f.Close()
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) || now.Size() != info.Size() {
		return fmt.Errorf("%s changed while it was opened: %w", name, ocm.ErrConflict)
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: p.base + "/" + name, Mode: 0o644, Size: info.Size(), ModTime: time.Unix(0, 0)}
	if err := p.tw.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	n, err := io.Copy(p.tw, io.LimitReader(f, info.Size()))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if more, _ := f.Read(make([]byte, 1)); n < info.Size() || more > 0 {
		return fmt.Errorf("%s changed its size while it was read (expected %d bytes): %w", name, info.Size(), ocm.ErrConflict)
	}
	return nil
}

// fileError adds the sentinels of package ocm to errors of the file system.
func fileError(err error) error {
	var p *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", err, ocm.ErrNotFound)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", err, ocm.ErrDenied)
	case errors.As(err, &p) && p.Err.Error() == "path escapes from parent": // package os has no sentinel for it
		return fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	return err
}
