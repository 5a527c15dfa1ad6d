// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	images    = 8
	imageSize = 128 << 20
)

// random is an endless stream of bytes that do not compress, the same in every run.
func random(seed int) io.Reader {
	return rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1})
}

func (b *bench) writeFile(name string, content []byte) error {
	return os.WriteFile(b.path(name), content, 0o644)
}

func (b *bench) randomFile(name string, seed int, size int64) error {
	f, err := os.Create(b.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(f, random(seed), size); err != nil {
		return err
	}
	return f.Close()
}

// imageLayouts makes an OCI layout per image, image0 to image7, and an archive of links to the same
// files, from which the bare client fills a registry.
func (b *bench) imageLayouts() error {
	var index artifactIndex
	index.SchemaVersion = 1
	if err := os.MkdirAll(b.path("images", "blobs"), 0o755); err != nil {
		return err
	}
	for i := range images {
		root, err := b.imageLayout(i)
		if err != nil {
			return err
		}
		index.Artifacts = append(index.Artifacts, artifact{fmt.Sprintf("images/i%d", i), "1", root.Digest.String(), root.MediaType})
	}
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return b.writeFile("images/artifact-index.json", text)
}

func (b *bench) imageLayout(i int) (ociv1.Descriptor, error) {
	name := fmt.Sprintf("image%d", i)
	var none ociv1.Descriptor
	if err := os.MkdirAll(b.path(name, "blobs", "sha256"), 0o755); err != nil {
		return none, err
	}
	plain := sha256.New()
	layer, err := b.layoutBlob(name, func(w io.Writer) error {
		z, err := gzip.NewWriterLevel(w, gzip.NoCompression)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(io.MultiWriter(z, plain), random(i), b.size(imageSize)); err != nil {
			return err
		}
		return z.Close()
	})
	if err != nil {
		return none, err
	}
	layer.MediaType = ociv1.MediaTypeImageLayerGzip
	config, err := b.layoutJSON(name, ociv1.MediaTypeImageConfig, ociv1.Image{
		Platform: ociv1.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ociv1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.NewDigest(digest.SHA256, plain)}},
	})
	if err != nil {
		return none, err
	}
	version := specs.Versioned{SchemaVersion: 2}
	root, err := b.layoutJSON(name, ociv1.MediaTypeImageManifest, ociv1.Manifest{
		Versioned: version, MediaType: ociv1.MediaTypeImageManifest, Config: config, Layers: []ociv1.Descriptor{layer},
	})
	if err != nil {
		return none, err
	}
	tagged := root
	tagged.Annotations = map[string]string{ociv1.AnnotationRefName: "1"}
	text, err := json.Marshal(ociv1.Index{Versioned: version, Manifests: []ociv1.Descriptor{tagged}})
	if err != nil {
		return none, err
	}
	if err := b.writeFile(name+"/oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return none, err
	}
	return root, b.writeFile(name+"/index.json", text)
}

func (b *bench) layoutJSON(layout, mediaType string, v any) (ociv1.Descriptor, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	d, err := b.layoutBlob(layout, func(w io.Writer) error { _, err := w.Write(text); return err })
	d.MediaType = mediaType
	return d, err
}

// layoutBlob stores what write writes, in the layout and in the archive.
func (b *bench) layoutBlob(layout string, write func(io.Writer) error) (ociv1.Descriptor, error) {
	var d ociv1.Descriptor
	f, err := os.Create(b.path(layout, "new"))
	if err != nil {
		return d, err
	}
	defer f.Close()
	hash := sha256.New()
	if err := write(io.MultiWriter(f, hash)); err != nil {
		return d, err
	}
	if d.Size, err = f.Seek(0, io.SeekCurrent); err != nil {
		return d, err
	}
	d.Digest = digest.NewDigest(digest.SHA256, hash)
	name := b.path(layout, "blobs", "sha256", d.Digest.Encoded())
	if err := os.Rename(f.Name(), name); err != nil {
		return d, err
	}
	if err := os.Link(name, blobFile(b.path("images"), d.Digest.String())); err != nil && !os.IsExist(err) {
		return d, err
	}
	return d, nil
}

// smallName is the archive with n small components: one in fifty is shared, all others refer to two
// of the shared ones, and a root refers to all of these. Each has two resources of 4 KiB.
func smallName(n int) string { return fmt.Sprintf("small-%d", n) }

const smallRoot = "//example.org/small/root:1.0.0"

func (b *bench) smallArchive(n int) error {
	name := smallName(n)
	if !b.once(name) {
		return nil
	}
	var s strings.Builder
	s.WriteString("components:\n")
	shared := max(n/50, 2)
	for i := range n {
		component := fmt.Sprintf("c%04d", i)
		if i == n-1 {
			component = "root"
		}
		fmt.Fprintf(&s, "- name: example.org/small/%s\n  version: 1.0.0\n  provider: {name: bench}\n  resources:\n", component)
		for k := range 2 {
			file := fmt.Sprintf("%s-%04d-%d", name, i, k)
			if err := b.randomFile("tmp/"+file, 2*i+k, smallSize); err != nil {
				return err
			}
			fmt.Fprintf(&s, "  - {name: r%d, type: blob, input: {type: file, path: tmp/%s, mediaType: application/octet-stream}}\n", k, file)
		}
		refer := func(k int) {
			fmt.Fprintf(&s, "  - {name: n%04d, componentName: example.org/small/c%04d, version: 1.0.0}\n", k, k)
		}
		switch {
		case i == n-1:
			s.WriteString("  componentReferences:\n")
			for k := shared; k < n-1; k++ {
				refer(k)
			}
		case i >= shared:
			s.WriteString("  componentReferences:\n")
			refer(i % shared)
			refer((i + 1) % shared)
		}
	}
	if err := b.writeFile(name+".yaml", []byte(s.String())); err != nil {
		return err
	}
	return b.do("add", "cv", "-r", "./"+name, "-c", name+".yaml")
}

// sparseTar writes an archive whose blobs are holes: only what is needed to list it has bytes. The
// index is the last entry, so that nobody finds it without reading all headers.
func (b *bench) sparseTar(name, from string, entries int, size int64) error {
	f, err := os.Create(b.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	pos := int64(0)
	put := func(entry string, size int64, content []byte) error {
		var h bytes.Buffer
		if err := tar.NewWriter(&h).WriteHeader(&tar.Header{Name: entry, Typeflag: tar.TypeReg, Mode: 0o644, Size: size, Format: tar.FormatGNU}); err != nil {
			return err
		}
		if _, err := f.WriteAt(append(h.Bytes(), content...), pos); err != nil {
			return err
		}
		pos += int64(h.Len()) + (size+511)/512*512
		return nil
	}
	real, err := os.ReadDir(b.path(from, "blobs"))
	if err != nil {
		return err
	}
	for i := range entries - len(real) - 1 {
		if err := put(fmt.Sprintf("blobs/sha256.%064x", i), size, nil); err != nil {
			return err
		}
	}
	var last []string
	for _, e := range real {
		last = append(last, "blobs/"+e.Name())
	}
	for _, entry := range append(last, "artifact-index.json") {
		content, err := os.ReadFile(b.path(from, entry))
		if err != nil {
			return err
		}
		if err := put(entry, int64(len(content)), content); err != nil {
			return err
		}
	}
	return f.Truncate(pos + 1024)
}
