// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/builtin"
	"ocm/graph"
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
