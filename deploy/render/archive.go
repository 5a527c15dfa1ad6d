// SPDX-License-Identifier: Apache-2.0

package render

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"ocm"
	"ocm/blob"
)

// files are the content of an archive in memory, by their clean slash paths. Content that is no archive has one file, with the empty
// name.
type files map[string][]byte

const tarBlock = 512 // bytes of a header

// unpack reads content: a tar archive or anything else, plain or compressed with gzip. Nothing is written to a disk. Everything
// that Kubernetes has no need for is refused: links, devices, sparse files, names that lead elsewhere, and two files of one name
// (CVE-2022-36049 and its like: what was never unpacked needs no cleaning).
func unpack(ctx context.Context, r io.Reader) (files, error) {
	plain, _, err := blob.Gunzip(&canceled{ctx, r})
	if err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	buffered := bufio.NewReaderSize(plain, tarBlock)
	head, err := buffered.Peek(tarBlock)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("content: %w: %w", err, ocm.ErrInvalid)
	}
	if bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		return nil, fmt.Errorf("content: compressed with zstd, expected gzip or plain: %w", ocm.ErrInvalid)
	}
	if !isTar(head) {
		content, err := readBounded(buffered, MaxExpanded)
		return files{"": content}, err
	}
	return untar(buffered)
}

// isTar reports whether a block is the header of a tar archive: whether its checksum is right, which other content has by no accident.
func isTar(block []byte) bool {
	if len(block) < tarBlock {
		return false
	}
	want, err := strconv.ParseUint(strings.Trim(string(block[148:156]), " \x00"), 8, 32)
	sum := uint64(0)
	for i, b := range block[:tarBlock] {
		if i >= 148 && i < 156 {
			b = ' '
		}
		sum += uint64(b)
	}
	return err == nil && sum == want
}

func untar(r io.Reader) (files, error) {
	found, left, folders := files{}, int64(MaxExpanded), 0
	tr := tar.NewReader(r)
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("archive: %w: %w", err, ocm.ErrInvalid)
		}
		name, err := blob.TarName(hdr)
		if err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
		if len(found)+folders >= MaxFiles {
			return nil, fmt.Errorf("archive: more than %d entries: %w", MaxFiles, ocm.ErrLimit)
		}
		if name == "" || hdr.Typeflag == tar.TypeDir {
			folders++
			continue
		}
		if _, twice := found[name]; twice {
			return nil, fmt.Errorf("archive: two entries have the name %.200q: %w", name, ocm.ErrInvalid)
		}
		content, err := readBounded(tr, left)
		if err != nil {
			return nil, fmt.Errorf("archive entry %.200q: %w", name, err)
		}
		left -= int64(len(content))
		found[name] = content
	}
}

// readBounded reads everything, of which there must be no more than limit bytes.
func readBounded(r io.Reader, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("unpacked content of more than %d bytes: %w", MaxExpanded, ocm.ErrLimit)
	}
	return content, nil
}

// canceled is a reader that ends with its context.
type canceled struct {
	ctx context.Context
	r   io.Reader
}

func (c *canceled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// below are the files of a directory of an archive, by their names within it; of a file it is that one, with its base name.
// [ocm.ErrNotFound] says what there is.
func (f files) below(dir string) (files, error) {
	if dir == "" || dir == "." {
		return f, nil
	}
	if content, isFile := f[dir]; isFile {
		return files{path.Base(dir): content}, nil
	}
	found := files{}
	for name, content := range f {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			found[rest] = content
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("spec.path %q is not in the content, which has %s: %w", dir, f.top(), ocm.ErrNotFound)
	}
	return found, nil
}

// isDir reports whether there is a file below a name.
func (f files) isDir(name string) bool {
	for other := range f {
		if name == "." || strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}

// top lists some of what is at the top, for messages.
func (f files) top() string {
	if _, single := f[""]; single {
		return "no directories: it is a single file"
	}
	names := map[string]bool{}
	for name := range f {
		first, _, isDir := strings.Cut(name, "/")
		if isDir {
			first += "/"
		}
		names[fmt.Sprintf("%.80q", first)] = true
	}
	all := slices.Sorted(maps.Keys(names))
	if len(all) > 10 {
		all = append(all[:10], "…")
	}
	return "[" + strings.Join(all, " ") + "]"
}

// cleanPath checks spec.path. [ocm.ErrInvalid] for one that leads out of the content.
func cleanPath(p string) (string, error) {
	clean := path.Clean("/" + p)[1:]
	if strings.HasPrefix(p, "/") || slices.Contains(strings.Split(p, "/"), "..") || strings.ContainsAny(p, "\\\x00") {
		return "", fmt.Errorf("spec.path %.200q: expected a path inside of the content, such as deploy/base: %w", p, ocm.ErrInvalid)
	}
	return clean, nil
}
