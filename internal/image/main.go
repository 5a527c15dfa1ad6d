// SPDX-License-Identifier: Apache-2.0

// Command image makes an image of a static program, for one or several platforms, without Docker. Equal programs give equal
// bytes on every machine. The result is an archive of an OCI image layout.
//
//	go run ./internal/image -out image.tar -name tool linux/amd64=build/tool-amd64 linux/arm64=build/tool-arm64
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

func main() {
	out := flag.String("out", "image.tar", "archive to write")
	name := flag.String("name", "", "name of the program in the image")
	authorities := flag.String("ca", "", "file with certificates (PEM) that the program trusts in TLS; empty: none")
	flag.Parse()
	if err := run(context.Background(), *out, *name, *authorities, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, name, authorities string, platforms []string) error {
	if name == "" || strings.ContainsAny(name, "/\\") || len(platforms) == 0 {
		return errors.New("usage: image -out FILE -name PROGRAM OS/ARCHITECTURE=FILE, once for each platform")
	}
	var trusted []byte
	if authorities != "" {
		var err error
		if trusted, err = os.ReadFile(authorities); err != nil {
			return err
		}
	}
	var images []ocm.Content
	for _, arg := range platforms {
		text, path, _ := strings.Cut(arg, "=")
		p, err := blob.ParsePlatform(text)
		if err != nil {
			return fmt.Errorf("%s: %w", arg, err)
		}
		program, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		c, err := image(ctx, ociv1.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}, name, program, trusted)
		if err != nil {
			return err
		}
		images = append(images, c)
	}
	index, err := blob.IndexOf(ctx, images)
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := blob.WriteLayout(ctx, f, index, ""); err != nil {
		return err
	}
	return f.Close()
}

// image is an image whose only files are a program and, if there are any, certificates.
func image(ctx context.Context, p ociv1.Platform, name string, program, trusted []byte) (ocm.Content, error) {
	plain, err := layer(name, program, trusted)
	if err != nil {
		return ocm.Content{}, err
	}
	small, err := compress(ctx, plain)
	if err != nil {
		return ocm.Content{}, err
	}
	s := store{}
	l := s.put(ociv1.MediaTypeImageLayerGzip, small)
	c, err := s.putJSON(ociv1.MediaTypeImageConfig, ociv1.Image{
		Platform: p,
		Config:   ociv1.ImageConfig{Entrypoint: []string{"/" + name}, User: "65532:65532", WorkingDir: "/"},
		RootFS:   ociv1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(plain)}},
	})
	if err != nil {
		return ocm.Content{}, err
	}
	m, err := s.putJSON(ociv1.MediaTypeImageManifest, ociv1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, Config: c, Layers: []ociv1.Descriptor{l},
	})
	return ocm.Content{Root: m, From: s}, err
}

// layer is a tar archive of what stands in the image.
func layer(name string, program, trusted []byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, content []byte) error {
		h.Size, h.Format = int64(len(content)), tar.FormatUSTAR
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}
	if err := add(tar.Header{Name: name, Mode: 0o755, Typeflag: tar.TypeReg}, program); err != nil {
		return nil, err
	}
	if trusted != nil {
		for _, dir := range []string{"etc/", "etc/ssl/", "etc/ssl/certs/"} {
			if err := add(tar.Header{Name: dir, Mode: 0o755, Typeflag: tar.TypeDir}, nil); err != nil {
				return nil, err
			}
		}
		if err := add(tar.Header{Name: "etc/ssl/certs/ca-certificates.crt", Mode: 0o644, Typeflag: tar.TypeReg}, trusted); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// compress does it as all that is packed here.
func compress(ctx context.Context, plain []byte) ([]byte, error) {
	c := blob.Gzip(blob.Bytes(ociv1.MediaTypeImageLayer, plain), ociv1.MediaTypeImageLayerGzip)
	r, err := c.From.Fetch(ctx, c.Root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// store holds blobs in memory.
type store map[digest.Digest][]byte

func (s store) put(mediaType string, b []byte) ociv1.Descriptor {
	d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	s[d.Digest] = b
	return d
}

func (s store) putJSON(mediaType string, v any) (ociv1.Descriptor, error) {
	b, err := json.Marshal(v)
	return s.put(mediaType, b), err
}

// Fetch implements [ocm.Fetcher].
func (s store) Fetch(_ context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	b, ok := s[d.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, ocm.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}
