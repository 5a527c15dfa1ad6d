// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/blob"
	"ocm/graph"
)

// resultKey names content that is the same for all that use it.
type resultKey struct {
	place                            any // a repository, or an access to content elsewhere
	component, root, platforms, want string
}

type result struct {
	once sync.Once
	list []Finding
}

// once finds out about content when it is asked for first.
func (c *checker) once(k resultKey, find func() []Finding) []Finding {
	c.mu.Lock()
	r := c.results[k]
	if r == nil {
		r = &result{}
		c.results[k] = r
	}
	c.mu.Unlock()
	r.once.Do(func() { r.list = find() })
	return append([]Finding(nil), r.list...) // whoever gets it writes into it whose it is
}

// placeKey names a blob in a repository of component versions.
type placeKey struct {
	place     any
	component string // empty: wherever in it
	digest    digest.Digest
	size      int64 // as it is said to be
}

// blobRead is a blob that was read to its end.
type blobRead struct {
	once sync.Once
	by   string // component under which it was read
	err  error
}

// read reads a blob to its end. If somebody did so before in this repository, under another component,
// it is only opened: each component has a place of its own in a registry.
func (c *checker) read(ctx context.Context, k placeKey, from ocm.Fetcher, d ociv1.Descriptor) error {
	b := c.readOnce(ctx, placeKey{k.place, "", d.Digest, d.Size}, k.component, from, d)
	switch {
	case b.by == k.component:
		return b.err
	case b.err != nil: // which may be the matter of that other one
		return c.readOnce(ctx, placeKey{k.place, k.component, d.Digest, d.Size}, k.component, from, d).err
	}
	return c.env.Job.Do(ctx, func() error {
		r, err := from.Fetch(ctx, d)
		if err == nil {
			r.Close()
		}
		return err
	})
}

func (c *checker) readOnce(ctx context.Context, k placeKey, by string, from ocm.Fetcher, d ociv1.Descriptor) *blobRead {
	c.mu.Lock()
	b := c.places[k]
	if b == nil {
		b = &blobRead{}
		c.places[k] = b
	}
	c.mu.Unlock()
	b.once.Do(func() {
		b.by = by
		b.err = c.env.Job.Do(ctx, func() error {
			r, err := blob.Open(ctx, from, d)
			if err != nil {
				return err
			}
			defer r.Close()
			n, err := io.Copy(io.Discard, r)
			c.count(n)
			return err
		})
	})
	return b
}

func (c *checker) count(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blobs, c.bytes = c.blobs+1, c.bytes+bytes
}

// whole looks at content to its last byte.
func (c *checker) whole(ctx context.Context, k placeKey, found ocm.Content, platforms []blob.Platform, want *ocm.Digest) []Finding {
	root := found.Root
	switch {
	case blob.IsManifest(root.MediaType):
		return c.artifact(ctx, k, found, platforms, want)
	case want != nil && (root.Digest == "" || !isDigestOf(want, root)):
		// An archive of an artifact, or another hash: it has to be read for that digest.
		err := c.env.Job.Do(ctx, func() error { return graph.Check(ctx, found, *want) })
		if err != nil {
			return []Finding{problem(err)}
		}
		return []Finding{{Status: Present, Detail: want.String()}}
	case root.Digest == "": // stored in parts, each of which is compared while it is read
		err := c.env.Job.Do(ctx, func() error {
			rc, err := blob.OpenContent(ctx, found)
			if err != nil {
				return err
			}
			defer rc.Close()
			_, err = io.Copy(io.Discard, rc)
			return err
		})
		if err != nil {
			return []Finding{problem(err)}
		}
		return []Finding{{Status: Present}}
	}
	if err := c.read(ctx, k, found.From, root); err != nil {
		return []Finding{problem(err)}
	}
	return []Finding{{Status: Present, Detail: root.Digest.String()}}
}

// isDigestOf reports whether a digest of the descriptor is the one that addresses a blob.
func isDigestOf(want *ocm.Digest, root ociv1.Descriptor) bool {
	return want.NormalisationAlgorithm == ocm.GenericBlobDigest && want.HashAlgorithm == ocm.SHA256 &&
		root.Digest.Algorithm() == digest.SHA256 && root.Digest.Encoded() == want.Value
}

// isArtifactDigest reports whether a digest of the descriptor is the one by which an artifact is known: also its algorithms
// must be such that [graph.Check] would say the same.
func isArtifactDigest(want *ocm.Digest, root ociv1.Descriptor) bool {
	switch want.NormalisationAlgorithm {
	case ocm.OCIArtifactDigest, "ociArtefactDigest/v1", ocm.GenericBlobDigest:
	default:
		return false
	}
	hash := strings.ReplaceAll(strings.ToLower(want.HashAlgorithm), "-", "")
	return hash == root.Digest.Algorithm().String() && want.Value == root.Digest.Encoded()
}

// artifact looks at an image or another artifact with everything below it.
func (c *checker) artifact(ctx context.Context, k placeKey, found ocm.Content, platforms []blob.Platform, want *ocm.Digest) []Finding {
	if want != nil && !isArtifactDigest(want, found.Root) {
		return []Finding{problem(fmt.Errorf("content: expected %s, found %s: %w", want, found.Root.Digest, ocm.ErrDigest))}
	}
	t := &tree{c: c, at: k, from: found.From, seen: map[nodeKey]bool{}}
	if len(platforms) > 0 {
		s, err := blob.SelectPlatforms(ctx, found.From, found.Root, graph.OfPlatforms(platforms))
		if err == nil { // else the walk tells what is wrong
			t.left = s.Skip()
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.env.Job.Parallel())
	t.g = g
	t.node(gctx, found.Root, false, 0)
	_ = g.Wait() // findings carry the errors
	if len(t.findings) > 0 {
		return t.findings
	}
	return []Finding{{Status: Present, Detail: found.Root.Digest.String()}}
}

// tree is a walk through an artifact that goes on after what it finds missing or damaged.
type tree struct {
	c    *checker
	at   placeKey
	from ocm.Fetcher
	left func(ociv1.Descriptor) bool // entries that a transfer left behind; nil: none
	seen map[nodeKey]bool
	over bool // a limit was exceeded: nothing more is looked at
	g    *errgroup.Group

	mu       sync.Mutex
	findings []Finding
}

// nodeKey tells a manifest from a blob of the same digest, whose children would be hidden; left
// behind or not makes a difference as well.
type nodeKey struct {
	digest   digest.Digest
	size     int64
	manifest bool
	left     bool
}

// node looks at a node and what is below it. With left it belongs to what was left behind: then it
// need not be there.
func (t *tree) node(ctx context.Context, d ociv1.Descriptor, left bool, depth int) {
	k := nodeKey{d.Digest, d.Size, blob.IsManifest(d.MediaType), left}
	if t.seen[k] || t.over || ctx.Err() != nil {
		return
	}
	t.seen[k] = true
	if t.over = len(t.seen) > blob.MaxNodes || depth > blob.MaxDepth; t.over {
		t.found(d, left, fmt.Errorf("more than %d nodes, or nested more than %d deep: %w", blob.MaxNodes, blob.MaxDepth, ocm.ErrLimit))
		return
	}
	if !k.manifest {
		t.g.Go(func() error { t.found(d, left, t.c.read(ctx, t.at, t.from, d)); return nil })
		return
	}
	var raw []byte
	err := t.c.env.Job.Do(ctx, func() (err error) {
		raw, err = blob.ReadAll(ctx, t.from, d, blob.MaxManifest)
		return err
	})
	var children []ociv1.Descriptor
	if err == nil {
		t.c.count(int64(len(raw)))
		children, err = blob.Children(d, raw)
	}
	if err != nil {
		t.found(d, left, err)
		return
	}
	for _, child := range children {
		t.node(ctx, child, left || t.left != nil && blob.IsIndex(d.MediaType) && t.left(child), depth+1)
	}
}

// found notes what is wrong with a node.
func (t *tree) found(d ociv1.Descriptor, left bool, err error) {
	if err == nil {
		return
	}
	f := problem(fmt.Errorf("%s%s: %w", platformPrefix(d), d.MediaType, err))
	if left && errors.Is(err, ocm.ErrNotFound) {
		f.Status, f.Detail = LeftOut, platformPrefix(d)+d.Digest.String()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.findings) < MaxFindings {
		t.findings = append(t.findings, f)
	}
}

func platformPrefix(d ociv1.Descriptor) string {
	if d.Platform == nil || d.Platform.OS == "" {
		return ""
	}
	return "platform " + d.Platform.OS + "/" + d.Platform.Architecture + " "
}
