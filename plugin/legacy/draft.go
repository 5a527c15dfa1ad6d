// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/descriptor"
	"ocm/oci"
)

// draft is a component version that is being written. Such plugins want local content with the element that it belongs to, which is
// known at the end only; so that content waits in files until then.
type draft struct {
	repository    *repository
	name, version string
	base          *version // nil: the version is new

	mu    sync.Mutex
	dir   string             // empty: none yet
	added map[string]waiting // by local reference: the digest of the file, and of the content
	over  bool
}

// waiting is content that the plugin does not have yet.
type waiting struct {
	handed
	access ocm.Spec
}

// Draft implements [ocm.Repository].
func (r *repository) Draft(ctx context.Context, name, ver string, base ocm.Version) (ocm.Draft, error) {
	if err := errors.Join(descriptor.CheckName(name), descriptor.CheckVersion(ver)); err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	d := &draft{repository: r, name: name, version: ver, added: map[string]waiting{}}
	if base != nil {
		b, ok := base.(*version)
		if !ok || b.repository.String() != r.String() {
			return nil, fmt.Errorf("%s: %s:%s: the state to replace is of another repository: %w", r, name, ver, ocm.ErrInvalid)
		}
		d.base = b
	}
	if err := d.unchanged(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// unchanged compares what is there with what is replaced.
func (d *draft) unchanged(ctx context.Context) error {
	now, err := d.repository.open(ctx, d.name, d.version)
	switch {
	case errors.Is(err, ocm.ErrNotFound) && d.base == nil:
		return nil
	case err != nil && (d.base == nil || !errors.Is(err, ocm.ErrNotFound)):
		return err
	case d.base == nil:
		return fmt.Errorf("%s: %s:%s: %w", d.repository, d.name, d.version, ocm.ErrExists)
	case err != nil || now.manifest.Digest != d.base.manifest.Digest:
		return fmt.Errorf("%s: %s:%s: %w", d.repository, d.name, d.version, ocm.ErrConflict)
	}
	return nil
}

var errOver = errors.New("the draft is closed")

// Add implements [ocm.Draft].
func (d *draft) Add(ctx context.Context, c ocm.Content, hint string) (ocm.Stored, error) {
	dir, err := d.folder()
	if err != nil {
		return ocm.Stored{}, err
	}
	h, err := handOut(ctx, dir, c)
	if err != nil {
		return ocm.Stored{}, fmt.Errorf("%s: %w", d.repository, err)
	}
	d.tellLeftBehind(ctx, c)
	access, err := ocm.NewSpec(oci.LocalBlob{Type: oci.LocalBlobType, LocalReference: h.file.String(), MediaType: h.MediaType, ReferenceName: hint})
	if err != nil {
		return ocm.Stored{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, twice := d.added[h.file.String()]; twice {
		_ = os.Remove(h.Value)
	} else {
		w := waiting{h, access}
		d.added[h.file.String()], d.added[h.root.Digest.String()] = w, w
	}
	return ocm.Stored{Root: h.root, Access: access}, nil
}

// tellLeftBehind warns of what is attached to an image, for which the older protocol has no word. Not to be able to tell is no error.
func (d *draft) tellLeftBehind(ctx context.Context, c ocm.Content) {
	log := d.repository.env.Logger().With("place", d.repository.String(), "image", c.Root.Digest)
	nothing := func(digest.Digest) ([]oci.Attached, bool) { return nil, false }
	list, err := oci.LeftBehind(ctx, &ocm.Env{Log: log}, c, nothing)
	if len(list) > 0 {
		log.Warn("left behind, because the plugin does not take what is attached to an image", "attached", oci.NamesOf(list))
	}
	if err != nil {
		log.Warn("it is not known what else is attached to an image, and was left behind", "error", err)
	}
}

// folder is where content waits, for nobody else to see.
func (d *draft) folder() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.over:
		return "", fmt.Errorf("%s: %w", d.repository, errOver)
	case d.dir != "":
		return d.dir, nil
	}
	dir, err := os.MkdirTemp(d.repository.env.TempDir(), "ocm-") // 0700
	d.dir = dir
	return dir, err
}

// Close implements [ocm.Draft].
func (d *draft) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.dir == "" {
		return nil
	}
	return os.RemoveAll(d.dir)
}

// Commit implements [ocm.Draft]. Of several commits of this program one is first; another program's may come between comparison and upload. Content goes first, then the descriptor, and what is stored then is read back and compared.
func (d *draft) Commit(ctx context.Context, desc *ocm.Descriptor) (ocm.Version, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if _, err := d.folder(); err != nil {
		return nil, err
	}
	select {
	case d.repository.runs.commit <- struct{}{}:
		defer func() { <-d.repository.runs.commit }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	v, err := d.commit(ctx, desc.Clone())
	if err != nil {
		return nil, fmt.Errorf("%s: %s:%s: %w", d.repository, d.name, d.version, err)
	}
	return v, d.Close()
}

func (d *draft) commit(ctx context.Context, desc *ocm.Descriptor) (ocm.Version, error) {
	c := &desc.Component
	if c.Name != d.name || c.Version != d.version {
		return nil, fmt.Errorf("the descriptor is of %s:%s: %w", shown(c.Name), shown(c.Version), ocm.ErrInvalid)
	}
	if err := errors.Join(d.complete(desc), d.unchanged(ctx)); err != nil {
		return nil, err
	}
	for i := range c.Resources {
		r := &c.Resources[i]
		if err := d.send(ctx, "resource", r, &r.Access); err != nil {
			return nil, fmt.Errorf("resource %s: %w", r, err)
		}
	}
	for i := range c.Sources {
		s := &c.Sources[i]
		if err := d.send(ctx, "source", s, &s.Access); err != nil {
			return nil, fmt.Errorf("source %s: %w", s, err)
		}
	}
	raw, err := descriptor.JSON(desc)
	if err != nil {
		return nil, err
	}
	q := question{path: "/component-version/upload", body: map[string]any{"repository": d.repository.spec, "descriptor": ocm.RawJSON(raw)}}
	if err := d.repository.ask(ctx, q, nil); err != nil {
		return nil, err
	}
	v, err := d.repository.open(ctx, d.name, d.version)
	if err != nil {
		return nil, fmt.Errorf("it was stored, and cannot be read back: %w", err)
	}
	return v, d.repository.plugin.named(compare(desc, v.desc))
}

// complete demands that all local content was added, or is that of the state that is replaced.
func (d *draft) complete(desc *ocm.Descriptor) error {
	for _, r := range desc.Component.Resources {
		if err := d.there(r.Access); err != nil {
			return fmt.Errorf("resource %s: %w", &r, err)
		}
	}
	for _, s := range desc.Component.Sources {
		if err := d.there(s.Access); err != nil {
			return fmt.Errorf("source %s: %w", &s, err)
		}
	}
	return nil
}

func (d *draft) there(access ocm.Spec) error {
	if !oci.IsLocal(access.Type) {
		return nil
	}
	ref := localReference(access)
	d.mu.Lock()
	_, added := d.added[ref]
	d.mu.Unlock()
	if added {
		return nil
	}
	if d.base != nil && ref != "" {
		if _, id := d.base.element(ref); id != nil {
			return nil
		}
	}
	return fmt.Errorf("local blob %s was not added: %w", shown(ref), ocm.ErrNotFound)
}

// send gives the content of an element to the plugin, if it was added, and takes over the access that it has then. An artifact is an archive
// there, whatever led to it before.
func (d *draft) send(ctx context.Context, kind string, element any, access *ocm.Spec) error {
	d.mu.Lock()
	w, ok := d.added[localReference(*access)]
	d.mu.Unlock()
	if !ok {
		return nil
	}
	if w.root.Digest != w.file {
		*access = w.access
	}
	var answer struct {
		Access ocm.Spec `json:"access"`
	}
	q := question{path: "/local-" + kind + "/upload", slow: true, body: map[string]any{
		"repository": d.repository.spec, "name": d.name, "version": d.version, kind + "Location": w.location, kind: element,
	}}
	if err := d.repository.ask(ctx, q, &answer); err != nil {
		return err
	}
	if answer.Access.Type == "" {
		return nil // it stays as it is
	}
	*access = answer.Access
	return d.repository.plugin.named(named(*access))
}

// compare demands that a descriptor was stored as it was given, members that nobody knows included. Only where things are may differ: repositories
// of that kind note where they are themselves, and where they keep local content.
func compare(want, found *ocm.Descriptor) error {
	a, err := placeless(want)
	if err != nil {
		return err
	}
	b, err := placeless(found)
	if err != nil {
		return err
	}
	if !bytes.Equal(a, b) {
		return fmt.Errorf("it has stored another descriptor than it was given: %w", ocm.ErrDigest)
	}
	return nil
}

// placeless is a descriptor without its places, in canonical form.
func placeless(d *ocm.Descriptor) ([]byte, error) {
	d = d.Clone()
	d.Component.RepositoryContexts = nil
	for i := range d.Component.Resources {
		hidePlace(&d.Component.Resources[i].Access)
	}
	for i := range d.Component.Sources {
		hidePlace(&d.Component.Sources[i].Access)
	}
	raw, err := descriptor.JSON(d)
	if err != nil {
		return nil, err
	}
	out := ocm.RawJSON(raw)
	return out, out.Canonicalize()
}

func hidePlace(access *ocm.Spec) {
	if oci.IsLocal(access.Type) {
		*access = ocm.Spec{Type: oci.LocalBlobType}
	}
}
