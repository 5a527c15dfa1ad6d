// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"fmt"
	"testing"

	"ocm"
	"ocm/builtin"
	"ocm/ctf"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/transfer"
)

// many are n small versions with a resource each, ten of which everybody references, and their parent.
func many(t testing.TB, r ocm.Repository, n int) ocm.Version {
	t.Helper()
	var shared []ocm.Version
	root := write(t, r, "acme.org/root", "1.0.0", nil)
	for i := range n {
		a := write(t, r, fmt.Sprintf("acme.org/part/p%05d", i), "1.0.0", nil)
		a.resource("data", text(fmt.Sprint("data ", i)))
		for k, s := range shared {
			if k >= 2 {
				break
			}
			a.reference(s)
		}
		v := a.commit()
		if len(shared) < 10 {
			shared = append(shared, v)
		}
		root.reference(v)
	}
	return root.commit()
}

// BenchmarkVersions shows what a version costs, and that it does not cost more among many. The source is
// read from an archive, as a process does that has not seen it.
func BenchmarkVersions(b *testing.B) {
	for _, n := range []int{100, 2000} {
		dir := b.TempDir() + "/source"
		mem := repository(memory.New())
		v := many(b, mem, n)
		mustMove(b, mem, repository(fixture.Must[*ctf.Store](b)(ctf.Open(dir))), v, transfer.Options{})
		for name, open := range map[string]func(b *testing.B) oci.Store{
			"memory": func(*testing.B) oci.Store { return memory.New() },
			"ctf":    func(b *testing.B) oci.Store { return fixture.Must[*ctf.Store](b)(ctf.Open(b.TempDir() + "/target")) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					transferAll(b, dir, open(b))
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/version")
			})
		}
		again := fixture.Must[*ctf.Store](b)(ctf.Open(b.TempDir() + "/again"))
		transferAll(b, dir, again)
		b.Run(fmt.Sprintf("again/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				transferAll(b, dir, again)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/version")
		})
	}
}

func transferAll(b *testing.B, dir string, to oci.Store) {
	b.Helper()
	env := newEnv()
	src := oci.NewRepository(fixture.Must[*ctf.Store](b)(ctf.Open(dir)), env)
	defer src.Close()
	v := fixture.Must[ocm.Version](b)(src.Open(b.Context(), "acme.org/root", "1.0.0"))
	g := fixture.Must[*graph.Graph](b)(graph.Walk(b.Context(), env.Job, findIn(src), []ocm.Version{v}, graph.Options{Recursive: true}))
	p := fixture.Must[*transfer.Plan](b)(transfer.NewPlan(b.Context(), builtin.Kit(), env, g, oci.NewRepository(to, env), transfer.Options{}))
	fixture.Must[*transfer.Summary](b)(p.Run(b.Context()))
}
