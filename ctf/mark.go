// SPDX-License-Identifier: Apache-2.0

package ctf

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci"
)

// marker follows everything that manifests lead to. It remembers no more than there are files.
type marker struct {
	c      *cleaner
	idx    *index
	listed map[digest.Digest]relative // manifests in the index
	seen   map[relative]bool
	kept   map[digest.Digest]bool // manifests that were reached

	todo      []relative
	referrers map[digest.Digest][]relative // by subject: those that stay only if something keeps them
}

// mark takes from the blobs that may go those that something needs, and returns the index without the manifests that may go.
func (c *cleaner) mark(ctx context.Context, idx *index) (*index, error) {
	m := &marker{
		c: c, idx: idx, listed: make(map[digest.Digest]relative, len(idx.entries)), seen: map[relative]bool{}, kept: map[digest.Digest]bool{},
		referrers: map[digest.Digest][]relative{},
	}
	loose, err := m.roots(ctx)
	if err != nil {
		return nil, err
	}
	listed := len(m.todo)
	for i := 0; i < len(m.todo); i++ {
		if err := m.visit(ctx, m.todo[i], i < listed); err != nil {
			return nil, err
		}
	}
	var left entries
	for i, e := range idx.entries {
		if loose[i] && !m.kept[e.Digest] {
			c.done.Manifests = append(c.done.Manifests, CleanedManifest{e.Repository, e.Digest})
			continue
		}
		left = append(left, e)
	}
	if len(left) == len(idx.entries) {
		return idx, nil
	}
	slices.SortFunc(c.done.Manifests, func(a, b CleanedManifest) int {
		return strings.Compare(a.Repository+" "+string(a.Digest), b.Repository+" "+string(b.Digest))
	})
	return newIndex(left)
}

// roots begins with the entries that stay in any case. The others are loose, by their place in the index.
func (m *marker) roots(ctx context.Context) (loose map[int]bool, err error) {
	loose = map[int]bool{}
	for i, e := range m.idx.entries {
		r := relative{e.Digest, e.MediaType}
		m.listed[e.Digest] = r
		if e.Tag != "" || !m.c.o.Untagged || m.c.isYoung(e.Digest) {
			m.todo = append(m.todo, r)
			continue
		}
		loose[i] = true
		l, err := m.links(ctx, r)
		if err != nil {
			return nil, m.unreadable(r, err)
		}
		if l.subject != "" {
			m.referrers[l.subject] = append(m.referrers[l.subject], r)
		}
	}
	return loose, nil
}

// isYoung reports whether a blob is there and too young to go.
func (c *cleaner) isYoung(d digest.Digest) bool {
	_, young := c.young[d]
	return young
}

// need lets a blob stay.
func (m *marker) need(d digest.Digest) {
	delete(m.c.old, d)
	if m.c.young[d] {
		m.c.young[d] = false
	}
}

// visit follows one manifest. One that is listed must be there; an entry of an index may have been left out when that was copied.
func (m *marker) visit(ctx context.Context, r relative, listed bool) error {
	if m.seen[r] {
		return nil
	}
	if r.mediaType == anyDocument {
		m.seen[r] = true
		return m.visitAny(ctx, r.digest)
	}
	l, err := m.links(ctx, r)
	if errors.Is(err, ocm.ErrNotFound) && !listed && !l.found {
		return nil
	}
	if err != nil {
		return m.unreadable(r, err)
	}
	m.seen[r], m.kept[r.digest] = true, true
	m.need(r.digest)
	for _, child := range l.children {
		m.need(child.digest)
		if child.mediaType != "" {
			m.todo = append(m.todo, child)
		} else if l.isIndex { // of an older kind of manifest, or of a coming one
			m.mention(child.digest)
		}
	}
	for _, d := range l.mentions {
		m.mention(d)
	}
	m.todo = append(m.todo, m.referrers[r.digest]...)
	delete(m.referrers, r.digest)
	return nil
}

// anyDocument stands for the media type of what is no manifest as far as is told, and may be one all the same.
const anyDocument = "*"

// mention lets what has a digest stay: a blob, a manifest if the index lists it, and what that leads to.
func (m *marker) mention(d digest.Digest) {
	m.need(d)
	r, ok := m.listed[d]
	if !ok {
		r = relative{d, anyDocument}
	}
	if !m.seen[r] {
		m.todo = append(m.todo, r)
	}
}

// visitAny follows a blob that may be a manifest: an access says so of a layer that has no media type worth the name, an index has entries
// of kinds that nobody knows. Every digest in a document that small is taken for something that it needs.
func (m *marker) visitAny(ctx context.Context, d digest.Digest) error {
	raw, err := m.c.document(ctx, d)
	if err != nil {
		return m.unreadable(relative{digest: d}, err)
	}
	m.kept[d] = true
	m.todo = append(m.todo, m.referrers[d]...)
	delete(m.referrers, d)
	all, err := oci.DigestsIn(raw)
	if err != nil {
		return nil //nolint:nilerr // it is something else
	}
	for _, one := range all {
		m.mention(one)
	}
	return nil
}

// document reads what may be a JSON object of the size of a manifest; nil if it is none, or not there, or damaged.
func (c *cleaner) document(ctx context.Context, d digest.Digest) ([]byte, error) {
	size, err := c.d.stat(d)
	switch {
	case errors.Is(err, ocm.ErrNotFound), err == nil && size > blob.MaxManifest:
		return nil, nil
	case err != nil:
		return nil, err
	}
	f, err := c.d.open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	if first, err := in.ReadByte(); err != nil || !strings.ContainsRune("{ \t\r\n", rune(first)) {
		return nil, nil //nolint:nilerr // it is empty
	}
	if err := in.UnreadByte(); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(in, size+1))
	return raw, explain(err)
}

// unreadable says which manifest it is. What it needs to be read is not absent, but missing.
func (m *marker) unreadable(r relative, err error) error {
	if errors.Is(err, ocm.ErrNotFound) {
		err = fmt.Errorf("%v: %w", err, ocm.ErrInvalid)
	}
	return fmt.Errorf("manifest %s%s: %w", r.digest, m.where(r.digest), err)
}

// where names a repository that lists a manifest.
func (m *marker) where(d digest.Digest) string {
	for _, e := range m.idx.entries {
		if e.Digest == d {
			return fmt.Sprintf(" of repository %.300q", e.Repository)
		}
	}
	return ""
}

// links are what a manifest refers to.
type links struct {
	found    bool // the manifest itself is there
	isIndex  bool
	children []relative
	subject  digest.Digest
	mentions []digest.Digest // by a component descriptor, and the subject
}

func (m *marker) links(ctx context.Context, r relative) (l links, err error) {
	size, err := m.c.d.stat(r.digest)
	if err != nil {
		return l, err
	}
	l.found = true
	from := &repo{s: m.c.s}
	d := ociv1.Descriptor{MediaType: r.mediaType, Digest: r.digest, Size: size}
	raw, err := blob.ReadAll(ctx, from, d, blob.MaxManifest)
	if err != nil {
		return l, err
	}
	if d.MediaType == "" {
		d.MediaType = sniff(raw)
	}
	if !blob.IsManifest(d.MediaType) {
		return l, fmt.Errorf("media type %.100q is not that of a manifest or index: %w", d.MediaType, ocm.ErrInvalid)
	}
	all, err := blob.Children(d, raw)
	if err != nil {
		return l, err
	}
	l.isIndex = blob.IsIndex(d.MediaType)
	for _, c := range all {
		child := relative{digest: c.Digest}
		if blob.IsManifest(c.MediaType) {
			child.mediaType = c.MediaType
		}
		l.children = append(l.children, child)
	}
	if l.mentions, err = oci.Mentions(ctx, from, d, raw); err != nil {
		return l, err
	}
	if l.subject, _, err = oci.AsReferrer(d, raw); err == nil && l.subject != "" {
		l.mentions = append(l.mentions, l.subject)
	}
	return l, err
}
