// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/builtin"
	"ocm/graph"
	"ocm/inspect"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/transfer"
)

// signedBy accepts a signature by its text.
type signedBy string

func (s signedBy) Verify(_ context.Context, _ *ocm.Env, sig ocm.Signature, _ ocm.Spec) ([]ocm.Finding, error) {
	if sig.Signature.Value != string(s) {
		return nil, fmt.Errorf("signed by %s: %w", sig.Signature.Value, ocm.ErrSignature)
	}
	return []ocm.Finding{{Check: ocm.FoundSigner, Detail: string(s)}}, nil
}

// proven moves a version, with everything below it if recursive, if the signature is that of alice.
func proven(t testing.TB, from, to ocm.Repository, v ocm.Version, recursive bool, proof *transfer.Proof) (*transfer.Summary, error) {
	t.Helper()
	env, kit := newEnv(), builtin.Kit()
	kit.Verifiers.Add(signedBy("alice"), "test")
	g := fixture.Must[*graph.Graph](t)(graph.Walk(t.Context(), env.Job, findIn(from), []ocm.Version{v}, graph.Options{Recursive: recursive}))
	p := fixture.Must[*transfer.Plan](t)(transfer.NewPlan(t.Context(), kit, env, g, to, transfer.Options{Proof: proof}))
	return p.Run(t.Context())
}

// pair writes a library, and what references it, signed by somebody.
func pair(t testing.TB, r ocm.Repository, by string) ocm.Version {
	t.Helper()
	l := write(t, r, "acme.org/lib", "1.0.0", nil)
	l.resource("data", text("library data"))
	a := write(t, r, "acme.org/app", "1.0.0", nil)
	a.resource("data", text("data"))
	a.reference(l.commit())
	if by != "" {
		sign(t, a.desc, "release", by)
	}
	return a.commit()
}

func TestProof(t *testing.T) {
	t.Parallel()
	src, target := repository(memory.New()), &faulty{Store: memory.New()}
	v := pair(t, src, "alice")
	for range 2 { // also what is there already is proven
		if _, err := proven(t, src, repository(target), v, true, &transfer.Proof{}); err != nil {
			t.Fatal(err)
		}
	}
	// what is referenced and does not move is looked for where the proof says
	dst := repository(memory.New())
	_, err := proven(t, src, dst, v, false, &transfer.Proof{})
	fixture.WantErr(t, err, ocm.ErrSignature, "acme.org/lib:1.0.0 is referenced and not transferred")
	if _, err = proven(t, src, dst, v, false, &transfer.Proof{Find: findIn(src)}); err != nil {
		t.Error(err)
	}
}

// Nothing is written unless the source is proven.
func TestProofOfTheSource(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		by, bad string
		proof   transfer.Proof
		text    string
	}{
		"no signature":         {"", "", transfer.Proof{}, "no signatures"},
		"of somebody else":     {"mallory", "", transfer.Proof{}, "signed by mallory"},
		"of another name":      {"alice", "", transfer.Proof{VerifyOptions: graph.VerifyOptions{Signatures: []string{"x"}}}, `"x"`},
		"other content":        {"alice", "data", transfer.Proof{}, "resource data"},
		"of a library":         {"alice", "library data", transfer.Proof{}, "acme.org/lib:1.0.0: resource data"},
		"content, not shallow": {"alice", "data", transfer.Proof{VerifyOptions: graph.VerifyOptions{Shallow: true}}, "resource data"},
	} {
		store := corrupt{memory.New(), map[digest.Digest]string{}}
		src, target := repository(store), &faulty{Store: memory.New()}
		v := pair(t, src, c.by)
		store.bad[digest.FromString(c.bad)] = "jello"
		s, err := proven(t, src, repository(target), v, true, &c.proof)
		t.Run(name, func(t *testing.T) {
			fixture.WantErr(t, err, ocm.ErrSignature, "source: acme.org/app:1.0.0", c.text, "nothing was written")
			if len(target.writes) != 0 || s.Written != 0 {
				t.Errorf("written: %q", target.writes)
			}
		})
	}
}

// What the target makes of the content is read again, and a failure says on which side it was.
func TestProofOfTheTarget(t *testing.T) {
	t.Parallel()
	store := corrupt{memory.New(), map[digest.Digest]string{}}
	src, dst := repository(memory.New()), oci.NewRepository(store, newEnv())
	v := pair(t, src, "alice")
	store.bad[digest.FromString("library data")] = "jello"
	_, err := proven(t, src, dst, v, true, &transfer.Proof{})
	fixture.WantErr(t, err, ocm.ErrSignature, "after the transfer", "acme.org/lib:1.0.0: resource data")
}

// moving is a repository in which somebody replaces each version right after it was opened.
type moving struct {
	ocm.Repository
	t     *testing.T
	moved map[string]int
}

func (m *moving) Open(ctx context.Context, name, ref string) (ocm.Version, error) {
	v, err := m.Repository.Open(ctx, name, ref)
	if err != nil {
		return nil, err
	}
	m.moved[name]++
	d := v.Descriptor().Clone()
	draft := fixture.Must[ocm.Draft](m.t)(m.Draft(ctx, name, ref, v))
	defer draft.Close()
	stored := fixture.Must[ocm.Stored](m.t)(draft.Add(ctx, text(fmt.Sprint("evil ", m.moved[name])), ""))
	d.Component.Resources[0].Access = stored.Access
	d.Component.Provider = "evil.example"
	_, err = draft.Commit(ctx, d)
	return v, err
}

// GHSA-wfqx-gjrf-g28r, CVE-2023-38495: what is verified is what is used. A tag that moves between the two
// changes nothing, wherever the version is.
func TestGHSA_wfqx_gjrf_g28r_TagsThatMove(t *testing.T) {
	for place, open := range fixture.Places() {
		t.Run(place, func(t *testing.T) {
			src := &moving{repository(open(t)), t, map[string]int{}}
			pair(t, src.Repository, "alice")
			v := fixture.Must[ocm.Version](t)(src.Open(t.Context(), "acme.org/app", "1.0.0"))
			kit := builtin.Kit()
			kit.Verifiers.Add(signedBy("alice"), "test")

			// transfer --verify
			dst := repository(memory.New())
			if _, err := proven(t, src, dst, v, true, &transfer.Proof{}); err != nil {
				t.Fatal(err)
			}
			if src.moved["acme.org/lib"] != 1 { // more would be a second look, at something else
				t.Errorf("opened: %v", src.moved)
			}
			for _, name := range []string{"acme.org/app", "acme.org/lib"} {
				copied := fixture.Must[ocm.Version](t)(dst.Open(t.Context(), name, "1.0.0"))
				if p := copied.Descriptor().Component.Provider; p == "evil.example" {
					t.Errorf("%s was exchanged", name)
				}
			}

			// verify, then download
			rep := fixture.Must[*graph.Report](t)(graph.Verify(t.Context(), kit, newEnv(), findIn(dst), v, graph.VerifyOptions{}))
			if rep.Err() != nil || rep.Manifest != v.Manifest().Digest {
				t.Fatal(rep.Err())
			}
			path := filepath.Join(t.TempDir(), "data")
			if _, err := inspect.Download(t.Context(), kit, newEnv(), v, &v.Descriptor().Component.Resources[0], path, inspect.DownloadOptions{Form: inspect.FormBlob}); err != nil {
				t.Fatal(err)
			}
			if got := fixture.Must[[]byte](t)(os.ReadFile(path)); string(got) != "data" {
				t.Errorf("downloaded %q", got)
			}

			// who opens the tag again gets the other one, and that is not verified
			again := fixture.Must[ocm.Version](t)(src.Open(t.Context(), "acme.org/app", "1.0.0"))
			rep = fixture.Must[*graph.Report](t)(graph.Verify(t.Context(), kit, newEnv(), findIn(dst), again, graph.VerifyOptions{}))
			fixture.WantErr(t, rep.Err(), ocm.ErrDigest, "is not what was signed")
		})
	}
}
