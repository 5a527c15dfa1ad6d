// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

// What a partial transfer leaves out is written down where no signature covers it: an access
// says what was left out as a whole, a label which platforms of an image are there. Both are
// claims of whoever wrote the copy. They explain why content is missing, they never excuse it.

// OmittedType is the type of an access to content that was left out of a copy.
const OmittedType = "omitted/v1"

// IsOmitted reports whether an access type is that of content that was left out of a copy.
func IsOmitted(accessType string) bool { return strings.TrimSuffix(accessType, "/v1") == "omitted" }

// Omitted is the access of content that was left out of a copy.
type Omitted struct {
	Type      string   `json:"type"`
	Access    ocm.Spec `json:"access"` // in the repository that the copy was made from
	MediaType string   `json:"mediaType,omitempty"`
	Digest    string   `json:"digest,omitempty"` // of the blob; empty: not known
	Size      int64    `json:"size,omitzero"`    // of the blob, in bytes
	Reason    string   `json:"reason,omitempty"`
}

// Omit makes the access that stands for content which is left out. root is what is known of it.
func Omit(access ocm.Spec, root ociv1.Descriptor, reason string) (ocm.Spec, error) {
	return ocm.NewSpec(Omitted{Type: OmittedType, Access: access, MediaType: root.MediaType,
		Digest: root.Digest.String(), Size: max(0, root.Size), Reason: reason})
}

// ParseOmitted reads such an access. [ocm.ErrInvalid] if it does not say what was left out.
func ParseOmitted(access ocm.Spec) (Omitted, error) {
	var o Omitted
	if err := access.Decode(&o); err != nil {
		return o, err
	}
	if o.Access.Type == "" || IsOmitted(o.Access.Type) {
		return o, fmt.Errorf("access %s: the access of what was left out is missing: %w", access.Type, ocm.ErrInvalid)
	}
	return o, nil
}

// errOmitted is what asking for such content leads to.
func errOmitted(access ocm.Spec) error {
	what := ""
	if o, err := ParseOmitted(access); err == nil {
		what = " (" + strings.TrimSpace(o.Access.Type+" "+o.Digest) + ")"
	}
	return fmt.Errorf("content%s was left out of this copy; transfer again without --exclude: %w", what, ocm.ErrNotFound)
}

// PlatformsLabel is the name of an unsigned label of resources and sources: its value is the list
// of the platforms of whose images the copy consists. Without it an image is whole.
const PlatformsLabel = "transfer.ocm.software/platforms"

// maxPlatforms bounds the list in such a label.
const maxPlatforms = 100

// Platforms reads that label. Nothing means that the content must be whole: there is no label, or
// it is signed, which no transfer writes, or it cannot be read.
func Platforms(labels []ocm.Label) []blob.Platform {
	i := slices.IndexFunc(labels, func(l ocm.Label) bool { return l.Name == PlatformsLabel })
	var names []string
	if i < 0 || labels[i].Signing || jsonv2.Unmarshal(labels[i].Value, &names) != nil || len(names) > maxPlatforms {
		return nil
	}
	var list []blob.Platform
	for _, name := range names {
		p, err := blob.ParsePlatform(name)
		if err != nil {
			return nil
		}
		list = append(list, p)
	}
	return list
}

// SetPlatforms writes that label, or removes it with an empty list. [ocm.ErrInvalid] if a signed
// label is in its place.
func SetPlatforms(labels []ocm.Label, list []blob.Platform) ([]ocm.Label, error) {
	at := slices.IndexFunc(labels, func(l ocm.Label) bool { return l.Name == PlatformsLabel })
	if at >= 0 && labels[at].Signing && len(list) > 0 {
		return nil, fmt.Errorf("label %s is signed, so that it cannot say which platforms were copied: %w", PlatformsLabel, ocm.ErrInvalid)
	}
	if len(list) == 0 {
		return slices.DeleteFunc(labels, func(l ocm.Label) bool { return l.Name == PlatformsLabel && !l.Signing }), nil
	}
	if len(list) > maxPlatforms {
		return nil, fmt.Errorf("%d platforms, accepted are %d: %w", len(list), maxPlatforms, ocm.ErrLimit)
	}
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = p.String()
	}
	slices.Sort(names)
	value, err := jsonv2.Marshal(slices.Compact(names))
	if err != nil {
		return nil, err
	}
	label := ocm.Label{Name: PlatformsLabel, Value: value}
	if at >= 0 {
		labels = slices.Clone(labels)
		labels[at] = label
		return labels, nil
	}
	return append(slices.Clone(labels), label), nil
}

// OfPlatforms is a function that accepts what belongs to one of the platforms.
func OfPlatforms(list []blob.Platform) func(blob.Platform) bool {
	return func(p blob.Platform) bool {
		return slices.ContainsFunc(list, func(q blob.Platform) bool { return q.Covers(p) })
	}
}

// ExplainMissing adds to an error about missing content what a label says about it: which entries
// of the index a transfer left behind.
func ExplainMissing(ctx context.Context, c ocm.Content, labels []ocm.Label, cause error) error {
	list := Platforms(labels)
	if len(list) == 0 || !errors.Is(cause, ocm.ErrNotFound) {
		return cause
	}
	s, err := blob.SelectPlatforms(ctx, c.From, c.Root, OfPlatforms(list))
	if err != nil || len(s.Left) == 0 {
		return cause
	}
	names := make([]string, 0, len(s.Left))
	for _, d := range s.Left[:min(len(s.Left), maxNamed)] {
		name := d.Digest.String()
		if p := d.Platform; p != nil && p.OS != "" {
			name = strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/") + " " + name
		}
		names = append(names, name)
	}
	more := ""
	if n := len(s.Left) - len(names); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("this copy has only the platforms that its label %s names, without %s%s; transfer again without --platform: %w",
		PlatformsLabel, strings.Join(names, ", "), more, cause)
}

// maxNamed bounds how many entries an error lists.
const maxNamed = 20
