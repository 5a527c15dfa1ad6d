// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
	"ocm/oci/memory"
)

// noTags is a registry that does not let us list tags, but has referrers.
type noTags struct {
	oci.Store
	err       error
	referrers []ociv1.Descriptor
}

func (s noTags) Repo(name string) oci.Repo { return noTagsRepo{s.Store.Repo(name), s} }

type noTagsRepo struct {
	oci.Repo
	s noTags
}

func (r noTagsRepo) Tags(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield("", r.s.err) }
}

func (r noTagsRepo) Referrers(_ context.Context, d ociv1.Descriptor, artifactType string) iter.Seq2[ociv1.Descriptor, error] {
	return func(yield func(ociv1.Descriptor, error) bool) {
		if d.Digest != "sha256:9717cda41c478af11cba7ed29f4aa3e4882bab769d006788169cbccafc0fcd05" || artifactType != oci.ArtifactTypeDescriptor {
			yield(ociv1.Descriptor{}, errors.New("asked for something else than the component index"))
			return
		}
		for _, r := range r.s.referrers {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func TestListingByComponentIndex(t *testing.T) {
	of := func(s string) ociv1.Descriptor {
		return ociv1.Descriptor{Annotations: map[string]string{"software.ocm.componentversion": s}}
	}
	referrers := []ociv1.Descriptor{of(name + ":1.0.0"), of("component-descriptors/" + name + ":2.0.0+b"), of(name + ":1.0.0"), of("acme.org/other:3.0.0"), {}}
	for _, c := range []struct {
		name  string
		store noTags
		want  []string
		err   error
	}{
		{"tags are denied", noTags{memory.New(), ocm.ErrDenied, referrers}, []string{"1.0.0", "2.0.0+b"}, nil},
		{"tags are not supported", noTags{memory.New(), errors.ErrUnsupported, referrers}, []string{"1.0.0", "2.0.0+b"}, nil},
		{"nothing there either", noTags{memory.New(), ocm.ErrDenied, nil}, nil, ocm.ErrDenied},
		{"another fault is not hidden", noTags{memory.New(), ocm.ErrLimit, referrers}, nil, ocm.ErrLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			var failed error
			for v, err := range oci.NewRepository(c.store, &ocm.Env{}).Versions(t.Context(), name) {
				if err != nil {
					failed = err
					break
				}
				got = append(got, v)
			}
			if !errors.Is(failed, c.err) || !slices.Equal(got, c.want) {
				t.Errorf("expected %q, %v, found %q, %v", c.want, c.err, got, failed)
			}
		})
	}
}
