// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/descriptor"
	"ocm/oci"
	"ocm/plugin/wire"
)

const (
	// CloseTimeout is how long a plugin may take to close something: what calls it has no deadline of its own.
	CloseTimeout = 10 * time.Second
	// ReferenceTimeout is how long it may take to tell an address, for which nothing is asked of others.
	ReferenceTimeout = 30 * time.Second
)

const (
	maxPlace  = 1000 // bytes of what a repository is called
	maxListed = 255  // bytes of a name in a list
	maxHandle = 1000 // bytes
)

// checkHandle refuses what cannot be a handle: an empty one would mean that there is none.
func checkHandle(handle string) error {
	if handle == "" || len(handle) > maxHandle {
		return fmt.Errorf("a handle of %d bytes, expected 1 to %d: %w", len(handle), maxHandle, ocm.ErrInvalid)
	}
	return nil
}

// Repository opens repositories of a plugin; from names the plugin in messages about what it answers.
//
// What a plugin says is held against what was asked: names, versions, digests, and what a draft was given. A repository or version that the
// plugin has forgotten, or that belonged to a process that died, is opened again: a version by the digest of its manifest, and it
// must be the same. A draft is not: what was written is lost with it. The abilities [ocm.Adopter] and [ocm.Sequential] do not leave
// a process.
func Repository(p Plugin, from string) ocm.RepositoryOpener {
	return func(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
		r := &repository{plugin: p, from: from, env: env, spec: s}
		opened, err := r.open(ctx)
		if err != nil {
			return nil, err
		}
		r.name = strings.Join(strings.Fields(wire.Text(opened.Name, maxPlace)), " ")
		if r.name == "" {
			r.name = s.Type
		}
		r.held = held{handle: opened.Handle, open: func(ctx context.Context) (string, error) {
			again, err := r.open(ctx)
			return again.Handle, err
		}}
		r.self = r.able(opened.Can)
		return r.self, nil
	}
}

// held is something that the plugin keeps for us.
type held struct {
	open func(ctx context.Context) (handle string, err error) // opens it again
	read bool                                                 // it is only read: it is opened again also if the connection broke

	mu     sync.Mutex
	handle string
}

// use calls fn with the handle, and once more with a new one if the plugin does not know that any longer.
func (h *held) use(ctx context.Context, fn func(handle string) error) error {
	handle := h.current()
	err := fn(handle)
	gone := errors.Is(err, wire.ErrGone) || h.read && wire.IsGone(err)
	if !gone || ctx.Err() != nil {
		return err
	}
	if err := h.reopen(ctx, handle); err != nil {
		return err
	}
	return fn(h.current())
}

func (h *held) current() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.handle
}

// reopen opens it again, unless somebody else has done so since handle was found to be gone.
func (h *held) reopen(ctx context.Context, handle string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.handle != handle {
		return nil
	}
	again, err := h.open(ctx)
	if err == nil {
		h.handle = again
	}
	return err
}

// repository is a repository of a plugin.
type repository struct {
	plugin   Plugin
	from     string
	env      *ocm.Env
	spec     ocm.Spec
	name     string
	self     ocm.Repository // with its abilities
	finishes bool
	held

	writing pending
}

func (r *repository) open(ctx context.Context) (wire.OpenedRepository, error) {
	opened, err := ask[wire.OpenedRepository](ctx, r.plugin, r.env, wire.RepositoryPath, wire.OpenRepository{Spec: r.spec, Env: envOf(r.env)}, true)
	if err == nil && checkHandle(opened.Handle) != nil {
		err = fmt.Errorf("%s: %w", r.from, checkHandle(opened.Handle))
	}
	return opened, err
}

// able has the abilities that were announced, and no others.
func (r *repository) able(can []string) ocm.Repository {
	list, publish := slices.Contains(can, wire.CanList), slices.Contains(can, wire.CanPublish)
	r.finishes = slices.Contains(can, wire.CanFinish)
	switch {
	case list && r.finishes && publish:
		return struct {
			*repository
			lister
			finisher
			publisher
		}{r, lister{r}, finisher{r}, publisher{r}}
	case list && r.finishes:
		return struct {
			*repository
			lister
			finisher
		}{r, lister{r}, finisher{r}}
	case list && publish:
		return struct {
			*repository
			lister
			publisher
		}{r, lister{r}, publisher{r}}
	case r.finishes && publish:
		return struct {
			*repository
			finisher
			publisher
		}{r, finisher{r}, publisher{r}}
	case list:
		return struct {
			*repository
			lister
		}{r, lister{r}}
	case r.finishes:
		return struct {
			*repository
			finisher
		}{r, finisher{r}}
	case publish:
		return struct {
			*repository
			publisher
		}{r, publisher{r}}
	}
	return r
}

func (r *repository) String() string { return r.name }

// Close implements [ocm.Repository].
func (r *repository) Close() error { return r.drop(r.current()) }

// drop gives a handle back. What a plugin has forgotten, or took with it when it ended, is closed; also if it cannot be started again.
func (r *repository) drop(handle string) error {
	ctx, cancel := context.WithTimeout(context.Background(), CloseTimeout)
	defer cancel()
	call, err := r.plugin.Call(ctx, r.env)
	if err != nil {
		return nil //nolint:nilerr // so nothing is open
	}
	defer call.End()
	if err = call.Ask(wire.ClosePath, wire.Close{Handle: handle}, &wire.Empty{}, false); wire.IsGone(err) {
		return nil
	}
	return err
}

// lie is an error about an answer that contradicts what was asked.
func (r *repository) lie(kind error, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %s: %w", r.from, r.name, fmt.Sprintf(format, args...), kind)
}

// Open implements [ocm.Repository].
func (r *repository) Open(ctx context.Context, name, ref string) (ocm.Version, error) {
	if err := descriptor.CheckName(name); err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	said, err := r.version(ctx, name, ref)
	if err != nil {
		return nil, err
	}
	return r.accept(said, name, ref)
}

func (r *repository) version(ctx context.Context, name, ref string) (said wire.Version, err error) {
	err = r.use(ctx, func(handle string) (err error) {
		said, err = ask[wire.Version](ctx, r.plugin, r.env, wire.VersionPath, wire.OpenVersion{Repository: handle, Name: name, Ref: ref}, true)
		return err
	})
	return said, err
}

// accept checks that an answer is the version that was asked for.
func (r *repository) accept(said wire.Version, name, ref string) (*version, error) {
	m := ociv1.Descriptor{MediaType: said.Manifest.MediaType, Digest: said.Manifest.Digest, Size: said.Manifest.Size}
	if m.MediaType == "" || m.Size < 0 || blob.CheckDigest(m.Digest) != nil {
		return nil, r.lie(ocm.ErrInvalid, "%s:%s: its manifest lacks media type, digest or size", name, ref)
	}
	desc, err := descriptor.Decode(said.Descriptor.MediaType, said.Descriptor.Bytes)
	if err = errors.Join(checkHandle(said.Handle), err); err != nil {
		return nil, r.lie(err, "%s:%s", name, ref)
	}
	c := &desc.Component
	byDigest := strings.Contains(ref, ":")
	switch {
	case c.Name != name:
		return nil, r.lie(ocm.ErrInvalid, "expected component %s, the descriptor says %s", name, c.Name)
	case byDigest && m.Digest.String() != ref:
		return nil, r.lie(ocm.ErrDigest, "%s: expected manifest %s, found %s", name, ref, m.Digest)
	case !byDigest && c.Version != ref:
		return nil, r.lie(ocm.ErrInvalid, "%s: expected version %s, the descriptor says %s", name, ref, c.Version)
	}
	v := &version{in: r, manifest: m, desc: desc, doc: said.Descriptor, can: said.Can}
	v.held = held{handle: said.Handle, open: v.again}
	return v, nil
}

// Versions implements [ocm.Repository]. The whole list is asked for at once.
func (r *repository) Versions(ctx context.Context, name string) iter.Seq2[string, error] {
	if err := descriptor.CheckName(name); err != nil {
		return failing(fmt.Errorf("%s: %w", r.name, err))
	}
	return r.list(ctx, wire.VersionsPath, name, func(version string) bool {
		return version != "" && len(version) <= maxListed && !strings.ContainsAny(version, "\n\t :/@") && wire.Text(version, maxListed) == version
	})
}

func failing(err error) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield("", err) }
}

// list asks for names, and refuses those that can be none.
func (r *repository) list(ctx context.Context, path, name string, proper func(string) bool) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var said wire.Listed
		err := r.use(ctx, func(handle string) (err error) {
			said, err = ask[wire.Listed](ctx, r.plugin, r.env, path, wire.List{Repository: handle, Name: name}, true)
			return err
		})
		if err == nil && len(said.Names) > wire.MaxListed {
			err = r.lie(ocm.ErrLimit, "it lists %d names, accepted are %d", len(said.Names), wire.MaxListed)
		}
		if err != nil {
			yield("", err)
			return
		}
		seen := map[string]bool{}
		for _, found := range said.Names {
			switch {
			case !proper(found):
				yield("", r.lie(ocm.ErrInvalid, "it lists %.300q, which is no name", found))
				return
			case ctx.Err() != nil:
				yield("", context.Cause(ctx))
				return
			case seen[found]:
				continue
			}
			seen[found] = true
			if !yield(found, nil) {
				return
			}
		}
	}
}

// lister is the ability of a repository to list its components.
type lister struct{ of *repository }

// Components implements [ocm.Lister].
func (l lister) Components(ctx context.Context) iter.Seq2[string, error] {
	return l.of.list(ctx, wire.ComponentsPath, "", func(name string) bool { return descriptor.CheckName(name) == nil })
}

// version is a version in a repository of a plugin.
type version struct {
	in       *repository
	manifest ociv1.Descriptor
	desc     *ocm.Descriptor
	doc      wire.Document
	can      []string
	held
}

func (v *version) Manifest() ociv1.Descriptor  { return v.manifest }
func (v *version) Descriptor() *ocm.Descriptor { return v.desc }

// Repository is where the version was opened, for messages.
func (v *version) Repository() string { return v.in.name }

// In is the repository that the version was opened in.
func (v *version) In() ocm.Repository { return v.in.self }

// Attached implements [oci.Attacher].
func (v *version) Attached(ctx context.Context) (list []oci.Attached, err error) {
	switch {
	case v.can == nil:
		return nil, fmt.Errorf("%s: the plugin does not say whether something is attached to a version: %w", v.in.name, errors.ErrUnsupported)
	case !slices.Contains(v.can, wire.CanAttached):
		return nil, nil
	}
	subject := v.manifest.Digest
	ask := func(ctx context.Context, _ digest.Digest) ([]oci.Attached, error) {
		var said wire.Attached
		err := v.use(ctx, func(handle string) (err error) {
			said, err = ask[wire.Attached](ctx, v.in.plugin, v.in.env, wire.AttachedPath, wire.AskAttached{Handle: handle, Digest: subject}, true)
			return err
		})
		return said.Attached, err
	}
	return oci.Attachments(ctx, nil, ocm.Content{Root: v.manifest, From: oci.Telling(nil, ask)}, subject)
}

// again opens the version again: by its digest, and it must be what it was.
func (v *version) again(ctx context.Context) (string, error) {
	name := v.desc.Component.Name
	said, err := v.in.version(ctx, name, v.manifest.Digest.String())
	if err != nil {
		return "", err
	}
	w, err := v.in.accept(said, name, v.manifest.Digest.String())
	if err != nil {
		return "", err
	}
	if w.manifest.Size != v.manifest.Size || w.manifest.MediaType != v.manifest.MediaType || w.doc.MediaType != v.doc.MediaType || !bytes.Equal(w.doc.Bytes, v.doc.Bytes) {
		return "", v.in.lie(ocm.ErrDigest, "%s: what has manifest %s is not what it was before", name, v.manifest.Digest)
	}
	return said.Handle, nil
}

// Blob implements [ocm.Version].
func (v *version) Blob(ctx context.Context, access ocm.Spec) (ocm.Content, error) {
	r := &remote{plugin: v.in.plugin, env: v.in.env, open: func(ctx context.Context) (found wire.Content, err error) {
		err = v.use(ctx, func(handle string) (err error) {
			found, err = ask[wire.Content](ctx, v.in.plugin, v.in.env, wire.BlobPath, wire.Blob{Version: handle, Access: access}, true)
			return err
		})
		return found, err
	}}
	c, err := content(ctx, r)
	if err != nil {
		return c, err
	}
	r.sources = v.in.writing.offered() // it may be one of them, before it is finished
	if want := promised(access); want != "" && c.Root.Digest == "" {
		c.Root.Digest = want // so that whoever reads it finds out
	} else if want != "" && c.Root.Digest != want {
		return ocm.Content{}, v.in.lie(ocm.ErrDigest, "local blob: expected %s, found %s", want, c.Root.Digest)
	}
	return c, nil
}

// promised is the digest by which a local access names its content; empty if it does so in another way.
func promised(access ocm.Spec) digest.Digest {
	if !oci.IsLocal(access.Type) {
		return ""
	}
	l, err := oci.ParseLocal(access)
	if err != nil || blob.CheckDigest(digest.Digest(l.LocalReference)) != nil {
		return ""
	}
	return digest.Digest(l.LocalReference)
}
