// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// WriteLayout writes an artifact with everything below it as an OCI image layout in a tar
// archive: oci-layout, index.json, then the blobs, children before parents. Equal artifacts and
// tags give equal bytes. tag becomes the annotation org.opencontainers.image.ref.name; it may
// be empty. c.Root must be complete and a manifest or index ([ocm.ErrInvalid]).
//
// Every blob is verified while it is copied. After an error w holds an unfinished archive, which
// the caller throws away.
func WriteLayout(ctx context.Context, w io.Writer, c ocm.Content, tag string) error {
	if !IsManifest(c.Root.MediaType) || c.Root.Size < 0 || CheckDigest(c.Root.Digest) != nil {
		return fmt.Errorf("OCI layout of %q %s: expected a manifest or index with digest and size: %w", c.Root.MediaType, c.Root.Digest, ocm.ErrInvalid)
	}
	tw := tar.NewWriter(w)
	if err := writeLayoutHead(tw, c.Root, tag); err != nil {
		return fmt.Errorf("OCI layout of %s: %w", c.Root.Digest, err)
	}
	written := map[digest.Digest]bool{}
	err := Walk(ctx, c.From, c.Root, func(d ociv1.Descriptor, raw []byte) error {
		if written[d.Digest] { // a manifest that is also somebody's layer
			return nil
		}
		written[d.Digest] = true
		name := "blobs/" + d.Digest.Algorithm().String() + "/" + d.Digest.Encoded()
		if raw != nil {
			return writeEntry(tw, name, int64(len(raw)), bytes.NewReader(raw))
		}
		r, err := Open(ctx, c.From, d)
		if err != nil {
			return err
		}
		defer r.Close()
		return writeEntry(tw, name, d.Size, ctxReader{ctx, r})
	})
	if err != nil {
		return fmt.Errorf("OCI layout of %s: %w", c.Root.Digest, err)
	}
	return tw.Close()
}

func writeLayoutHead(tw *tar.Writer, root ociv1.Descriptor, tag string) error {
	entry := ociv1.Descriptor{MediaType: root.MediaType, Digest: root.Digest, Size: root.Size}
	if tag != "" {
		entry.Annotations = map[string]string{ociv1.AnnotationRefName: tag}
	}
	index, err := json.Marshal(ociv1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ociv1.MediaTypeImageIndex,
		Manifests: []ociv1.Descriptor{entry},
	})
	if err != nil {
		return err
	}
	layout := []byte(`{"imageLayoutVersion":"` + ociv1.ImageLayoutVersion + `"}`)
	if err := writeEntry(tw, ociv1.ImageLayoutFile, int64(len(layout)), bytes.NewReader(layout)); err != nil {
		return err
	}
	return writeEntry(tw, ociv1.ImageIndexFile, int64(len(index)), bytes.NewReader(index))
}

// writeEntry writes a file with a header that says nothing about where and when it was made.
func writeEntry(tw *tar.Writer, name string, size int64, r io.Reader) error {
	err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)})
	if err != nil {
		return err
	}
	_, err = io.Copy(tw, r)
	return err
}
