// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"ocm"
	"ocm/graph"
)

// diamonds makes a tower of versions each of which refers twice to the one below, every reference
// with the right digest: two to the power of its height are the paths through it.
func (l *lab) diamonds(height int) {
	for i := range height {
		l.put(fmt.Sprintf("d%d", i), func(d *ocm.Descriptor) {
			d.Component.Resources = nil
			if i > 0 {
				a := l.reference(fmt.Sprintf("d%d", i-1))
				b := a
				b.Name = "again"
				d.Component.References = []ocm.Reference{a, b}
			}
		})
	}
}

func TestGHSA_298f_872v_2rcx_DiamondsAreWalkedOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.diamonds(40)
	l.put("victim", func(d *ocm.Descriptor) {
		ref := l.reference("d39")
		ref.Digest = nil // to be completed when it is signed
		d.Component.References = []ocm.Reference{ref}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := graph.Sign(ctx, l.kit, l.env, l.repo.Open, l.repo, l.name("victim"), "1.0.0", graph.SignOptions{})
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-ctx.Done():
		t.Fatal("signing follows every path through the references")
	}
}
