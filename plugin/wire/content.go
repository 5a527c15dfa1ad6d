// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

// Table holds what one side keeps for the other, by handle. The zero value is empty; it may be used concurrently. Beyond
// [MaxContents], what was not asked for the longest is forgotten: the other side opens it again.
//
// A handle is of one table for good: one of a process that has ended means nothing to the next one.
type Table[T any] struct {
	Limit int // in place of MaxContents; set before the first Put

	mu   sync.Mutex
	name string // what its handles begin with
	next int
	held map[string]*entry[T]
	uses int
}

type entry[T any] struct {
	v    T
	used int
}

// Put keeps v.
func (t *Table[T]) Put(v T) (handle string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == nil {
		t.held, t.name = map[string]*entry[T]{}, rand.Text()[:12]
	}
	if len(t.held) >= cmp.Or(t.Limit, MaxContents) {
		t.forget()
	}
	t.next++
	t.uses++
	handle = t.name + "-" + strconv.Itoa(t.next)
	t.held[handle] = &entry[T]{v, t.uses}
	return handle
}

func (t *Table[T]) forget() {
	oldest, at := "", t.uses+1
	for handle, e := range t.held {
		if e.used < at {
			oldest, at = handle, e.used
		}
	}
	delete(t.held, oldest)
}

// Get finds what is kept; [ErrGone] if it is not.
func (t *Table[T]) Get(handle string) (v T, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.held[handle]
	if !ok {
		return v, fmt.Errorf("handle %.100q: %w", handle, ErrGone)
	}
	t.uses++
	e.used = t.uses
	return e.v, nil
}

// Take finds what is kept and forgets it.
func (t *Table[T]) Take(handle string) (v T, err error) {
	if v, err = t.Get(handle); err == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.held, handle)
	}
	return v, err
}

// Describe is c as it is offered under a handle.
func Describe(c ocm.Content, handle string) Content {
	out := Content{Handle: handle, Root: c.Root, Name: c.Name, Hint: c.Hint, Alone: c.Alone, Pinned: c.Pinned, Partial: c.Skip != nil, Can: []string{}}
	if oci.Tells(c) {
		out.Can = append(out.Can, CanAttached)
	}
	return out
}

// Offered is a content that one side offers, with what is known of the tags beside it, so that they need not be listed for each question.
type Offered struct {
	ocm.Content
	env *ocm.Env
}

// Offer makes one. Questions about it do not wait for what the job of another one does: that may wait for the answer.
func Offer(c ocm.Content, job *ocm.Job) Offered {
	if !oci.Tells(c) {
		return Offered{c, nil}
	}
	return Offered{c, &ocm.Env{Job: ocm.NewJob(job.Parallel())}}
}

// Attached answers [AttachedPath].
func (o Offered) Attached(ctx context.Context, q AskAttached) (Attached, error) {
	list, err := oci.Attachments(ctx, o.env, o.Content, q.Digest)
	return Attached{list}, err
}

// Source asks the other side about a content.
type Source interface {
	ocm.Fetcher
	// Attached asks what is attached to a manifest.
	Attached(ctx context.Context, subject digest.Digest) ([]oci.Attached, error)
}

// Content is what the other side offers, read by from. [ocm.ErrInvalid] if the description breaks a rule.
func (c Content) Content(source Source) (ocm.Content, error) {
	var from ocm.Fetcher = source
	if slices.Contains(c.Can, CanAttached) && !c.Alone {
		from = oci.Telling(source, source.Attached)
	}
	out := ocm.Content{Root: c.Root, From: from, Name: Text(c.Name, 1000), Hint: c.Hint, Alone: c.Alone, Pinned: c.Pinned}
	switch {
	case c.Root.MediaType == "":
		return out, fmt.Errorf("content without media type: %w", ocm.ErrInvalid)
	case c.Root.Size < -1:
		return out, fmt.Errorf("content of %d bytes: %w", c.Root.Size, ocm.ErrInvalid)
	}
	if c.Root.Digest != "" {
		if err := c.Root.Digest.Validate(); err != nil {
			return out, fmt.Errorf("content with digest %.200q: %w: %w", string(c.Root.Digest), err, ocm.ErrInvalid)
		}
	}
	return out, nil
}

// Bytes opens a part of a content, with its size where it is known.
func Bytes(ctx context.Context, c ocm.Content, d ociv1.Descriptor) (io.ReadCloser, int64, error) {
	body, err := c.From.Fetch(ctx, d)
	size := int64(-1)
	if d.Digest != "" { // without one nobody has promised the size
		size = d.Size
	}
	return body, size, err
}

// IsGone reports whether something must be opened again.
func IsGone(err error) bool { return errors.Is(err, ErrGone) || errors.Is(err, ErrBroken) }
