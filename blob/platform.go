// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// annotationSubject is how attestations in an index name the image that they are about.
const annotationSubject = "vnd.docker.reference.digest"

// Platform is an operating system and an architecture that images are made for.
type Platform struct{ OS, Architecture, Variant string } // an empty variant stands for all

var platformPart = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// ParsePlatform reads os/architecture[/variant]. [ocm.ErrInvalid] for anything else.
func ParsePlatform(s string) (Platform, error) {
	parts := strings.Split(strings.ToLower(strings.TrimSpace(s)), "/")
	for _, p := range parts {
		if len(parts) < 2 || len(parts) > 3 || !platformPart.MatchString(p) {
			return Platform{}, fmt.Errorf("platform %.200q: expected os/architecture or os/architecture/variant, such as linux/arm64: %w", s, ocm.ErrInvalid)
		}
	}
	return newPlatform(parts[0], parts[1], strings.Join(parts[2:], "")), nil
}

// newPlatform uses one name for what has several.
func newPlatform(os, architecture, variant string) Platform {
	p := Platform{strings.ToLower(os), strings.ToLower(architecture), strings.ToLower(variant)}
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "aarch64":
		p.Architecture = "arm64"
	}
	if p.Architecture == "arm64" && p.Variant == "v8" || p.Architecture == "amd64" && p.Variant == "v1" {
		p.Variant = "" // the only one, or the one that all others include
	}
	return p
}

func (p Platform) String() string {
	if p.Variant == "" {
		return p.OS + "/" + p.Architecture
	}
	return p.OS + "/" + p.Architecture + "/" + p.Variant
}

// MarshalText writes what String does.
func (p Platform) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is [ParsePlatform].
func (p *Platform) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePlatform(string(text))
	return err
}

// Covers reports whether all images for q are images for p.
func (p Platform) Covers(q Platform) bool {
	return p.OS == q.OS && p.Architecture == q.Architecture && (p.Variant == "" || p.Variant == q.Variant)
}

// platformOf is the platform of an entry of an index; ok is false if it has none, as attestations do.
func platformOf(d ociv1.Descriptor) (p Platform, ok bool) {
	if d.Platform == nil || d.Platform.OS == "" || d.Platform.OS == "unknown" {
		return p, false
	}
	return newPlatform(d.Platform.OS, d.Platform.Architecture, d.Platform.Variant), true
}

// Selection is what of an index, and of the indexes in it, belongs to some platforms.
type Selection struct {
	Left    []ociv1.Descriptor // the entries that do not, each digest once
	Matched int                // entries of these platforms
	Offered []string           // all platforms that there are, sorted
}

// Skip is what a [ocm.Content] needs to leave these entries behind; nil if nothing is left.
func (s Selection) Skip() func(ociv1.Descriptor) bool {
	if len(s.Left) == 0 {
		return nil
	}
	left := make(map[digest.Digest]bool, len(s.Left))
	for _, d := range s.Left {
		left[d.Digest] = true
	}
	return func(d ociv1.Descriptor) bool { return left[d.Digest] }
}

// SelectPlatforms reads an index, and those in it, and decides which entries belong to platforms that
// accept says yes to. Entries without a platform do, unless they are about an image that does not: such
// are attestations. What is no index is whole.
func SelectPlatforms(ctx context.Context, from ocm.Fetcher, root ociv1.Descriptor, accept func(Platform) bool) (Selection, error) {
	s := selecting{from: from, accept: accept, keep: map[digest.Digest]bool{}, read: map[digest.Digest]bool{}}
	if !IsIndex(root.MediaType) {
		return Selection{}, nil
	}
	if err := s.index(ctx, root, 0); err != nil {
		return Selection{}, err
	}
	slices.Sort(s.Offered)
	s.Offered = slices.Compact(s.Offered)
	// One digest may stand in several places: wanted in one, it is wanted.
	seen := map[digest.Digest]bool{}
	s.Left = slices.DeleteFunc(s.Left, func(d ociv1.Descriptor) bool {
		again := s.keep[d.Digest] || seen[d.Digest]
		seen[d.Digest] = true
		return again
	})
	return s.Selection, nil
}

type selecting struct {
	Selection
	from   ocm.Fetcher
	accept func(Platform) bool
	keep   map[digest.Digest]bool
	read   map[digest.Digest]bool // indexes, each once, however often they are named
	nodes  int
}

// index decides about the entries of one index. Indexes in it that have no platform of their own are
// kept even if nothing in them is, so that a copy can be selected from as well.
func (s *selecting) index(ctx context.Context, d ociv1.Descriptor, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("%s: indexes nested more than %d deep: %w", d.Digest, MaxDepth, ocm.ErrLimit)
	}
	if s.read[d.Digest] {
		return nil
	}
	s.read[d.Digest] = true
	raw, err := ReadAll(ctx, s.from, d, MaxManifest)
	if err != nil {
		return err
	}
	entries, err := Children(d, raw)
	if err != nil {
		return err
	}
	if s.nodes += len(entries); s.nodes > MaxNodes {
		return fmt.Errorf("%s: more than %d nodes: %w", d.Digest, MaxNodes, ocm.ErrLimit)
	}
	var about []ociv1.Descriptor // entries that go with another one
	left := map[digest.Digest]bool{}
	decide := func(e ociv1.Descriptor, keep bool) {
		if keep {
			s.keep[e.Digest] = true
		} else {
			left[e.Digest] = true
			s.Left = append(s.Left, e)
		}
	}
	for _, e := range entries {
		p, ok := platformOf(e)
		if ok {
			s.Offered = append(s.Offered, p.String())
		}
		switch keep := ok && s.accept(p); {
		case IsIndex(e.MediaType) && (keep || !ok):
			decide(e, true)
			if err := s.index(ctx, e, depth+1); err != nil {
				return err
			}
		case keep:
			s.Matched++
			decide(e, true)
		case ok:
			decide(e, false)
		default:
			about = append(about, e)
		}
	}
	for _, e := range about {
		subject := digest.Digest(e.Annotations[annotationSubject])
		decide(e, s.keep[subject] || !left[subject])
	}
	return nil
}
