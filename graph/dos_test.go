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

// A large version that is referenced very often is normalised once: the time is that of its size and
// of the number of references, not of their product.
func TestManyReferencesToOneLargeVersion(t *testing.T) {
	l := newLab(t)
	l.put("big", func(d *ocm.Descriptor) {
		for i := range 2000 {
			d.Component.Labels = append(d.Component.Labels, ocm.Label{Name: fmt.Sprintf("l%d", i), Value: ocm.RawJSON(`[1]`), Signing: true})
		}
	})
	put := func(name string, references int) ocm.Version {
		l.put(name, func(d *ocm.Descriptor) {
			ref := l.reference("big")
			for i := range references {
				ref.Name = fmt.Sprintf("r%d", i)
				d.Component.References = append(d.Component.References, ref)
			}
		})
		return l.open(name)
	}
	walk := func(v ocm.Version) time.Duration {
		start := time.Now()
		if _, err := graph.Walk(t.Context(), l.env.Job, l.repo.Open, []ocm.Version{v}, graph.Options{Recursive: true}); err != nil {
			t.Fatal(err)
		}
		return time.Since(start)
	}
	few, many := put("few", 1), put("many", 1000)
	if once, often := walk(few), walk(many); often > 100*once {
		t.Errorf("1 reference takes %v, 1000 take %v", once, often)
	}
}
