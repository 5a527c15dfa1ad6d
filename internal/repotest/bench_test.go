// SPDX-License-Identifier: Apache-2.0

package repotest_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/plugintest"
)

// plain hides what the reader of a file can do besides, so that no kernel copies it: a plugin gets a stream, too.
type plain struct{ from ocm.Fetcher }

func (p plain) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	rc, err := p.from.Fetch(ctx, d)
	return struct{ io.ReadCloser }{rc}, err
}

// What it costs to store content through a plugin.
func BenchmarkAdd(b *testing.B) {
	const size = 1 << 30
	path := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		b.Fatal(err)
	}
	for _, k := range []struct {
		name string
		kit  *ocm.Kit
	}{{"inside", placesKit()}, {"plugin", plugintest.Kit(b, "places")}} {
		b.Run(k.name, func(b *testing.B) {
			b.SetBytes(size)
			for i := 0; b.Loop(); i++ {
				dir := filepath.Join(b.TempDir(), strconv.Itoa(i))
				r := open(b, k.kit, "archive", place{Path: dir})
				c, err := blob.File(path, "application/octet-stream")
				if err != nil {
					b.Fatal(err)
				}
				c.From = plain{c.From}
				d, err := r.Draft(b.Context(), "acme.org/app", "1.0.0", nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := d.Add(b.Context(), c, ""); err != nil {
					b.Fatal(err)
				}
				d.Close()
				os.RemoveAll(dir)
			}
		})
	}
}
