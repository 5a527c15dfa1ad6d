// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// writeImage makes an OCI layout archive of an image whose only file is a static binary.
func writeImage(path, binary string) error {
	program, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	tw := tar.NewWriter(&layer)
	if err := addFile(tw, "ocm", 0o755, program); err != nil {
		return err
	}
	if err := tw.Close(); err != nil {
		return err
	}
	blobs := map[digest.Digest][]byte{}
	put := func(mediaType string, b []byte) ociv1.Descriptor {
		d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
		blobs[d.Digest] = b
		return d
	}
	l := put(ociv1.MediaTypeImageLayer, layer.Bytes())
	c := put(ociv1.MediaTypeImageConfig, asJSON(ociv1.Image{
		Platform: ociv1.Platform{OS: "linux", Architecture: "amd64"},
		Config:   ociv1.ImageConfig{Entrypoint: []string{"/ocm"}, User: "65532"},
		RootFS:   ociv1.RootFS{Type: "layers", DiffIDs: []digest.Digest{l.Digest}},
	}))
	m := put(ociv1.MediaTypeImageManifest, asJSON(ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, Config: c, Layers: []ociv1.Descriptor{l},
	}))
	index := asJSON(ociv1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex, Manifests: []ociv1.Descriptor{m}})

	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	tw = tar.NewWriter(f)
	if err := addFile(tw, "oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	if err := addFile(tw, "index.json", 0o644, index); err != nil {
		return err
	}
	for _, d := range []ociv1.Descriptor{m, c, l} {
		if err := addFile(tw, "blobs/sha256/"+d.Digest.Encoded(), 0o644, blobs[d.Digest]); err != nil {
			return err
		}
	}
	if err := tw.Close(); err != nil {
		return err
	}
	return f.Close()
}

func addFile(tw *tar.Writer, name string, mode int64, b []byte) error {
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(b)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := io.Copy(tw, bytes.NewReader(b))
	return err
}

func asJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	return b
}
