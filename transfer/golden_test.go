// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/ctf"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/transfer"
)

const golden = "../ctf/testdata/golden"

// goldenKeys gives every signature the key that the README of the golden data names for it.
type goldenKeys struct{}

func (goldenKeys) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	property, file := "publicKeyPEM", "plain.pub"
	switch id["signature"] {
	case "pss-pem":
		property, file = "caCertPEM", "root.pem"
	case "gpg":
		property, file = "publicKeyPGP", "gpg.pub.asc"
	case "":
		return nil, fmt.Errorf("%s: %w", id, ocm.ErrNotFound)
	}
	raw, err := os.ReadFile(filepath.Join(golden, "keys", file))
	return ocm.Secret{property: string(raw)}, err
}

// goldenEnv has the keys, and the time at which the certificates are valid.
func goldenEnv() *ocm.Env {
	return &ocm.Env{
		Job: ocm.NewJob(4), Credentials: goldenKeys{},
		Now: func() time.Time { return time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC) },
	}
}

// TestGolden carries what other tools signed through our hands: the document of every descriptor
// stays the same bytes, and all signatures verify at every stop.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		source  string
		whole   bool // everything is in the archive: verify contents, too
		signers int
	}{
		{"v1", false, 2}, {"v1-copied", true, 2}, {"v1-copied.tar", true, 2}, {"v1-copied.tgz", true, 2},
		{"v2", false, 4}, {"v2n", false, 4}, {"v2n-copied", true, 4},
	} {
		t.Run(c.source, func(t *testing.T) {
			t.Parallel()
			store := fixture.Must[*ctf.Store](t)(ctf.Open(filepath.Join(golden, c.source)))
			defer store.Close()
			var stops []oci.Store
			for _, place := range []string{"ctf", "registry", "memory", "ctf"} {
				stops = append(stops, fixture.Places()[place](t))
			}
			original := map[string]ocm.Version{}
			from := oci.Store(store)
			for i, to := range stops {
				src, dst := repository(from), repository(to)
				v := fixture.Must[ocm.Version](t)(src.Open(t.Context(), "golden.example/app", "1.0.0"))
				p, s := mustMove(t, src, dst, v, transfer.Options{CopyResources: c.whole})
				if s.Versions != 2 || s.Written != 2 {
					t.Errorf("stop %d: %+v", i, s)
				}
				for _, vp := range p.Versions {
					if i > 0 {
						break
					}
					original[vp.Component] = fixture.Must[ocm.Version](t)(src.Open(t.Context(), vp.Component[:len(vp.Component)-6], "1.0.0"))
				}
				for key, o := range original {
					checkSameDocument(t, fmt.Sprintf("stop %d, %s", i, key), o, reopen(t, dst, o), dst, to)
				}
				verifyGolden(t, dst, !c.whole, c.signers)
				if _, s := mustMove(t, src, dst, v, transfer.Options{CopyResources: c.whole}); s.Written != 0 {
					t.Errorf("stop %d: a second transfer wrote %+v", i, s)
				}
				from = to
			}
		})
	}
}

// checkSameDocument compares the descriptors' bytes and media types, and the layer they are stored as.
func checkSameDocument(t *testing.T, where string, a, b ocm.Version, r ocm.Repository, store oci.Store) {
	t.Helper()
	x, y := a.Descriptor().Origin(), b.Descriptor().Origin()
	if x.MediaType != y.MediaType || string(x.Bytes) != string(y.Bytes) {
		t.Errorf("%s: the descriptor's document changed:\n%s %s\n%s %s", where, x.MediaType, x.Bytes, y.MediaType, y.Bytes)
		return
	}
	repo := store.Repo(oci.RepoName(b.Descriptor().Component.Name))
	m := b.Manifest()
	raw := fixture.Must[[]byte](t)(blob.ReadAll(t.Context(), repo, m, blob.MaxManifest))
	if blob.IsIndex(m.MediaType) {
		children := fixture.Must[[]ociv1.Descriptor](t)(blob.Children(m, raw))
		raw = fixture.Must[[]byte](t)(blob.ReadAll(t.Context(), repo, children[0], blob.MaxManifest))
	}
	var manifest ociv1.Manifest
	if err := jsonv2.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	rc, err := blob.Open(t.Context(), repo, manifest.Layers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if layer := fixture.Must[[]byte](t)(io.ReadAll(rc)); string(layer) != string(x.Bytes) {
		t.Errorf("%s: the first layer is not the document that was signed", where)
	}
}

func verifyGolden(t *testing.T, r ocm.Repository, shallow bool, signers int) {
	t.Helper()
	v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), "golden.example/app", "1.0.0"))
	rep := fixture.Must[*graph.Report](t)(graph.Verify(t.Context(), builtin.Kit(), goldenEnv(), findIn(r), v, graph.VerifyOptions{Shallow: shallow}))
	if err := rep.Err(); err != nil {
		t.Errorf("%s: %v", r, err)
	}
	if n := len(v.Descriptor().Signatures); n != signers {
		t.Errorf("%s: expected %d signatures, found %d", r, signers, n)
	}
}

// A flipped byte on the way is noticed, and the target shows nothing of the version.
func TestGoldenWithAFlippedByte(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ctf")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(golden, "v2n-copied"))); err != nil {
		t.Fatal(err)
	}
	store := fixture.Must[*ctf.Store](t)(ctf.Open(dir))
	src := repository(store)
	v := fixture.Must[ocm.Version](t)(src.Open(t.Context(), "golden.example/app", "1.0.0"))
	l := fixture.Must[oci.LocalBlob](t)(oci.ParseLocal(v.Descriptor().Component.Resources[0].Access))
	file := filepath.Join(dir, "blobs", "sha256."+l.LocalReference[len("sha256:"):])
	raw := fixture.Must[[]byte](t)(os.ReadFile(file))
	raw[0] ^= 1
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, place := range fixture.Places() {
		dst := repository(place(t))
		_, _, err := move(t.Context(), src, dst, v, transfer.Options{CopyResources: true})
		fixture.WantErr(t, err, ocm.ErrDigest, "golden.example/app:1.0.0", "resource txt")
		if _, err := dst.Open(t.Context(), "golden.example/app", "1.0.0"); err == nil {
			t.Errorf("%s: the version is visible", name)
		}
	}
}
