// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ocm"
	"ocm/blob"
	"ocm/graph"
)

// ParsePlatforms reads a list of os/architecture[/variant]. [ocm.ErrInvalid] if one of them is none.
func ParsePlatforms(texts []string) ([]blob.Platform, error) {
	var list []blob.Platform
	for _, s := range texts {
		p, err := blob.ParsePlatform(s)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list, nil
}

// wanted are the platforms of an element that move: those that were asked for, as far as the source has
// them. Nothing means all. [ocm.ErrNotFound] if the source has none of them.
func (p *Plan) wanted(labels []ocm.Label) ([]blob.Platform, error) {
	asked, there := p.o.Platforms, graph.Platforms(labels)
	if len(asked) == 0 || len(there) == 0 {
		return append(slices.Clone(asked), there...), nil
	}
	var both []blob.Platform
	for _, a := range asked {
		for _, t := range there {
			if t.Covers(a) {
				both = append(both, a)
			} else if a.Covers(t) {
				both = append(both, t)
			}
		}
	}
	if len(both) == 0 {
		return nil, fmt.Errorf("the source is a copy of the platforms %s only, expected %s: %w", names(there), names(asked), ocm.ErrNotFound)
	}
	slices.SortFunc(both, func(a, b blob.Platform) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(both), nil
}

func names(list []blob.Platform) string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.String()
	}
	return strings.Join(out, ", ")
}

// lacks reports whether a local image of the target lacks platforms that are wanted.
func (p *Plan) lacks(target *ocm.Element, source *ocm.Element) bool {
	there := graph.Platforms(target.Labels)
	if len(there) == 0 {
		return false // it is whole
	}
	wanted, err := p.wanted(source.Labels)
	if err != nil {
		return false // the source cannot help
	}
	accept := graph.OfPlatforms(there)
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(w blob.Platform) bool { return !accept(w) })
}

// narrow makes content of the platforms that are wanted, and returns the labels that say which platforms
// the target will have: these, and those that it has already.
func (p *Plan) narrow(ctx context.Context, vp *VersionPlan, m *Move, c ocm.Content) (ocm.Content, []ocm.Label, error) {
	labels := labelsOf(vp.was(), m).Labels
	if !blob.IsIndex(c.Root.MediaType) {
		return c, labels, nil
	}
	wanted, err := p.wanted(labelsOf(vp.node.Descriptor(), m).Labels)
	if err != nil {
		return c, labels, err
	}
	if vp.State == Merge && len(wanted) > 0 && vp.placed(m, vp.merged) {
		wanted = append(wanted, graph.Platforms(labels)...) // what is there stays
	}
	if len(wanted) > 0 {
		s, err := blob.SelectPlatforms(ctx, c.From, c.Root, graph.OfPlatforms(wanted))
		switch {
		case err != nil:
			return c, labels, err
		case s.Matched == 0 && len(s.Offered) > 0:
			return c, labels, fmt.Errorf("no image for platform %s, there are %s: %w", names(wanted), strings.Join(s.Offered, ", "), ocm.ErrNotFound)
		}
		if c.Skip = s.Skip(); c.Skip == nil {
			wanted = nil // all of it
		}
	}
	labels, err = graph.SetPlatforms(slices.Clone(labels), wanted)
	return c, labels, err
}

// refusedPart explains why a target did not take part of an image.
func refusedPart(c ocm.Content, err error) error {
	if c.Skip == nil || !errors.Is(err, ocm.ErrNotFound) && !errors.Is(err, ocm.ErrInvalid) {
		return err
	}
	return fmt.Errorf("some registries refuse an image index of which not all platforms are there; transfer to an archive, or without --platform: %v: %w", err, ocm.ErrInvalid)
}

// labelsOf is the element that a move is about, with its labels.
func labelsOf(d *ocm.Descriptor, m *Move) *ocm.Element {
	if m.Kind == "source" {
		return &d.Component.Sources[m.index].Element
	}
	return &d.Component.Resources[m.index].Element
}

// withoutPlatforms is a descriptor whose labels do not say which platforms a copy has: that is a
// matter of each copy and not to be merged.
func withoutPlatforms(d *ocm.Descriptor) *ocm.Descriptor {
	var elements []*ocm.Element
	for i := range d.Component.Resources {
		elements = append(elements, &d.Component.Resources[i].Element)
	}
	for i := range d.Component.Sources {
		elements = append(elements, &d.Component.Sources[i].Element)
	}
	if !slices.ContainsFunc(elements, func(e *ocm.Element) bool { return len(graph.Platforms(e.Labels)) > 0 }) {
		return d
	}
	d = d.Clone()
	drop := func(e *ocm.Element) {
		e.Labels = slices.DeleteFunc(e.Labels, func(l ocm.Label) bool { return l.Name == graph.PlatformsLabel && !l.Signing })
	}
	for i := range d.Component.Resources {
		drop(&d.Component.Resources[i].Element)
	}
	for i := range d.Component.Sources {
		drop(&d.Component.Sources[i].Element)
	}
	return d
}
