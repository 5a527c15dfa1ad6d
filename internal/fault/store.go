// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// Err is the cause of what a [Store] reports.
var Err = errors.New("a fault that was asked for")

// Act is what happens at a step of a store.
type Act int

// The acts. Those on streams do nothing to a step without one.
const (
	Refuse Act = iota + 1 // it is not done
	Lose                  // it is done, the answer is lost
	CutRead
	CorruptRead
	TruncateRead
)

// Acts are all of them.
func Acts() []Act { return []Act{Refuse, Lose, CutRead, CorruptRead, TruncateRead} }

func (a Act) String() string {
	return [...]string{"", "refuse", "lose", "cut", "corrupt", "truncate"}[a]
}

// stream is the fate of a stream under the act.
func (a Act) stream() Stream {
	return map[Act]Stream{CutRead: Cut, CorruptRead: Corrupt, TruncateRead: Truncate}[a]
}

// Store is an [oci.Store] whose steps can fail. Its repositories can do all that [oci.Repo] and
// the interfaces beside it say; what the store below cannot is done as their users would.
type Store struct {
	oci.Store
	Steps *Steps
	Act   Act
}

// Repo implements [oci.Store].
func (s *Store) Repo(name string) oci.Repo { return &repo{s.Store.Repo(name), s, name} }

// Repos implements [oci.RepoLister].
func (s *Store) Repos(ctx context.Context) iter.Seq2[string, error] {
	if l, ok := s.Store.(oci.RepoLister); ok {
		return l.Repos(ctx)
	}
	return func(yield func(string, error) bool) { yield("", errors.ErrUnsupported) }
}

// Finish implements [ocm.Finisher].
func (s *Store) Finish(ctx context.Context) error {
	f, ok := s.Store.(ocm.Finisher)
	if !ok {
		return nil
	}
	return s.step("finish", func() error { return f.Finish(ctx) })
}

// step does something that has no stream.
func (s *Store) step(name string, do func() error) error {
	if !s.Steps.next(name) || s.Act.stream() != 0 {
		return do()
	}
	s.Steps.hit(name)
	if s.Act == Lose {
		_ = do() // nobody hears how it went
	}
	return fmt.Errorf("%s: %w", name, Err)
}

type repo struct {
	oci.Repo
	s    *Store
	name string
}

func (r *repo) step(what string, do func() error) error { return r.s.step(r.name+": "+what, do) }

// streaming does something with a stream, which wrap breaks if that is the act. wrap is nil for a
// stream that is passed on as it is, with all it can do.
func (r *repo) streaming(what string, size int64, do func(wrap func(io.ReadCloser) io.ReadCloser) error) error {
	name := r.name + ": " + what
	how := r.s.Act.stream()
	switch {
	case !r.s.Steps.next(name):
		return do(nil)
	case how != 0:
		return do(func(rc io.ReadCloser) io.ReadCloser {
			r.s.Steps.hit(name)
			return Break(rc, how, max(size, 2)/2, fmt.Errorf("%s: %w", name, Err))
		})
	}
	r.s.Steps.hit(name)
	if r.s.Act == Lose {
		_ = do(nil)
	}
	return fmt.Errorf("%s: %w", name, Err)
}

func (r *repo) Fetch(ctx context.Context, d ociv1.Descriptor) (rc io.ReadCloser, err error) {
	var opened io.ReadCloser
	err = r.streaming("fetch "+string(d.Digest), d.Size, func(wrap func(io.ReadCloser) io.ReadCloser) error {
		if opened, err = r.Repo.Fetch(ctx, d); err == nil && wrap != nil {
			opened = wrap(opened)
		}
		return err
	})
	if err != nil && opened != nil {
		opened.Close()
		opened = nil
	}
	return opened, err
}

func (r *repo) Resolve(ctx context.Context, ref string) (d ociv1.Descriptor, err error) {
	err = r.step("resolve "+ref, func() error {
		d, err = r.Repo.Resolve(ctx, ref)
		return err
	})
	return d, err
}

func (r *repo) Exists(ctx context.Context, d ociv1.Descriptor) (ok bool, err error) {
	err = r.step("exists "+string(d.Digest), func() error {
		ok, err = r.Repo.Exists(ctx, d)
		return err
	})
	return ok && err == nil, err
}

func (r *repo) Push(ctx context.Context, d ociv1.Descriptor, src io.Reader) (got ociv1.Descriptor, err error) {
	err = r.streaming("push "+string(d.Digest), d.Size, func(wrap func(io.ReadCloser) io.ReadCloser) error {
		if wrap != nil {
			src = wrap(io.NopCloser(src))
		}
		got, err = r.Repo.Push(ctx, d, src)
		return err
	})
	return got, err
}

// Place implements [oci.Placer].
func (r *repo) Place(ctx context.Context, d ociv1.Descriptor, origins []string, open func(context.Context) (io.ReadCloser, error)) (how oci.How, err error) {
	err = r.streaming("place "+string(d.Digest), d.Size, func(wrap func(io.ReadCloser) io.ReadCloser) error {
		how, err = place(ctx, r.Repo, d, origins, func(ctx context.Context) (io.ReadCloser, error) {
			rc, err := open(ctx)
			if err != nil || wrap == nil {
				return rc, err
			}
			return wrap(rc), nil
		})
		return err
	})
	return how, err
}

func place(ctx context.Context, to oci.Repo, d ociv1.Descriptor, origins []string, open func(context.Context) (io.ReadCloser, error)) (oci.How, error) {
	if p, ok := to.(oci.Placer); ok {
		return p.Place(ctx, d, origins, open)
	}
	if there, err := to.Exists(ctx, d); there || err != nil {
		return oci.Found, err
	}
	rc, err := open(ctx)
	if err != nil {
		return oci.Moved, err
	}
	defer rc.Close()
	_, err = to.Push(ctx, d, rc)
	return oci.Moved, err
}

func (r *repo) PutManifest(ctx context.Context, d ociv1.Descriptor, raw []byte, tag string, was oci.Was) error {
	return r.step("put manifest "+tag, func() error { return r.Repo.PutManifest(ctx, d, raw, tag, was) })
}

// ReadManifest implements [oci.ManifestReader].
func (r *repo) ReadManifest(ctx context.Context, ref string) (d ociv1.Descriptor, raw []byte, err error) {
	err = r.step("read manifest "+ref, func() error {
		if m, ok := r.Repo.(oci.ManifestReader); ok {
			d, raw, err = m.ReadManifest(ctx, ref)
			return err
		}
		if d, err = r.Repo.Resolve(ctx, ref); err == nil {
			raw, err = blob.ReadAll(ctx, r.Repo, d, blob.MaxManifest)
		}
		return err
	})
	return d, raw, err
}

// Referrers implements [oci.ReferrerLister].
func (r *repo) Referrers(ctx context.Context, d ociv1.Descriptor, artifactType string) iter.Seq2[ociv1.Descriptor, error] {
	l, ok := r.Repo.(oci.ReferrerLister)
	err := r.step("referrers "+string(d.Digest), func() error { return nil })
	if err == nil && !ok {
		err = errors.ErrUnsupported
	}
	if err != nil {
		return func(yield func(ociv1.Descriptor, error) bool) { yield(ociv1.Descriptor{}, err) }
	}
	return l.Referrers(ctx, d, artifactType)
}

// Bytes is an endless-looking source of n bytes that needs no memory: always the same for a seed.
// It is an [ocm.Fetcher] of one blob, whose descriptor is [Bytes.Root].
type Bytes struct {
	Seed byte
	N    int64
}

var _ ocm.Fetcher = Bytes{}

// Root describes the blob; it reads all of it for that.
func (b Bytes) Root() ociv1.Descriptor {
	h := digest.SHA256.Digester()
	if _, err := io.Copy(h.Hash(), b.Reader()); err != nil {
		panic(err) // a hash takes everything
	}
	return ociv1.Descriptor{MediaType: "application/octet-stream", Digest: h.Digest(), Size: b.N}
}

// Fetch implements [ocm.Fetcher].
func (b Bytes) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) {
	return b.Reader(), nil
}

// Reader reads the bytes, from any place.
func (b Bytes) Reader() *BytesReader { return &BytesReader{b: b} }

// BytesReader reads [Bytes].
type BytesReader struct {
	b  Bytes
	at int64
}

func (r *BytesReader) Read(p []byte) (int, error) {
	if r.at >= r.b.N {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.b.N-r.at)]
	for i := range p {
		at := r.at + int64(i)
		p[i] = byte(at>>8) ^ byte(at>>16)*31 ^ r.b.Seed
	}
	r.at += int64(len(p))
	return len(p), nil
}

// Seek implements io.Seeker.
func (r *BytesReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.b.N
	}
	if offset < 0 {
		return r.at, fmt.Errorf("seek to %d: %w", offset, errors.ErrUnsupported)
	}
	r.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (r *BytesReader) Close() error { return nil }
