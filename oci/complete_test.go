// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
)

// listsOf is a store where each look costs, and whose repositories list what list says.
type listsOf struct {
	oci.Store
	list func(subject ociv1.Descriptor) ([]ociv1.Descriptor, error)
}

func (s listsOf) Repo(name string) oci.Repo {
	return listsOfRepo{costlyRepo{s.Store.Repo(name), new(atomic.Int64)}, s.list}
}

type listsOfRepo struct {
	costlyRepo
	list func(subject ociv1.Descriptor) ([]ociv1.Descriptor, error)
}

func (r listsOfRepo) Referrers(_ context.Context, subject ociv1.Descriptor, _ string) iter.Seq2[ociv1.Descriptor, error] {
	return func(yield func(ociv1.Descriptor, error) bool) {
		list, err := r.list(subject)
		for _, d := range list {
			if !yield(d, nil) {
				return
			}
		}
		if err != nil {
			yield(ociv1.Descriptor{}, err)
		}
	}
}

// What a target lists of one subject says nothing of another, and where it has no way to tell nothing is said to lack.
func TestLackOfTwoSubjects(t *testing.T) {
	t.Parallel()
	from := memory.New().Repo("image")
	one := put(t, from, "", ociv1.Manifest{ArtifactType: "one"}, "one")
	two := put(t, from, "", ociv1.Manifest{ArtifactType: "two"}, "two")
	root := putIndex(t, from, "", one, two)
	ofOne := put(t, from, "", ociv1.Manifest{ArtifactType: "sig", Subject: &one}, "of one")
	ofTwo := put(t, from, "", ociv1.Manifest{ArtifactType: "sig", Subject: &two}, "of two")
	broken := errors.New("broken")
	said := func(d ociv1.Descriptor) string { return "sig " + d.Digest.String() }
	for name, c := range map[string]struct {
		ofOne, ofTwo []ociv1.Descriptor
		err          error // where two is asked for
		want         []string
		wantErr      error
	}{
		"both are listed":          {[]ociv1.Descriptor{ofOne}, []ociv1.Descriptor{ofTwo}, nil, nil, nil},
		"none is listed":           {nil, nil, nil, []string{said(ofOne), said(ofTwo)}, nil},
		"one is":                   {[]ociv1.Descriptor{ofOne}, nil, nil, []string{said(ofTwo)}, nil},
		"each with the other":      {[]ociv1.Descriptor{ofTwo}, []ociv1.Descriptor{ofOne}, nil, []string{said(ofOne), said(ofTwo)}, nil},
		"it cannot tell of two":    {nil, nil, fmt.Errorf("no list: %w", errors.ErrUnsupported), []string{said(ofOne)}, nil},
		"it breaks off, of two":    {nil, []ociv1.Descriptor{ofTwo}, broken, nil, broken},
		"it tells of one, not two": {[]ociv1.Descriptor{ofOne}, nil, errors.ErrUnsupported, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := oci.NewRepository(listsOf{memory.New(), func(subject ociv1.Descriptor) ([]ociv1.Descriptor, error) {
				switch subject.Digest {
				case one.Digest:
					return c.ofOne, nil
				case two.Digest:
					return c.ofTwo, c.err
				}
				return nil, nil
			}}, newEnv())
			lack, err := to.LacksAttached(t.Context(), "image", ocm.Content{Root: root, From: from})
			fixture.WantErr(t, err, c.wantErr)
			slices.Sort(c.want)
			if !slices.Equal(lack.Attached, c.want) {
				t.Errorf("expected %v, found %v", c.want, lack.Attached)
			}
		})
	}
}
