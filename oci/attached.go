// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/blob"
)

// Limits of what is attached to one image, all its platforms together. What exceeds them is [ocm.ErrLimit].
const (
	MaxAttached      = 1000    // attached manifests
	MaxAttachedDepth = 4       // something attached to something attached …
	MaxAttachedNodes = 100_000 // manifests and blobs that are read for them
	MaxSubjects      = 10_000  // manifests that may have something attached
	MaxListedTags    = 3000    // tags of a source that are listed to find cosign's; with more, each of these is asked for
)

// What is attached to an image are the manifests that have it as subject (OCI 1.1 referrers:
// signatures, SBOMs, attestations) and what cosign keeps under tags that are made of its digest. Both
// exist for every manifest of an image, and for what is attached itself.
//
// Nothing of it is trusted or judged here. A referrer is copied only if its manifest does have the
// subject; every digest is handled once, so that no circle is walked twice.

// Attached is something attached to a manifest: a referrer, or what cosign keeps under a tag.
type Attached struct {
	ociv1.Descriptor        // media type, digest, size and, of a referrer, artifact type
	Tag              string `json:"tag,omitempty"` // cosign's tag; empty for a referrer
}

func (a Attached) String() string {
	switch {
	case a.Tag != "":
		return "tag " + a.Tag
	case a.ArtifactType != "":
		return a.ArtifactType + " " + a.Digest.String()
	}
	return "referrer " + a.Digest.String()
}

// attached copies what is attached to manifests of an image that was copied: all of them if none
// are named. An error names the attachment and the way to leave it behind.
func (c copier) attached(ctx context.Context, image ocm.Content, manifests ...ociv1.Descriptor) error {
	if image.Alone || !hasAttachments(image.From) {
		return nil
	}
	copyAll := func() error {
		return attachedTo(image, c.walk(image).run(ctx, manifests))
	}
	if image.Origin == "" || image.Skip != nil {
		return copyAll() // nothing tells two sources, or two parts, apart
	}
	key := attachedDone{place: c.place, origin: image.Origin, root: image.Root.Digest, part: hashOf(manifests)}
	return c.job().Once(ctx, key, copyAll)
}

// attachedTo says what an error is about; nil if err is nil.
func attachedTo(image ocm.Content, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("attached to image %s: %w (--no-referrers leaves attached content behind)", image.Root.Digest, err)
}

// attachedDone is the key under which a job remembers that what is attached to an image was copied.
type attachedDone struct {
	place  place
	origin string
	root   digest.Digest
	part   digest.Digest // which of its manifests
}

func hashOf(manifests []ociv1.Descriptor) digest.Digest {
	h := digest.SHA256.Digester()
	for _, m := range manifests {
		io.WriteString(h.Hash(), m.Digest.String()+" ") //nolint:errcheck // a hash never fails
	}
	return h.Digest()
}

func hasAttachments(from ocm.Fetcher) bool {
	_, lists := from.(ReferrerLister)
	_, tags := from.(tagged)
	return lists || tags
}

// copyAttached copies what is attached to the manifest of a component version that is copied as it is. What
// is attached to images in the version came with them.
func (c copier) copyAttached(ctx context.Context, from Repo, manifest ociv1.Descriptor) error {
	return c.attached(ctx, ocm.Content{Root: manifest, From: from, Origin: from.Origin()}, plain(manifest))
}

// manifests lists the root of an image and the manifests below it. It reads indexes only.
func (c copier) manifests(ctx context.Context, image ocm.Content) ([]ociv1.Descriptor, error) {
	var list []ociv1.Descriptor
	seen := map[digest.Digest]bool{}
	var visit func(d ociv1.Descriptor, depth int) error
	visit = func(d ociv1.Descriptor, depth int) error {
		if seen[d.Digest] || !blob.IsManifest(d.MediaType) {
			return nil
		}
		seen[d.Digest] = true
		list = append(list, plain(d))
		switch {
		case len(list) > MaxSubjects:
			return fmt.Errorf("more than %d manifests: %w", MaxSubjects, ocm.ErrLimit)
		case depth > blob.MaxDepth:
			return fmt.Errorf("indexes nested more than %d deep: %w", blob.MaxDepth, ocm.ErrLimit)
		case !blob.IsIndex(d.MediaType):
			return nil
		}
		var raw []byte
		err := c.job().Do(ctx, func() (err error) {
			raw, err = blob.ReadAll(ctx, image.From, d, blob.MaxManifest)
			return err
		})
		if err != nil {
			return err
		}
		children, err := blob.Children(d, raw)
		if err != nil {
			return err
		}
		for _, child := range blob.Selected(image, d, children) {
			if err := visit(child, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return list, visit(image.Root, 0)
}

// attachments lists what is attached to one manifest in the repository that the image comes from. What is under a tag is not known
// before it is read.
func (c copier) attachments(ctx context.Context, image ocm.Content, subject ociv1.Descriptor) ([]Attached, error) {
	var found []Attached
	all, err := c.tagsOf(ctx, image)
	if err != nil {
		return nil, err
	}
	if checker, ok := image.From.(StrayChecker); ok {
		if err := c.job().Do(ctx, func() error { return checker.CheckStrays(ctx, subject.Digest) }); err != nil {
			return nil, err
		}
	}
	if lister, ok := image.From.(ReferrerLister); ok {
		list := lister.Referrers
		if api, ok := image.From.(apiLister); ok && all.complete && !all.cosign[ReferrersTag(subject.Digest)] {
			list = api.ReferrersByAPI // there is no index under the tag that would be asked for instead
		}
		err := c.job().Do(ctx, func() error {
			for d, err := range list(ctx, subject, "") {
				switch {
				case err != nil:
					return err
				case len(found) == MaxAttached:
					return tooMany(subject)
				}
				one := plain(d)
				one.ArtifactType = d.ArtifactType
				found = append(found, Attached{Descriptor: one})
			}
			return nil
		})
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return nil, fmt.Errorf("referrers of %s: %w", subject.Digest, err)
		}
	}
	tags, err := c.cosignTags(ctx, image, subject.Digest, all)
	for _, tag := range tags {
		found = append(found, Attached{Tag: tag})
	}
	return found, err
}

// apiLister is a [ReferrerLister] that can leave out its second best way.
type apiLister interface {
	// ReferrersByAPI is Referrers; [errors.ErrUnsupported] where there is no API for it.
	ReferrersByAPI(ctx context.Context, d ociv1.Descriptor, artifactType string) iter.Seq2[ociv1.Descriptor, error]
}

func tooMany(subject ociv1.Descriptor) error {
	return fmt.Errorf("%s: more than %d attached manifests: %w", subject.Digest, MaxAttached, ocm.ErrLimit)
}

// walk copies what is attached to one image, level by level, or notes what of it the target lacks.
type walk struct {
	copier
	image ocm.Content
	from  *counting
	lack  *Lack // nil: it copies

	mu    sync.Mutex
	seen  map[digest.Digest]bool // manifests of the image, and what was copied
	count int                    // attachments
	next  []ociv1.Descriptor     // subjects of the next level
	good  []pair                 // referrers of this level that do have their subject
	left  []func()               // tell what is left out, where nothing is copied
}

func (c copier) walk(image ocm.Content) *walk {
	return &walk{copier: c, image: image, from: &counting{from: image.From}, seen: map[digest.Digest]bool{}}
}

// pair is an attachment and what it is attached to.
type pair struct {
	subject ociv1.Descriptor
	Attached
}

// bySubject groups what is attached by what it is attached to.
func bySubject(pairs []pair) (groups [][]pair) {
	at := map[digest.Digest]int{}
	for _, p := range pairs {
		i, known := at[p.subject.Digest]
		if !known {
			i, groups = len(groups), append(groups, nil)
			at[p.subject.Digest] = i
		}
		groups[i] = append(groups[i], p)
	}
	return groups
}

// run begins with the manifests of the image if no subjects are named.
func (w *walk) run(ctx context.Context, subjects []ociv1.Descriptor) (err error) {
	if len(subjects) == 0 {
		if subjects, err = w.subjects(ctx); err != nil {
			return fmt.Errorf("manifests: %w", err)
		}
	}
	for _, s := range subjects {
		w.seen[s.Digest] = true
	}
	for depth := 0; len(subjects) > 0; depth++ {
		pairs, err := w.list(ctx, subjects)
		if err != nil {
			return err
		}
		if depth == MaxAttachedDepth && len(pairs) > 0 {
			return fmt.Errorf("%s: attached to what is attached, more than %d deep: %w", pairs[0].Attached, MaxAttachedDepth, ocm.ErrLimit)
		}
		visit := w.copyLevel
		if w.lack != nil {
			visit = w.lackLevel
		}
		w.next = nil
		if err := visit(ctx, pairs); err != nil {
			return err
		}
		if subjects = w.next; len(w.seen) > MaxSubjects {
			return fmt.Errorf("more than %d manifests that may have something attached: %w", MaxSubjects, ocm.ErrLimit)
		}
	}
	return nil
}

// subjects are the manifests of the image. A copy of it in which looking costs nothing tells them as well.
func (w *walk) subjects(ctx context.Context) ([]ociv1.Descriptor, error) {
	if w.lack != nil && !w.costs() {
		near := w.image
		near.From = w.to
		if list, err := w.manifests(ctx, near); err == nil {
			return list, nil
		}
	}
	return w.manifests(ctx, w.image)
}

// each calls fn with 0 to n-1, several at a time.
func each(ctx context.Context, job *ocm.Job, n int, fn func(context.Context, int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(job.Parallel())
	for i := range n {
		g.Go(func() error { return fn(ctx, i) })
	}
	return g.Wait()
}

// list asks all subjects for what is attached to them.
func (w *walk) list(ctx context.Context, subjects []ociv1.Descriptor) ([]pair, error) {
	found := make([][]Attached, len(subjects))
	err := each(ctx, w.job(), len(subjects), func(ctx context.Context, i int) (err error) {
		found[i], err = w.attachments(ctx, w.image, subjects[i])
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.count += len(found[i]); err == nil && w.count > MaxAttached {
			err = tooMany(w.image.Root)
		}
		return err
	})
	var pairs []pair
	for i, list := range found {
		for _, a := range list {
			pairs = append(pairs, pair{subjects[i], a})
		}
	}
	return pairs, err
}

func (w *walk) copyLevel(ctx context.Context, pairs []pair) error {
	w.good = nil
	err := each(ctx, w.job(), len(pairs), func(ctx context.Context, i int) error { return w.copyOne(ctx, pairs[i]) })
	if err != nil {
		return err
	}
	return w.confirm(ctx)
}

func (w *walk) copyOne(ctx context.Context, p pair) error {
	copyIt := w.copyReferrer
	if p.Tag != "" {
		copyIt = w.copyTag
	}
	if err := copyIt(ctx, p); err != nil {
		return fmt.Errorf("%s: %w", p.Attached, err)
	}
	return nil
}

// copyReferrer copies a referrer if it is one.
func (w *walk) copyReferrer(ctx context.Context, p pair) error {
	raw, err := w.readReferrer(ctx, p)
	if err != nil || raw == nil {
		return err
	}
	w.mu.Lock()
	w.good = append(w.good, p)
	w.mu.Unlock()
	return w.copyNode(ctx, plain(p.Descriptor), raw)
}

// readReferrer reads a manifest that is listed as a referrer; nil if it is none, or is in the walk already.
func (w *walk) readReferrer(ctx context.Context, p pair) (raw []byte, err error) {
	if !blob.IsManifest(p.MediaType) {
		w.leave(p, fmt.Sprintf("its media type %.100q is not the one of a manifest", p.MediaType))
		return nil, nil
	}
	w.mu.Lock()
	seen := w.seen[p.Digest]
	w.mu.Unlock()
	if seen {
		return nil, nil
	}
	err = w.job().Do(ctx, func() (err error) {
		raw, err = blob.ReadAll(ctx, w.from, p.Descriptor, blob.MaxManifest)
		return err
	})
	switch {
	case errors.Is(err, ocm.ErrNotFound): // lists may be older than what they list
		w.leave(p, "it is listed, but not there")
		return nil, nil
	case err != nil:
		return nil, err
	}
	if subject, _, err := AsReferrer(p.Descriptor, raw); err != nil || subject != p.subject.Digest {
		w.leave(p, fmt.Sprintf("it is listed, but its subject is %.100q", subject))
		return nil, nil //nolint:nilerr // what cannot be read refers to nothing
	}
	return raw, nil
}

// leave says what is left out, and why.
func (w *walk) leave(p pair, why string) {
	tell := func() {
		w.env.Logger().Warn("attached content is left out: "+why, "attached", p.Attached.String(), "to", p.subject.Digest, "image", w.image.Root.Digest)
	}
	if w.lack == nil {
		tell()
		return
	}
	w.mu.Lock()
	w.left = append(w.left, tell)
	w.mu.Unlock()
}

// copyNode copies the manifest of an attachment with all below it, and makes it a subject of the next level.
func (w *walk) copyNode(ctx context.Context, d ociv1.Descriptor, raw []byte) error {
	content := ocm.Content{Root: d, From: held{w.from, d.Digest, raw}, Origin: w.image.Origin}
	if err := w.node(ctx, content, d, 0); err != nil {
		return err
	}
	return w.later(ctx, content)
}

// later makes the manifests of an attachment subjects of the next level, each once.
func (w *walk) later(ctx context.Context, content ocm.Content) error {
	list, err := w.manifests(ctx, content)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range list {
		if !w.seen[m.Digest] {
			w.seen[m.Digest] = true
			w.next = append(w.next, m)
		}
	}
	return nil
}

// confirmTries is how often referrers are stored again that a registry does not list.
const confirmTries = 3

// confirm makes sure that the target lists the referrers of this level. Without a referrers API they
// stand in an index that is read, changed and stored again, without any lock: a writer who dies, or is
// overtaken by another one, leaves out what he wrote. Storing a referrer once more brings it back.
func (w *walk) confirm(ctx context.Context) error {
	lister, ok := w.to.(ReferrerLister)
	if !ok || w.to.Origin() == "" {
		return nil // stores other than registries look into the manifests
	}
	groups := bySubject(w.good)
	return each(ctx, w.job(), len(groups), func(ctx context.Context, i int) error {
		return w.job().Do(ctx, func() error { return w.confirmOne(ctx, lister, groups[i]) })
	})
}

func (w *walk) confirmOne(ctx context.Context, lister ReferrerLister, wanted []pair) error {
	subject := wanted[0].subject
	for try := 0; ; try++ {
		listed := map[digest.Digest]bool{}
		for d, err := range lister.Referrers(ctx, subject, "") {
			if err != nil {
				return fmt.Errorf("referrers of %s at the target: %w", subject.Digest, err)
			}
			listed[d.Digest] = true
		}
		wanted = slices.DeleteFunc(wanted, func(p pair) bool { return listed[p.Digest] })
		if len(wanted) == 0 {
			return nil
		}
		if try == confirmTries {
			w.env.Logger().Warn("the target does not list what it stored", "referrer", wanted[0].Digest, "of", subject.Digest, "missing", len(wanted))
			return nil
		}
		for _, p := range wanted {
			raw, err := blob.ReadAll(ctx, w.to, p.Descriptor, blob.MaxManifest)
			if err == nil {
				err = w.to.PutManifest(ctx, plain(p.Descriptor), raw, "", Any())
			}
			if err != nil {
				return fmt.Errorf("%s: %w", p.Attached, err)
			}
		}
	}
}

// held is a source of which one manifest was read already.
type held struct {
	ocm.Fetcher
	digest digest.Digest
	raw    []byte
}

func (h held) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if d.Digest == h.digest {
		return io.NopCloser(bytes.NewReader(h.raw)), nil
	}
	return h.Fetcher.Fetch(ctx, d)
}

// counting bounds what is read for one image's attachments.
type counting struct {
	from ocm.Fetcher
	n    atomic.Int64
}

func (f *counting) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if f.n.Add(1) > MaxAttachedNodes {
		return nil, fmt.Errorf("more than %d manifests and blobs: %w", MaxAttachedNodes, ocm.ErrLimit)
	}
	return f.from.Fetch(ctx, d)
}
