// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func newTestDirectory(t testing.TB) *directory {
	d := newDirectory(filepath.Join(t.TempDir(), "ctf"))
	t.Cleanup(func() { d.Close() })
	return d
}

func adding(tag string) func(*index) (*index, error) {
	return func(idx *index) (*index, error) {
		return idx.with(entry{"r", tag, digest.FromString(tag), "m"})
	}
}

// waitFor waits until so many updates wait for their turn.
func waitFor(d *directory, n int) {
	for {
		d.groupMu.Lock()
		have := len(d.group)
		d.groupMu.Unlock()
		if have == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// Updates that come while somebody has the turn are written together, in their order; those that fail or
// are cancelled leave nothing, and the others do not notice.
func TestUpdate_group(t *testing.T) {
	t.Parallel()
	d := newTestDirectory(t)
	if err := d.update(t.Context(), true, adding("first")); err != nil {
		t.Fatal(err)
	}
	before, _ := d.load()
	d.turn <- struct{}{} // whoever comes now has to wait
	errOdd := errors.New("odd")
	var wg sync.WaitGroup
	errs := make([]error, 301)
	ctx, cancel := context.WithCancel(t.Context())
	writes := 0
	for i := range errs {
		fn := adding(fmt.Sprintf("%03d", i))
		wg.Go(func() {
			switch {
			case i == 300:
				errs[i] = d.update(ctx, true, adding("cancelled"))
			case i%3 == 1: // fails after it made a new index
				errs[i] = d.update(t.Context(), true, func(idx *index) (*index, error) {
					if _, err := fn(idx); err != nil {
						return nil, err
					}
					return nil, errOdd
				})
			default:
				errs[i] = d.update(t.Context(), i%2 == 0, func(idx *index) (*index, error) {
					writes++
					return fn(idx)
				})
			}
		})
		waitFor(d, i+1)
	}
	cancel()
	waitFor(d, 300)
	<-d.turn
	wg.Wait()
	want := []string{"first"}
	for i, err := range errs {
		var expected error
		switch {
		case i == 300:
			expected = context.Canceled
		case i%3 == 1:
			expected = errOdd
		default:
			want = append(want, fmt.Sprintf("%03d", i))
		}
		if !errors.Is(err, expected) {
			t.Errorf("%d: expected %v, found %v", i, expected, err)
		}
	}
	idx, err := d.load()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range idx.entries {
		got = append(got, e.Tag)
	}
	if !slices.Equal(got, want) || writes != 200 {
		t.Errorf("%d updates: expected %v, found %v", writes, want, got)
	}
	if len(before.entries) != 1 || d.crowd != 300 {
		t.Errorf("expected one group of 300 and an old index that stays, found %d and %d entries", d.crowd, len(before.entries))
	}
}

// A writer who is alone never waits for others; many do, and not for long.
func TestUpdate_grow(t *testing.T) {
	t.Parallel()
	d := newTestDirectory(t)
	d.last, d.crowd = time.Hour, 1
	d.turn <- struct{}{}
	if d.grow(t.Context()); d.wanted != 0 {
		t.Error("waited alone")
	}
	d.crowd = 3
	grown := make(chan struct{})
	go func() { d.grow(t.Context()); close(grown) }()
	for range 3 { // the third one ends it, or the time does
		d.join(&change{})
	}
	<-grown
	if d.full != nil || len(d.group) != 3 {
		t.Errorf("found %d waiting", len(d.group))
	}
	d.group = nil
	start := time.Now()
	d.grow(t.Context()) // nobody comes
	if waited := time.Since(start); waited < growMax {
		t.Errorf("waited %s only", waited)
	}
}

// An index that is changed in place is the same as one that is made anew each time.
func TestIndex_apply(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		plain, _ := newIndex(nil)
		grouped, _ := newIndex(nil)
		for range 1 + rnd.IntN(5) {
			var fns []func(*index) (*index, error)
			frozen, before := grouped, short(grouped.entries)
			for range rnd.IntN(40) {
				e := entry{string("rs"[rnd.IntN(2)]), []string{"", "", "1", "2", "3"}[rnd.IntN(5)], []digest.Digest{digestA, digestB}[rnd.IntN(2)], []string{"", "m"}[rnd.IntN(2)]}
				plain, _ = plain.with(e)
				fns = append(fns, func(idx *index) (*index, error) { return idx.with(e) })
			}
			grouped, _ = grouped.apply(fns)
			if got, want := short(grouped.entries), short(plain.entries); got != want {
				t.Fatalf("expected %s\nfound %s", want, got)
			}
			if short(frozen.entries) != before {
				t.Fatal("the old index was changed")
			}
			sameAsNew(t, grouped)
		}
	}
}

// sameAsNew compares what can be found in an index with one that is made of its entries.
func sameAsNew(t *testing.T, idx *index) {
	t.Helper()
	fresh, err := newIndex(idx.entries)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(idx.repos, fresh.repos) {
		t.Fatalf("repositories: expected %v, found %v", fresh.repos, idx.repos)
	}
	for _, name := range fresh.repos {
		if !slices.Equal(idx.repo(name), fresh.repo(name)) {
			t.Fatalf("%s: expected %v, found %v", name, fresh.repo(name), idx.repo(name))
		}
		for _, tag := range []string{"1", "2", "3"} {
			a, aok := idx.tag(name, tag)
			b, bok := fresh.tag(name, tag)
			if a != b || aok != bok {
				t.Fatalf("%s:%s: expected %v, found %v", name, tag, b, a)
			}
		}
		for _, d := range []digest.Digest{digestA, digestB} {
			a, aok := idx.digest(name, d)
			b, bok := fresh.digest(name, d)
			if a.MediaType != b.MediaType || aok != bok {
				t.Fatalf("%s@%s: expected %v, found %v", name, d, b, a)
			}
		}
	}
}

// What was encoded before is not taken for something else.
func TestEncoder(t *testing.T) {
	t.Parallel()
	enc := &encoder{}
	for _, text := range []string{"", "r:1=A", "r:1=A r:2=B s:1=A", "r:=A r:2=B s:1=A", "r:=A", "s:1=B r:1=A", "s:1=B r:1=A r:2=Am", ""} {
		idx, _ := newIndex(parseShort(t, text))
		var got, want strings.Builder
		if err := errors.Join(enc.write(&got, idx), idx.write(&want)); err != nil || got.String() != want.String() {
			t.Errorf("%s: expected %s, found %s, %v", text, &want, &got, err)
		}
	}
}
