// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
)

// attachedTo is an answer about an image with a signature.
func attachedTo(t *testing.T) (c ocm.Content, signed *fixture.SignedImage) {
	t.Helper()
	repo := memory.New().Repo("image")
	signed = fixture.NewSignedImage(t, repo)
	return ocm.Content{Root: signed.Root, From: repo}, signed
}

func TestAttachments(t *testing.T) {
	t.Parallel()
	c, signed := attachedTo(t)
	list, err := oci.Attachments(t.Context(), newEnv(), c, signed.Root.Digest)
	if err != nil || len(list) != 2 || list[1].Tag != fixture.CosignTag(signed.Root, ".sig") || list[1].Digest != signed.Tags[list[1].Tag] {
		t.Errorf("%v %v", list, err)
	}
	_, err = oci.Attachments(t.Context(), nil, c, "sha256:x")
	fixture.WantErr(t, err, ocm.ErrInvalid)
	c.Alone = true
	_, err = oci.Attachments(t.Context(), nil, c, signed.Root.Digest)
	fixture.WantErr(t, err, errors.ErrUnsupported)
}

// Who asks somebody else copies the same as who can look himself.
func TestTelling(t *testing.T) {
	t.Parallel()
	c, signed := attachedTo(t)
	inside := c
	asked := 0
	c.From = oci.Telling(c.From, func(ctx context.Context, d digest.Digest) ([]oci.Attached, error) {
		asked++
		return oci.Attachments(ctx, nil, inside, d)
	})
	target := memory.New()
	r := oci.NewRepository(target, &ocm.Env{Job: ocm.NewJob(1)})
	if _, err := add(t.Context(), r, "1.0.0", c); err != nil {
		t.Fatal(err)
	}
	signed.WantAt(t, target.Repo(oci.RepoName(name)))
	if want := 3 + 4 + 4; asked > want { // each manifest of the image and each attachment, once
		t.Errorf("asked %d times, expected %d", asked, want)
	}
	tags := c.From.(interface {
		Resolve(ctx context.Context, ref string) (ociv1.Descriptor, error)
	})
	for _, tag := range []string{"1.0.0", "sha256-x.sig", signed.Root.Digest.String(), fixture.CosignTag(signed.Root, ".evil"), fixture.CosignTag(signed.Root, "")} {
		if _, err := tags.Resolve(t.Context(), tag); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", tag, err)
		}
	}
}

// An answer that cannot be true is refused, whoever gives it.
func TestTellingLies(t *testing.T) {
	t.Parallel()
	c, signed := attachedTo(t)
	good := oci.Attached{Descriptor: ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1}}
	with := func(change func(a *oci.Attached)) []oci.Attached {
		a := good
		change(&a)
		return []oci.Attached{good, a}
	}
	tag := fixture.CosignTag(signed.Root, ".sig")
	tagged := with(func(a *oci.Attached) { a.Tag = tag })
	for name, c2 := range map[string]struct {
		list []oci.Attached
		want error
	}{
		"too many":            {make([]oci.Attached, 2000), ocm.ErrLimit},
		"no media type":       {with(func(a *oci.Attached) { a.MediaType = "" }), ocm.ErrInvalid},
		"long media type":     {with(func(a *oci.Attached) { a.MediaType = strings.Repeat("x", 256) }), ocm.ErrInvalid},
		"long artifact type":  {with(func(a *oci.Attached) { a.ArtifactType = strings.Repeat("x", 256) }), ocm.ErrInvalid},
		"no size":             {with(func(a *oci.Attached) { a.Size = -1 }), ocm.ErrInvalid},
		"path as digest":      {with(func(a *oci.Attached) { a.Digest = "sha256:../../etc/passwd" }), ocm.ErrInvalid},
		"weak digest":         {with(func(a *oci.Attached) { a.Digest = "md5:d41d8cd98f00b204e9800998ecf8427e" }), ocm.ErrInvalid},
		"tag of another one":  {with(func(a *oci.Attached) { a.Tag = strings.Replace(tag, tag[7:8], "0", 1) + "0" }), ocm.ErrInvalid},
		"tag of a version":    {with(func(a *oci.Attached) { a.Tag = "1.0.0" }), ocm.ErrInvalid},
		"one tag twice":       {append(tagged, tagged...), ocm.ErrInvalid},
		"an error":            {nil, ocm.ErrDenied},
		"nothing of it wrong": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := c
			c.From = oci.Telling(c.From, func(context.Context, digest.Digest) ([]oci.Attached, error) {
				if c2.want == ocm.ErrDenied {
					return nil, fmt.Errorf("no: %w", c2.want)
				}
				return c2.list, nil
			})
			_, err := add(t.Context(), oci.NewRepository(memory.New(), newEnv()), "1.0.0", c)
			if c2.want == nil && err == nil {
				return
			}
			fixture.WantErr(t, err, c2.want, "--no-referrers")
		})
	}
}

// What somebody did not ask for is left behind, on every floor.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	c, signed := attachedTo(t)
	left := func(except ...digest.Digest) int {
		t.Helper()
		list, err := oci.LeftBehind(t.Context(), newEnv(), c, func(d digest.Digest) ([]oci.Attached, bool) {
			list, err := oci.Attachments(t.Context(), nil, c, d)
			if err != nil {
				t.Error(err)
			}
			for _, e := range except {
				if d == e {
					return nil, false
				}
			}
			return list, true
		})
		if err != nil {
			t.Error(err)
		}
		return len(list)
	}
	signature := signed.Referrers[signed.Root.Digest][0]
	for _, l := range []struct{ want, found int }{{0, left()}, {2, left(signed.Root.Digest)}, {1, left(signature)}} {
		if l.want != l.found {
			t.Errorf("expected %d, found %d", l.want, l.found)
		}
	}
	many := make([]oci.Attached, 50)
	for i := range many {
		many[i].Digest = digest.FromString(fmt.Sprint(i))
	}
	if names := oci.NamesOf(many); len(names) != 21 || names[20] != "and 30 more" {
		t.Errorf("%q", names)
	}
	c.Alone = true
	if n := left(signed.Root.Digest); n != 0 {
		t.Errorf("alone: %d", n)
	}
}
