// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"fmt"
	"net/http"
	"testing"

	"ocm"
	"ocm/builtin"
	"ocm/ctf"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/remote"
	"ocm/transfer"
)

// BenchmarkNothingToDo shows what a transfer costs that finds everything in its place: 100 versions with an image each, between
// archives and a registry, as a process does it that has not seen them.
func BenchmarkNothingToDo(b *testing.B) {
	const images = 100
	dir, url := b.TempDir()+"/source", fixture.Registry(b)
	made := repository(fixture.Must[*ctf.Store](b)(ctf.Open(dir)))
	for i := range images {
		a := write(b, made, fmt.Sprintf("acme.org/part/p%03d", i), "1.0.0", nil)
		a.resource("image", fixture.Image(fmt.Sprint("a layer ", i)))
		a.commit()
	}
	archive := func(path string) func(*ocm.Env) oci.Store {
		return func(*ocm.Env) oci.Store { return fixture.Must[*ctf.Store](b)(ctf.Open(path)) }
	}
	registry := func(prefix string) func(*ocm.Env) oci.Store {
		return func(env *ocm.Env) oci.Store {
			return fixture.Must[*remote.Store](b)(remote.Open(env, url, prefix, remote.Options{}))
		}
	}
	for _, c := range []struct {
		name     string
		from, to func(*ocm.Env) oci.Store
	}{
		{"archive to archive", archive(dir), archive(b.TempDir() + "/target")},
		{"archive to registry", archive(dir), registry("one")},
		{"registry to registry", registry("one"), registry("two")},
		{"registry to archive", registry("one"), archive(b.TempDir() + "/back")},
	} {
		wire := &counting{}
		run := func() {
			env := &ocm.Env{Job: ocm.NewJob(8), HTTP: wire}
			from, to := oci.NewRepository(c.from(env), env), oci.NewRepository(c.to(env), env)
			var roots []ocm.Version
			for i := range images {
				roots = append(roots, fixture.Must[ocm.Version](b)(from.Open(b.Context(), fmt.Sprintf("acme.org/part/p%03d", i), "1.0.0")))
			}
			g := fixture.Must[*graph.Graph](b)(graph.Walk(b.Context(), env.Job, findIn(from), roots, graph.Options{}))
			p := fixture.Must[*transfer.Plan](b)(transfer.NewPlan(b.Context(), builtin.Kit(), env, g, to, transfer.Options{}))
			fixture.Must[*transfer.Summary](b)(p.Run(b.Context()))
		}
		run()
		b.Run(c.name, func(b *testing.B) {
			wire.take()
			for b.Loop() {
				run()
			}
			b.ReportMetric(float64(len(wire.take()))/float64(b.N), "requests/op")
		})
	}
	http.DefaultClient.CloseIdleConnections()
}
