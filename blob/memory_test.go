// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

const bigSize = 256 << 20

// allocated measures all bytes that fn allocates, live or not: an upper bound of what it held.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestConstantMemory packs, checks and opens 256 MiB. It is not parallel, because it measures the
// whole process.
func TestConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("moves a gigabyte")
	}
	ctx := context.Background()
	root := tree(t, "big")
	must(t, os.Truncate(filepath.Join(root, "big"), bigSize))
	dir, err := TarDir(root, DirOptions{})
	must(t, err)
	small := func(what string, fn func()) {
		t.Helper()
		if n := allocated(fn); n > 8<<20 {
			t.Errorf("%s allocated %d bytes", what, n)
		} else {
			t.Logf("%s allocated %d KiB", what, n>>10)
		}
	}
	small("TarDir and Gzip", func() {
		r, err := Gzip(dir, "application/x-tar+gzip").Open(ctx)
		must(t, err)
		defer r.Close()
		plain, _, err := Gunzip(r)
		must(t, err)
		n, err := io.Copy(io.Discard, plain)
		must(t, err)
		if n < bigSize {
			t.Fatalf("%d bytes", n)
		}
	})
	c := bigLayout(t)
	small("CheckLayout", func() {
		_, err := CheckLayout(ctx, c)
		must(t, err)
	})
	small("Layout and Check", func() {
		l, err := Layout(ctx, c)
		must(t, err)
		must(t, Check(ctx, l))
	})
	small("WriteLayout", func() {
		l, err := Layout(ctx, c)
		must(t, err)
		must(t, WriteLayout(ctx, io.Discard, l, ""))
	})
}

// bigLayout is a layout with one layer of zeros, made while it is read.
func bigLayout(t *testing.T) ocm.Content {
	h := sha256.New()
	_, err := io.Copy(h, io.LimitReader(zeros{}, bigSize))
	must(t, err)
	m := &image{}
	man := ociv1.Manifest{MediaType: ociv1.MediaTypeImageManifest, Config: m.add(ociv1.MediaTypeImageConfig, []byte("{}"))}
	layer := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageLayer, Digest: digest.NewDigest(digest.SHA256, h), Size: bigSize}
	man.Layers = append(man.Layers, layer)
	root := m.addJSON(man.MediaType, man)
	rest := append(m.entries("/"), indexEntry("index.json", nil, root))
	return Gzip(ocm.Content{Root: ociv1.Descriptor{Size: -1}, From: fetcherFunc(func(ctx context.Context) io.ReadCloser {
		return pipe(ctx, func(_ context.Context, w io.Writer) error {
			tw := tar.NewWriter(w)
			for _, e := range rest {
				if err := writeEntry(tw, e.name, int64(len(e.body)), strings.NewReader(e.body)); err != nil {
					return err
				}
			}
			if err := writeEntry(tw, "blobs/sha256/"+layer.Digest.Encoded(), bigSize, io.LimitReader(zeros{}, bigSize)); err != nil {
				return err
			}
			return tw.Close()
		})
	})}, MediaTypeLayoutGzip)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
