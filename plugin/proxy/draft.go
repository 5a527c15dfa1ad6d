// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"ocm"
	"ocm/descriptor"
	"ocm/plugin/wire"
)

// Draft implements [ocm.Repository].
func (r *repository) Draft(ctx context.Context, name, ver string, base ocm.Version) (ocm.Draft, error) {
	if err := errors.Join(descriptor.CheckName(name), descriptor.CheckVersion(ver)); err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	d := &draft{in: r, name: name, version: ver}
	begin := func(repository, base string) error {
		said, err := ask[wire.Draft](ctx, r.plugin, r.env, wire.DraftPath, wire.Begin{Repository: repository, Name: name, Version: ver, Base: base}, true)
		if err != nil {
			return err
		}
		if err := checkHandle(said.Handle); err != nil {
			return r.lie(err, "%s:%s: draft", name, ver)
		}
		d.handle = said.Handle
		r.writing.in(repository)
		return nil
	}
	err := r.use(ctx, func(handle string) error {
		if base == nil {
			return begin(handle, "")
		}
		b, ok := base.(*version)
		if !ok || b.in != r {
			return fmt.Errorf("%s: the base of a draft must have been opened here: %w", r.name, ocm.ErrInvalid)
		}
		return b.use(ctx, func(base string) error { return begin(handle, base) })
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// draft is a draft in a repository of a plugin. No question about it is asked twice.
type draft struct {
	in            *repository
	name, version string
	handle        string
	closed        sync.Once
}

// Add implements [ocm.Draft].
func (d *draft) Add(ctx context.Context, c ocm.Content, hint string) (ocm.Stored, error) {
	return d.in.store(ctx, c, wire.AddPath, func(offered wire.Content) any {
		return wire.Add{Draft: d.handle, Content: offered, Hint: hint}
	})
}

// store lets the plugin store a content, and holds what it says about that against what it was given.
func (r *repository) store(ctx context.Context, c ocm.Content, path string, question func(offered wire.Content) any) (ocm.Stored, error) {
	call, err := r.plugin.Call(ctx, r.env)
	if err != nil {
		return ocm.Stored{}, err
	}
	defer call.End()
	w := watch(r.env, c)
	offered := call.Offer(w.content(), "")
	var said wire.Stored
	if err := call.Ask(path, question(offered), &said, false); err != nil {
		return ocm.Stored{}, errors.Join(w.err(), err)
	}
	stored, err := w.stored(said)
	if err != nil {
		return ocm.Stored{}, fmt.Errorf("%s: %s: %w", r.from, r.name, err)
	}
	if r.finishes {
		r.writing.later(offered.Handle, w)
	}
	w.tellLeftBehind(ctx, r.name)
	return stored, nil
}

// Commit implements [ocm.Draft]. What the plugin says that it has committed must say what it was given.
func (d *draft) Commit(ctx context.Context, desc *ocm.Descriptor) (ocm.Version, error) {
	if c := &desc.Component; c.Name != d.name || c.Version != d.version {
		return nil, fmt.Errorf("%s: %s:%s: the descriptor says %s:%s: %w", d.in.name, d.name, d.version, c.Name, c.Version, ocm.ErrInvalid)
	}
	doc, err := descriptor.Encode(desc)
	if err != nil {
		return nil, err
	}
	if len(doc.Bytes) > descriptor.MaxBytes {
		return nil, fmt.Errorf("%s: component descriptor has %d bytes, accepted are %d: %w", d.in.name, len(doc.Bytes), descriptor.MaxBytes, ocm.ErrLimit)
	}
	said, err := ask[wire.Version](ctx, d.in.plugin, d.in.env, wire.CommitPath,
		wire.Commit{Draft: d.handle, Descriptor: wire.Document{MediaType: doc.MediaType, Bytes: doc.Bytes}}, false)
	if errors.Is(err, wire.ErrBroken) {
		return nil, fmt.Errorf("%s:%s: %w (nobody knows whether it is visible now: look with \"ocm get cv\", and run the command again)", d.name, d.version, err)
	}
	if err != nil {
		return nil, err
	}
	v, err := d.in.accept(said, d.name, d.version)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(v.doc.Bytes, doc.Bytes) {
		return v, nil
	}
	given, err := descriptor.JSON(desc)
	if err != nil {
		return nil, err
	}
	if has, err := descriptor.JSON(v.desc); err != nil || !bytes.Equal(has, given) {
		return nil, d.in.lie(ocm.ErrDigest, "%s:%s: it has committed a descriptor that says something else than the one it was given", d.name, d.version)
	}
	return v, nil
}

// Close implements [ocm.Draft]. What a process took with it when it ended is dropped.
func (d *draft) Close() (err error) {
	d.closed.Do(func() { err = d.in.drop(d.handle) })
	return err
}

// pending is what was written and not finished.
type pending struct {
	mu       sync.Mutex
	at       string // handle of the repository in which it was written
	lost     bool   // it was written in more than one
	contents map[string]*watched
}

// in notes that something is being written in the repository with a handle.
func (p *pending) in(handle string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = p.lost || p.at != "" && p.at != handle
	p.at = handle
}

// later keeps a content that may still be read when everything is finished.
func (p *pending) later(handle string, w *watched) {
	if w.whole() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.contents == nil {
		p.contents = map[string]*watched{}
	}
	p.contents[handle] = w
}

// offered are the contents that may still be read.
func (p *pending) offered() map[string]ocm.Content {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]ocm.Content, len(p.contents))
	for handle, w := range p.contents {
		out[handle] = w.content()
	}
	return out
}

// elsewhere reports whether something was written that is not in the repository with this handle.
func (p *pending) elsewhere(handle string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost || p.at != "" && p.at != handle
}

// judge returns what was wrong with what sources delivered since.
func (p *pending) judge() (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.contents {
		err = errors.Join(err, w.err())
	}
	return err
}

// done says that everything is visible.
func (p *pending) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.contents = "", nil
}

// finisher is the ability of a repository to become visible as a whole.
type finisher struct{ of *repository }

// Finish implements [ocm.Finisher]. It is not asked twice.
func (f finisher) Finish(ctx context.Context) error {
	r := f.of
	handle := r.current()
	if r.writing.elsewhere(handle) {
		return fmt.Errorf("%s: %s: it ended while the repository was being written, and what was not visible then is lost; run the command again: %w", r.from, r.name, wire.ErrGone)
	}
	call, err := r.plugin.Call(ctx, r.env)
	if err != nil {
		return err
	}
	defer call.End()
	for handle, c := range r.writing.offered() {
		call.Offer(c, handle)
	}
	err = call.Ask(wire.FinishPath, wire.Finish{Repository: handle}, &wire.Empty{}, false)
	if err = errors.Join(r.writing.judge(), err); err == nil {
		r.writing.done()
	}
	return err
}

// publisher is the ability of a repository to keep artifacts in places of their own.
type publisher struct{ of *repository }

// Reference implements [ocm.Publisher].
func (p publisher) Reference(name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), ReferenceTimeout)
	defer cancel()
	r := p.of
	var said wire.Reference
	err := r.use(ctx, func(handle string) (err error) {
		said, err = ask[wire.Reference](ctx, r.plugin, r.env, wire.ReferencePath, wire.Publish{Repository: handle, Name: name}, true)
		return err
	})
	if err == nil && (said.Reference == "" || wire.Text(said.Reference, ocm.MaxReferenceLength) != said.Reference) {
		err = r.lie(ocm.ErrInvalid, "the address of %.200q is %.200q, which is none", name, said.Reference)
	}
	return said.Reference, err
}

// Publish implements [ocm.Publisher]. An access that it returns for an image names the digest.
func (p publisher) Publish(ctx context.Context, c ocm.Content, name string, overwrite bool) (stored ocm.Stored, err error) {
	r := p.of
	err = r.use(ctx, func(handle string) (err error) {
		r.writing.in(handle)
		stored, err = r.store(ctx, c, wire.PublishPath, func(offered wire.Content) any {
			return wire.Publish{Repository: handle, Name: name, Content: offered, Overwrite: overwrite}
		})
		return err
	})
	var image struct {
		Reference string `json:"imageReference"`
	}
	if err == nil && stored.Access.Decode(&image) == nil && image.Reference != "" && !strings.HasSuffix(image.Reference, "@"+stored.Root.Digest.String()) {
		err = r.lie(ocm.ErrDigest, "%.200q: the access that it returned does not name %s", name, stored.Root.Digest)
	}
	return stored, err
}
