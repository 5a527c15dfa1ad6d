// SPDX-License-Identifier: Apache-2.0

package descriptor

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"ocm"
)

// untar returns the one document in a tar. Other entries are skipped; a second
// document would leave open which one was meant.
func untar(raw []byte) ([]byte, error) {
	var found []byte
	r := tar.NewReader(bytes.NewReader(raw))
	for n := 0; ; n++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("tar: %w: %w", err, ocm.ErrInvalid)
		}
		if n >= MaxTarEntries {
			return nil, fmt.Errorf("tar: more than %d entries: %w", MaxTarEntries, ocm.ErrLimit)
		}
		if strings.TrimPrefix(strings.TrimPrefix(h.Name, "."), "/") != FileName {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("tar: %s is there twice: %w", FileName, ocm.ErrInvalid)
		}
		if found, err = entry(r, h); err != nil {
			return nil, err
		}
	}
	if found == nil {
		return nil, fmt.Errorf("tar: %s is missing: %w", FileName, ocm.ErrInvalid)
	}
	return found, nil
}

func entry(r io.Reader, h *tar.Header) ([]byte, error) {
	if h.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("tar: %s is no regular file (type %q): %w", FileName, h.Typeflag, ocm.ErrInvalid)
	}
	if h.Size > MaxBytes { // a sparse entry may claim more than the tar has bytes
		return nil, fmt.Errorf("tar: %s: %d bytes, at most %d are accepted: %w", FileName, h.Size, MaxBytes, ocm.ErrLimit)
	}
	b := make([]byte, 0, 512)
	buf := bytes.NewBuffer(b)
	if _, err := io.Copy(buf, io.LimitReader(r, MaxBytes)); err != nil {
		return nil, fmt.Errorf("tar: %s: %w: %w", FileName, err, ocm.ErrInvalid)
	}
	return buf.Bytes(), nil
}
