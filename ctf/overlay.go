// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

// overlay is an archive in one file that can be written: what the file holds, and above it what is
// new. Nothing of that is in the file before finish.
type overlay struct {
	to   destination
	old  listed // nil: there was nothing
	bufs sync.Pool

	mu      sync.Mutex
	idx     *index            // of the old archive
	repos   map[string]*index // of the repositories that were changed, each by itself: it is copied at each change
	fresh   map[digest.Digest]fresh
	held    int64 // bytes in memory
	changes int   // that were made …
	written int   // … and that finish has written
	closed  bool

	spooling chan struct{} // holds one value while a blob is written to the spool
	spool    *os.File      // nil until needed
	spoolEnd int64

	finishing sync.Mutex
}

// destination is where an archive is written to.
type destination interface {
	// spool makes a temporary file, which is gone when it is closed.
	spool() (*os.File, error)
	// write replaces what is there by what fn writes, at once. Nothing is left of it if fn fails.
	write(ctx context.Context, fn func(w io.Writer) error) error
}

// listed is an archive as it was when it was opened.
type listed interface {
	files
	// sizes lists all blobs.
	sizes() map[digest.Digest]int64
}

// fresh is a blob that is not in the file.
type fresh struct {
	size int64
	data []byte // held in memory, if not nil
	at   int64  // place in the spool, if there is no open either
	open func(context.Context) (io.ReadCloser, error)
}

func newOverlay(to destination, old listed, idx *index) *overlay {
	return &overlay{
		to: to, old: old, idx: idx, repos: map[string]*index{}, fresh: map[digest.Digest]fresh{}, spooling: make(chan struct{}, 1),
		bufs: sync.Pool{New: func() any { return new([chunkSize]byte) }},
	}
}

// load puts the index together, which takes its time: see of.
func (o *overlay) load() (*index, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return nil, fmt.Errorf("the CTF is closed: %w", fs.ErrClosed)
	case len(o.repos) == 0:
		return o.idx, nil
	}
	var all entries
	for _, e := range o.idx.entries {
		if o.repos[e.Repository] == nil {
			all = append(all, e)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.repos)) {
		all = append(all, o.repos[name].entries...)
	}
	return newIndex(all)
}

// of returns the index of one repository.
func (o *overlay) of(repository string) (*index, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ofLocked(repository)
}

func (o *overlay) ofLocked(repository string) (*index, error) {
	if o.closed {
		return nil, fmt.Errorf("the CTF is closed: %w", fs.ErrClosed)
	}
	if idx := o.repos[repository]; idx != nil {
		return idx, nil
	}
	return o.idx, nil
}

// cut is the part of the old index that is about one repository.
func (o *overlay) cut(repository string) (*index, error) {
	var part entries
	for _, i := range o.idx.repo(repository) {
		part = append(part, o.idx.entries[i])
	}
	return newIndex(part)
}

func (o *overlay) get(d digest.Digest) (fresh, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f, ok := o.fresh[d]
	return f, ok
}

func (o *overlay) stat(d digest.Digest) (int64, error) {
	if f, ok := o.get(d); ok {
		return f.size, nil
	}
	if o.old == nil {
		return 0, fmt.Errorf("blob %s: %w", d, ocm.ErrNotFound)
	}
	return o.old.stat(d)
}

func (o *overlay) open(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	f, ok := o.get(d)
	switch {
	case ok && f.data != nil:
		return held{bytes.NewReader(f.data)}, nil
	case ok && f.open != nil:
		return f.open(ctx)
	case ok:
		return newSection(o.spool, span{f.at, f.size}), nil
	case o.old == nil:
		return nil, fmt.Errorf("blob %s: %w", d, ocm.ErrNotFound)
	}
	return o.old.open(ctx, d)
}

// Close drops what was not finished.
func (o *overlay) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	o.closed = true
	if o.spool != nil {
		o.spool.Close()
	}
	if o.old == nil {
		return nil
	}
	return o.old.Close()
}

// repoSink is an overlay to which a repository is written.
type repoSink struct {
	*overlay
	repository string
}

// update changes the index in memory.
func (r repoSink) update(_ context.Context, _ bool, fn func(*index) (*index, error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, err := r.ofLocked(r.repository)
	if err == nil && old == r.idx {
		old, err = r.cut(r.repository)
	}
	if err != nil {
		return err
	}
	idx, err := fn(old)
	if err != nil || idx == old {
		return err
	}
	r.repos[r.repository] = idx
	r.changes++
	return nil
}

// place remembers how a blob is read: that is done when the archive is written. Only a blob whose size
// is not known is read now, because its size stands before it.
func (o *overlay) place(ctx context.Context, want ociv1.Descriptor, open func(context.Context) (io.ReadCloser, error)) (oci.How, error) {
	if want.Size < 0 {
		rc, err := open(ctx)
		if err != nil {
			return oci.Moved, err
		}
		defer rc.Close()
		_, err = o.push(ctx, want, rc)
		return oci.Moved, err
	}
	if size, err := o.stat(want.Digest); err == nil && size == want.Size {
		return oci.Found, nil
	}
	o.add(want.Digest, fresh{size: want.Size, open: open})
	return oci.Deferred, nil
}

// add takes a blob in, unless one that needs no opening is there.
func (o *overlay) add(d digest.Digest, f fresh) (added bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if have, ok := o.fresh[d]; ok && have.open == nil {
		return false
	}
	o.fresh[d] = f
	o.held += int64(len(f.data))
	o.changes++
	return true
}

// push keeps a blob: in memory if it is small, else in the spool.
func (o *overlay) push(ctx context.Context, want ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	got, err := o.take(ctx, want, src)
	if err != nil {
		return ociv1.Descriptor{}, fmt.Errorf("push: %w", err)
	}
	return got, nil
}

func (o *overlay) take(ctx context.Context, want ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	if want.Size > MaxSmall {
		return o.toSpool(ctx, want, src)
	}
	var small bytes.Buffer
	_, err := io.CopyN(&small, src, MaxSmall+1)
	if err == io.EOF && o.mayHold(small.Len()) {
		data := bytes.Clone(small.Bytes())
		if data == nil {
			data = []byte{}
		}
		got, err := receive(ctx, io.Discard, want, bytes.NewReader(data), &o.bufs)
		if err == nil {
			o.add(got.Digest, fresh{size: got.Size, data: data})
		}
		return got, err
	}
	if err != nil && err != io.EOF {
		return want, err
	}
	return o.toSpool(ctx, want, io.MultiReader(&small, src))
}

func (o *overlay) mayHold(n int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return n <= MaxSmall && o.held+int64(n) <= MaxHeld
}

// toSpool appends a blob to the spool, one at a time.
func (o *overlay) toSpool(ctx context.Context, want ociv1.Descriptor, src io.Reader) (ociv1.Descriptor, error) {
	select {
	case o.spooling <- struct{}{}:
		defer func() { <-o.spooling }()
	case <-ctx.Done():
		return want, context.Cause(ctx)
	}
	if err := o.openSpool(); err != nil {
		return want, err
	}
	got, err := receive(ctx, &target{f: o.spool}, want, src, &o.bufs)
	if err == nil && o.add(got.Digest, fresh{size: got.Size, at: o.spoolEnd}) {
		o.spoolEnd += got.Size
		return got, nil
	}
	// What is not needed makes room for the next one.
	if terr := o.spool.Truncate(o.spoolEnd); err == nil {
		err = explain(terr)
	}
	if _, serr := o.spool.Seek(o.spoolEnd, io.SeekStart); err == nil {
		err = explain(serr)
	}
	return got, err
}

func (o *overlay) openSpool() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return fmt.Errorf("the CTF is closed: %w", fs.ErrClosed)
	}
	if o.spool != nil {
		return nil
	}
	f, err := o.to.spool()
	if err != nil {
		return explain(err)
	}
	o.spool = f
	return nil
}

// receive copies src to dst, hashing on the way, and compares it with what is wanted.
func receive(ctx context.Context, dst io.Writer, want ociv1.Descriptor, src io.Reader, bufs *sync.Pool) (ociv1.Descriptor, error) {
	in, err := newIncoming(want)
	if err != nil {
		return want, err
	}
	if want.Digest != "" && want.Size >= 0 { // one byte more tells as much as an endless stream
		src = io.LimitReader(src, want.Size+1)
	}
	n, err := pump(ctx, dst, in.hash, src, bufs)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return want, err
	}
	return in.check(n)
}
