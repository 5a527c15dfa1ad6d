// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
	"ocm/plugin/wire"
)

// watched is a content that a plugin is given to store. It is hashed on the way, so that what the plugin says of it can be held against
// what it was given, and so that no plugin passes on what a source had no right to deliver.
type watched struct {
	env *ocm.Env
	c   ocm.Content

	mu     sync.Mutex
	failed error                   // what was wrong with what the source delivered
	read   map[digest.Digest]int64 // whole reads of the root, by what they were, with their size
	told   map[digest.Digest]bool  // parts of which progress was reported
	asked  *answers                // of questions what is attached
}

func watch(env *ocm.Env, c ocm.Content) *watched {
	return &watched{env: env, c: c, read: map[digest.Digest]int64{}, told: map[digest.Digest]bool{}, asked: newAnswers(env)}
}

// content is the content as it is offered.
func (w *watched) content() ocm.Content {
	c := w.c
	c.From = w
	if oci.Tells(w.c) {
		c.From = oci.Telling(w, w.attached)
	}
	return c
}

func (w *watched) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// whole reports whether all was read to its end, as far as that can be told: not of what has parts.
func (w *watched) whole() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.read) > 0 && !blob.IsManifest(w.c.Root.MediaType)
}

// Fetch opens a part of the content. One whose digest is known ends with an error if the source delivers something else, and never delivers
// its last byte then.
func (w *watched) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if d.Digest != "" {
		if err := blob.CheckDigest(d.Digest); err != nil {
			return nil, err
		}
	}
	rc, err := w.c.From.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	s := &stream{of: w, d: d, rc: rc, report: w.first(d)}
	if s.hash, err = blob.NewHash(s.algorithm()); err != nil {
		rc.Close()
		return nil, err
	}
	if s.report {
		w.env.Event(ocm.Event{Total: max(0, d.Size)})
	}
	return s, nil
}

// first reports whether progress of a part is to be reported: a second reading of it is none.
func (w *watched) first(d ociv1.Descriptor) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.told[d.Digest]
	w.told[d.Digest] = true
	return !told
}

// ended judges a stream that was read to its end.
func (w *watched) ended(d ociv1.Descriptor, found digest.Digest, n int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.Digest != "" && (found != d.Digest || d.Size >= 0 && n != d.Size) {
		err := fmt.Errorf("blob: expected %s (%d bytes), the source delivers %s (%d bytes): %w", d.Digest, d.Size, found, n, ocm.ErrDigest)
		w.failed = errors.Join(w.failed, err)
		return err
	}
	if d.Digest == w.c.Root.Digest {
		w.read[found] = n
	}
	return nil
}

// stored checks what the plugin says that it has stored.
func (w *watched) stored(said wire.Stored) (ocm.Stored, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	want, got := w.c.Root, said.Root
	size, read := w.read[got.Digest]
	if !read {
		size = want.Size
	}
	if err := blob.CheckDigest(got.Digest); err != nil && w.failed == nil {
		return ocm.Stored{}, fmt.Errorf("it says that it has stored: root: %w", err)
	}
	switch {
	case w.failed != nil:
		return ocm.Stored{}, w.failed
	case want.Digest == "" && !read:
		return ocm.Stored{}, fmt.Errorf("it says that it has stored %.200q, which is not what it was given: %w", got.Digest, ocm.ErrDigest)
	case want.Digest != "" && got.Digest != want.Digest:
		return ocm.Stored{}, fmt.Errorf("it says that it has stored %.200q, it was given %s: %w", got.Digest, want.Digest, ocm.ErrDigest)
	case got.Size < 0:
		return ocm.Stored{}, fmt.Errorf("%s: it says that it has stored %d bytes: %w", got.Digest, got.Size, ocm.ErrInvalid)
	case size >= 0 && got.Size != size:
		return ocm.Stored{}, fmt.Errorf("%s: it says that it has stored %d bytes, it was given %d: %w", got.Digest, got.Size, size, ocm.ErrDigest)
	case got.MediaType != want.MediaType:
		return ocm.Stored{}, fmt.Errorf("%s: it says that it has stored a %.200q, it was given a %s: %w", got.Digest, got.MediaType, want.MediaType, ocm.ErrInvalid)
	case said.Access.Type == "":
		return ocm.Stored{}, fmt.Errorf("%s: it returned no access: %w", got.Digest, ocm.ErrInvalid)
	}
	if leads := promised(said.Access); leads != "" && leads != got.Digest {
		return ocm.Stored{}, fmt.Errorf("%s: it returned an access that leads to %s: %w", got.Digest, leads, ocm.ErrDigest)
	}
	w.count(got, read)
	return ocm.Stored{Root: ociv1.Descriptor{MediaType: got.MediaType, Digest: got.Digest, Size: got.Size}, Access: said.Access}, nil
}

// count adds to what the job has done. What lies below the root is counted as it is read.
func (w *watched) count(root ociv1.Descriptor, read bool) {
	if w.env == nil || read {
		return
	}
	s := w.env.Job.Counters()
	s.Found.Add(1)
	s.Skipped.Add(root.Size)
}

// reportEvery is the number of bytes between two reports about a stream.
const reportEvery = 1 << 20

// stream is one reading of a part.
type stream struct {
	of     *watched
	d      ociv1.Descriptor
	rc     io.ReadCloser
	hash   hash.Hash
	n      int64
	next   int64 // where the next report is due
	report bool
	err    error
}

// Read withholds the end of a content that is not what it should be: an announced length would let the other side take it for whole
// before it was judged.
func (s *stream) Read(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.rc.Read(b)
	s.hash.Write(b[:n])
	s.n += int64(n)
	if err == nil && s.d.Digest != "" && s.n == s.d.Size {
		var more int64
		more, err = atEnd(s.rc)
		s.n += more
	}
	if err == io.EOF || s.d.Digest != "" && s.d.Size >= 0 && s.n > s.d.Size {
		if wrong := s.of.ended(s.d, digest.NewDigest(s.algorithm(), s.hash), s.n); wrong != nil {
			n, err = 0, wrong
		}
	}
	if s.report && s.n >= s.next {
		s.next = s.n + reportEvery
		s.event(false)
	}
	s.err = err
	return n, err
}

func (s *stream) algorithm() digest.Algorithm {
	if s.d.Digest == "" {
		return digest.SHA256
	}
	return s.d.Digest.Algorithm()
}

// atEnd tells how many bytes come, perhaps, where none should; io.EOF if none do.
func atEnd(r io.Reader) (int64, error) {
	var more [1]byte
	for range 100 { // as bufio does: who returns nothing again and again is broken
		if n, err := r.Read(more[:]); n > 0 || err != nil {
			return int64(n), err
		}
	}
	return 0, io.ErrNoProgress
}

func (s *stream) Close() error {
	if s.report {
		s.event(true)
		if s.of.env != nil && s.err == io.EOF {
			counters := s.of.env.Job.Counters()
			counters.Blobs.Add(1)
			counters.Moved.Add(s.n)
		}
	}
	return s.rc.Close()
}

func (s *stream) event(done bool) {
	name := s.of.c.Name
	switch {
	case s.d.Digest == "" && name == "":
		name = s.d.MediaType
	case s.d.Digest != s.of.c.Root.Digest || name == "":
		name = strings.TrimSpace(name + " " + s.d.Digest.Encoded()[:12])
	}
	s.of.env.Event(ocm.Event{Item: name, Bytes: s.n, Total: s.d.Size, Done: done})
}
