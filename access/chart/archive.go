// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"ocm"
	"ocm/blob"
)

// Scan reads a chart archive to its end and returns its metadata. Archives that helm would not load are refused: no
// Chart.yaml or two of them, names that lead out of the chart, links and devices ([ocm.ErrInvalid]), more than
// [MaxUnpacked] bytes or [MaxFiles] entries ([ocm.ErrLimit]).
func Scan(r io.Reader) (*Meta, error) { return read(r, true) }

// Head reads a chart archive only as far as its Chart.yaml.
func Head(r io.Reader) (*Meta, error) { return read(r, false) }

// scan is one reading of an archive.
type scan struct {
	meta         *Meta
	requirements []byte // older charts name their dependencies there
	entries      int
}

func read(r io.Reader, all bool) (*Meta, error) {
	plain, gz, err := blob.Gunzip(r)
	if err == nil && !gz {
		if _, err = plain.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) { // else it could not be read at all
			err = fmt.Errorf("chart archive: it is not compressed with gzip: %w", ocm.ErrInvalid)
		}
	}
	if err != nil {
		return nil, archiveError(err)
	}
	plain = &bounded{plain, MaxUnpacked, fmt.Sprintf("than %d bytes after decompression", MaxUnpacked)}
	tr := tar.NewReader(plain)
	var s scan
	for all || s.meta == nil {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, archiveError(err)
		}
		if err := s.entry(h, tr); err != nil {
			return nil, fmt.Errorf("chart archive: %w", err)
		}
	}
	if s.meta == nil {
		return nil, fmt.Errorf("chart archive: there is no Chart.yaml in its folder: %w", ocm.ErrInvalid)
	}
	if all {
		if _, err := io.Copy(io.Discard, plain); err != nil {
			return nil, archiveError(err)
		}
	}
	if s.requirements != nil && s.meta.APIVersion == "v1" {
		if err := decode("requirements.yaml", s.requirements, s.meta); err != nil {
			return nil, err
		}
	}
	return s.meta, s.meta.checkDependencies()
}

// archiveError gives errors of tar and gzip a kind and a place; those of the source have both already.
func archiveError(err error) error {
	for _, known := range []error{ocm.ErrLimit, ocm.ErrDigest, ocm.ErrInvalid, ocm.ErrNotFound, ocm.ErrDenied} {
		if errors.Is(err, known) {
			return err
		}
	}
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("chart archive: %w: %w", err, ocm.ErrInvalid)
	}
	return fmt.Errorf("chart archive: %w", err)
}

func (s *scan) entry(h *tar.Header, r io.Reader) (err error) {
	if s.entries++; s.entries > MaxFiles {
		return fmt.Errorf("more than %d entries: %w", MaxFiles, ocm.ErrLimit)
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader, tar.TypeDir:
		return nil // helm makes nothing of directories either
	case tar.TypeReg:
	default:
		return fmt.Errorf("%.200q: expected a file, found a link or a device: %w", h.Name, ocm.ErrInvalid)
	}
	name, err := inside(h.Name)
	switch {
	case err != nil:
		return err
	case name == "Chart.yaml" && s.meta != nil:
		return fmt.Errorf("Chart.yaml is there twice: %w", ocm.ErrInvalid)
	case name == "Chart.yaml":
		var raw []byte
		if raw, err = blob.ReadDocument(r, h.Size, MaxMetadata); err == nil {
			s.meta, err = ParseMeta(raw)
		}
	case name == "requirements.yaml":
		s.requirements, err = blob.ReadDocument(r, h.Size, MaxMetadata)
	}
	return err
}

var drive = regexp.MustCompile(`^[A-Za-z]:`)

// inside is the name of an entry below the chart's own folder. Archives made on Windows have backslashes.
func inside(entry string) (string, error) {
	name := strings.ReplaceAll(entry, `\`, "/")
	_, rest, ok := strings.Cut(name, "/")
	clean := path.Clean(rest)
	for part := range strings.SplitSeq(name, "/") {
		ok = ok && part != ".."
	}
	if !ok || path.IsAbs(name) || path.IsAbs(rest) || clean == "." || drive.MatchString(name) || drive.MatchString(clean) {
		return "", fmt.Errorf("%.200q is no name of a file in the chart's folder: %w", entry, ocm.ErrInvalid)
	}
	return clean, nil
}

// bounded fails beyond a number of bytes.
type bounded struct {
	io.Reader
	left int64
	what string // than what
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("chart archive: more %s: %w", b.what, ocm.ErrLimit)
	}
	n, err := b.Reader.Read(p[:min(int64(len(p)), b.left+1)])
	b.left -= int64(n)
	return n, err
}
