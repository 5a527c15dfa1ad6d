// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// packedFrom is the size from which on a blob that is compressed is not compressed again.
const packedFrom = 64 << 10

// finish writes the archive: index, manifests, what else is needed to open component versions,
// then all other blobs, each group by digest. Content of sequential sources comes when they bring it,
// which is the same place if they are archives of this order. It is compared with its
// digest on the way.
func (o *overlay) finish(ctx context.Context, f form, from []ocm.Sequential) error {
	o.finishing.Lock()
	defer o.finishing.Unlock()
	o.mu.Lock()
	changes, done := o.changes, o.written
	o.mu.Unlock()
	if changes == done {
		return nil
	}
	idx, err := o.load()
	if err != nil {
		return err
	}
	err = o.to.write(ctx, func(w io.Writer) error {
		a := &author{o: o, ctx: ctx, left: o.sizes()}
		out := bufio.NewWriterSize(w, 64<<10)
		a.out = out
		if f.pack != nil {
			var err error
			if a.pack, err = f.pack(out); err != nil {
				return err
			}
			a.out = a.pack
		}
		a.tw = tar.NewWriter(a.out)
		if err := a.archive(idx, from); err != nil {
			return err
		}
		if err := a.tw.Close(); err != nil {
			return err
		}
		if a.pack != nil {
			if err := a.pack.Close(); err != nil {
				return err
			}
		}
		return out.Flush()
	})
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.written = changes
	return nil
}

// sizes lists everything that goes into the archive.
func (o *overlay) sizes() map[digest.Digest]int64 {
	all := map[digest.Digest]int64{}
	if o.old != nil {
		all = o.old.sizes()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for d, f := range o.fresh {
		all[d] = f.size
	}
	return all
}

// author writes one archive.
type author struct {
	o    *overlay
	ctx  context.Context
	out  io.Writer // what tw writes to
	pack packer    // nil: not compressed
	tw   *tar.Writer
	left map[digest.Digest]int64 // what is not written yet, with its size
}

func (a *author) archive(idx *index, from []ocm.Sequential) error {
	sorted := index{entries: slices.Clone(idx.entries)} // versions are committed in no order
	slices.SortStableFunc(sorted.entries, func(x, y entry) int {
		return cmp.Or(cmp.Compare(x.Repository, y.Repository), cmp.Compare(x.Tag, y.Tag), cmp.Compare(x.Digest, y.Digest))
	})
	var text bytes.Buffer
	if err := sorted.write(&text); err != nil {
		return err
	}
	if err := a.entry(tar.Header{Typeflag: tar.TypeReg, Name: indexName, Mode: 0o644, Size: int64(text.Len())}); err != nil {
		return err
	}
	if _, err := a.tw.Write(text.Bytes()); err != nil {
		return err
	}
	if err := a.entry(tar.Header{Typeflag: tar.TypeDir, Name: blobsName + "/", Mode: 0o755}); err != nil {
		return err
	}
	h := head{a: a, seen: map[digest.Digest]bool{}}
	if err := h.find(idx); err != nil {
		return err
	}
	for _, group := range [][]digest.Digest{h.manifests, h.others} {
		slices.Sort(group)
		for _, d := range slices.Compact(group) {
			if err := a.blob(d); err != nil {
				return err
			}
		}
	}
	return a.rest(from)
}

func (a *author) entry(h tar.Header) error {
	h.ModTime = time.Unix(0, 0)
	return a.tw.WriteHeader(&h)
}

// rest writes what is left.
func (a *author) rest(from []ocm.Sequential) error {
	order := a.order()
	for _, src := range from {
		err := src.Each(a.ctx, func(d ociv1.Descriptor, r io.Reader) error {
			if _, ok := a.left[d.Digest]; !ok {
				return nil
			}
			n := 0
			for n < len(order) && order[n] < d.Digest {
				n++
			}
			later, err := a.before(order[:n])
			if err != nil {
				return err
			}
			order = append(later, order[n:]...)
			if f, ok := a.o.get(d.Digest); !ok || f.open == nil {
				return a.blob(d.Digest) // no need to wait for it
			}
			return a.write(d.Digest, r)
		})
		if err != nil {
			return err
		}
	}
	return a.inTurn(slices.DeleteFunc(order, func(d digest.Digest) bool { // what has come by is written
		_, left := a.left[d]
		return !left
	}))
}

// inTurn writes blobs in an order. Small ones that must be fetched are on their way before it is their
// turn: where each takes a while, as from a registry, several take no longer.
func (a *author) inTurn(order []digest.Digest) error {
	ctx, cancel := context.WithCancel(a.ctx)
	var fetching sync.WaitGroup
	defer fetching.Wait()
	defer cancel()
	coming := map[digest.Digest]chan fetched{}
	next := 0
	for i, d := range order {
		for ; next < min(len(order), i+fetchAhead); next++ {
			f, ok := a.o.get(order[next])
			if !ok || f.open == nil || f.size > packedFrom {
				continue
			}
			c := make(chan fetched, 1)
			coming[order[next]] = c
			fetching.Go(func() { c <- fetch(ctx, f) })
		}
		if coming[d] == nil {
			if err := a.blob(d); err != nil {
				return err
			}
			continue
		}
		got := <-coming[d]
		delete(coming, d)
		if got.err != nil {
			return got.err
		}
		if err := a.write(d, bytes.NewReader(got.data)); err != nil {
			return err
		}
	}
	return nil
}

// fetchAhead is how many small blobs are fetched at once.
const fetchAhead = 16

type fetched struct {
	data []byte
	err  error
}

// fetch reads a small blob. One byte more than it should have is enough to see that there is more.
func fetch(ctx context.Context, f fresh) fetched {
	rc, err := f.open(ctx)
	if err != nil {
		return fetched{nil, err}
	}
	defer rc.Close()
	data, err := io.ReadAll(io.LimitReader(rc, f.size+1))
	return fetched{data, err}
}

// before writes what can be read without its source coming to it, and returns the rest.
func (a *author) before(list []digest.Digest) (later []digest.Digest, err error) {
	for _, d := range list {
		f, ok := a.o.get(d)
		if ok && f.open != nil && f.size > MaxSmall {
			later = append(later, d)
			continue
		}
		err := a.blob(d)
		switch {
		case errors.Is(err, errLater):
			later = append(later, d)
		case err != nil:
			return nil, err
		}
	}
	return later, nil
}

// order sorts what is left by digest. Blobs of a compressed archive that has another order come first,
// in that order: going back in it means to read it from its beginning.
func (a *author) order() []digest.Digest {
	order := slices.Sorted(maps.Keys(a.left))
	old, ok := a.o.old.(*packed)
	if !ok {
		return order
	}
	isOld := func(d digest.Digest) bool {
		_, isFresh := a.o.get(d)
		return !isFresh && old.blobs[d].data == nil
	}
	place := func(x, y digest.Digest) int { return cmp.Compare(old.blobs[x].ordinal, old.blobs[y].ordinal) }
	var first, others []digest.Digest
	for _, d := range order {
		if isOld(d) {
			first = append(first, d)
		} else {
			others = append(others, d)
		}
	}
	if slices.IsSortedFunc(first, place) {
		return order
	}
	slices.SortFunc(first, place)
	return append(first, others...)
}

// blob writes a blob, unless that was done.
func (a *author) blob(d digest.Digest) error {
	if _, ok := a.left[d]; !ok {
		return nil
	}
	rc, err := a.o.open(a.ctx, d)
	if err != nil {
		return err
	}
	defer rc.Close()
	return a.write(d, rc)
}

func (a *author) write(d digest.Digest, r io.Reader) error {
	size := a.left[d]
	delete(a.left, d)
	if err := a.entry(tar.Header{Typeflag: tar.TypeReg, Name: blobsName + "/" + blobName(d), Mode: 0o644, Size: size}); err != nil {
		return err
	}
	wrapped := false
	if a.pack != nil && size >= packedFrom {
		br := bufio.NewReaderSize(r, chunkSize)
		magic, _ := br.Peek(4) // what is wrong with the source, reading it tells
		r = br
		if wrapped = isPacked(magic); wrapped {
			if err := a.pack.stored(true); err != nil {
				return err
			}
		}
	}
	if _, err := receive(a.ctx, exact{a.tw}, ociv1.Descriptor{Digest: d, Size: size}, r, &a.o.bufs); err != nil {
		return err
	}
	if err := a.tw.Flush(); err != nil || !wrapped {
		return err
	}
	return a.pack.stored(false)
}

// exact leaves it to who compares the size to say that there is too much.
type exact struct{ tw *tar.Writer }

func (e exact) Write(b []byte) (int, error) {
	n, err := e.tw.Write(b)
	if errors.Is(err, tar.ErrWriteTooLong) {
		return len(b), nil
	}
	return n, explain(err)
}

// head finds what stands at the beginning of an archive: all manifests and indexes, and the configs
// and descriptors of component versions. Whoever reads the archive from a pipe can open
// every version when these have come by.
type head struct {
	a         *author
	seen      map[digest.Digest]bool
	manifests []digest.Digest
	others    []digest.Digest
}

func (h *head) find(idx *index) error {
	for _, e := range idx.entries {
		if err := h.visit(e.Digest, e.MediaType, 0); err != nil {
			return fmt.Errorf("repository %s: %w", e.Repository, err)
		}
	}
	return nil
}

// visit takes what cannot be understood as content like any other: nobody asked to judge it.
func (h *head) visit(d digest.Digest, mediaType string, depth int) error {
	size, ok := h.a.left[d]
	if !ok || h.seen[d] || size > blob.MaxManifest || depth > blob.MaxDepth {
		return nil
	}
	h.seen[d] = true
	rc, err := h.a.o.open(h.a.ctx, d)
	if err != nil {
		return err
	}
	defer rc.Close()
	raw, err := io.ReadAll(io.LimitReader(rc, size+1)) // compared with its digest when it is written
	if err != nil {
		return err
	}
	if mediaType == "" {
		mediaType = sniff(raw)
	}
	if !blob.IsManifest(mediaType) {
		return nil
	}
	h.manifests = append(h.manifests, d)
	children, err := blob.Children(ociv1.Descriptor{MediaType: mediaType, Digest: d, Size: size}, raw)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	for i, c := range children {
		switch {
		case blob.IsManifest(c.MediaType):
			if err := h.visit(c.Digest, c.MediaType, depth+1); err != nil {
				return err
			}
		case i > 0 && strings.Contains(c.MediaType, "component-descriptor"):
			h.other(children[0].Digest)
			h.other(c.Digest)
		}
	}
	return nil
}

func (h *head) other(d digest.Digest) {
	if _, ok := h.a.left[d]; ok {
		h.others = append(h.others, d)
	}
}
