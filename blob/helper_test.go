// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// image is a small artifact in memory: a fetcher of all its blobs.
type image struct {
	blobs map[digest.Digest][]byte
	order []digest.Digest
	root  ociv1.Descriptor
}

func (m *image) Fetch(_ context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	b, ok := m.blobs[d.Digest]
	if !ok {
		return nil, ocm.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (m *image) add(mediaType string, b []byte) ociv1.Descriptor {
	if m.blobs == nil {
		m.blobs = map[digest.Digest][]byte{}
	}
	d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	if m.blobs[d.Digest] == nil {
		m.order = append(m.order, d.Digest)
	}
	m.blobs[d.Digest] = b
	m.root = d
	return d
}

func (m *image) addJSON(mediaType string, v any) ociv1.Descriptor {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return m.add(mediaType, b)
}

// manifest adds an image with the given layers.
func (m *image) manifest(layers ...[]byte) ociv1.Descriptor {
	man := ociv1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest}
	man.Config = m.add(ociv1.MediaTypeImageConfig, []byte(`{"architecture":"amd64","config":{}}`))
	for _, l := range layers {
		man.Layers = append(man.Layers, m.add(ociv1.MediaTypeImageLayer, l))
	}
	return m.addJSON(man.MediaType, man)
}

// index adds an index of manifests.
func (m *image) index(children ...ociv1.Descriptor) ociv1.Descriptor {
	return m.addJSON(ociv1.MediaTypeImageIndex, ociv1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex, Manifests: children,
	})
}

func (m *image) content() ocm.Content { return ocm.Content{Root: m.root, From: m} }

// entry is one entry of a test archive.
type entry struct {
	name, body, link string
	flag             byte
	mode             int64
	pax              map[string]string
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.flag, Linkname: e.link, Mode: e.mode, PAXRecords: e.pax}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(e.body))
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(tw, e.body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// entries are the blobs of m as archive entries; sep is "/" or ".".
func (m *image) entries(sep string) []entry {
	var out []entry
	for _, d := range m.order {
		out = append(out, entry{name: "blobs/sha256" + sep + d.Encoded(), body: string(m.blobs[d])})
	}
	return out
}

// indexEntry is an index.json, or an artifact set's older file, that lists ds.
func indexEntry(name string, annotations map[string]string, ds ...ociv1.Descriptor) entry {
	b, err := json.Marshal(ociv1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: ds, Annotations: annotations})
	if err != nil {
		panic(err)
	}
	return entry{name: name, body: string(b)}
}

func tagged(d ociv1.Descriptor, tag string) ociv1.Descriptor {
	d.Annotations = map[string]string{ociv1.AnnotationRefName: tag}
	return d
}

func gz(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// streamed is content that can only be read front to back; it counts how often.
type streamed struct {
	b     []byte
	opens atomic.Int32
	open  atomic.Int32
}

func (s *streamed) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) {
	s.opens.Add(1)
	s.open.Add(1)
	return &countedCloser{Reader: struct{ io.Reader }{bytes.NewReader(s.b)}, n: &s.open}, nil
}

type countedCloser struct {
	io.Reader
	n *atomic.Int32
}

func (c *countedCloser) Close() error {
	c.n.Add(-1)
	return nil
}

func (s *streamed) content() ocm.Content {
	return ocm.Content{Root: ociv1.Descriptor{MediaType: MediaTypeLayout, Digest: digest.FromBytes(s.b), Size: int64(len(s.b))}, From: s}
}

// fileContent stores b in a file.
func fileOf(t testing.TB, b []byte) ocm.Content {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := File(path, MediaTypeLayout)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func readContent(t testing.TB, c ocm.Content) []byte {
	t.Helper()
	b, err := read(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(c ocm.Content) ([]byte, error) {
	r, err := c.Open(context.Background())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// wantError demands an error of one kind whose text names things.
func wantError(t testing.TB, err, kind error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("expected an error of kind %v", kind)
	}
	if !isKind(err, kind) {
		t.Fatalf("expected an error of kind %v, found: %v", kind, err)
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Fatalf("expected an error that mentions %q, found: %v", s, err)
		}
	}
}

// tree writes files below a new directory: "name/" is a directory, "name -> target" a link.
func tree(t testing.TB, files ...string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "dr")
	must(t, os.Mkdir(root, 0o755))
	for _, f := range files {
		if link, target, ok := strings.Cut(f, " -> "); ok {
			must(t, os.Symlink(target, filepath.Join(root, link)))
			continue
		}
		full := filepath.Join(root, f)
		if strings.HasSuffix(f, "/") {
			must(t, os.MkdirAll(full, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, []byte("content of "+f+"\n"), 0o644))
	}
	return root
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// names lists the entries of a tar archive.
func names(t testing.TB, b []byte) []string {
	t.Helper()
	var out []string
	for tr := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return out
		}
		must(t, err)
		n, err := io.Copy(io.Discard, tr)
		must(t, err)
		if n != h.Size {
			t.Fatal(fmt.Errorf("%s: %d bytes, header says %d", h.Name, n, h.Size))
		}
		out = append(out, h.Name)
	}
}
