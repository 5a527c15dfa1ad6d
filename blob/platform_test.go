// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

func TestPlatformNames(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"linux/amd64": "linux/amd64", " Linux/AMD64 ": "linux/amd64", "linux/x86_64": "linux/amd64", "linux/aarch64": "linux/arm64",
		"linux/arm64/v8": "linux/arm64", "linux/arm/v7": "linux/arm/v7", "linux/amd64/v1": "linux/amd64", "linux/amd64/v3": "linux/amd64/v3",
	} {
		if p, err := ParsePlatform(s); err != nil || p.String() != want {
			t.Errorf("%q: expected %s, found %s %v", s, want, p, err)
		}
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"linux/arm", "linux/arm/v7", true}, {"linux/arm/v7", "linux/arm", false}, {"linux/arm/v7", "linux/arm/v6", false},
		{"linux/amd64", "windows/amd64", false}, {"linux/arm64", "linux/arm64/v8", true},
	} {
		a, errA := ParsePlatform(c.a)
		b, errB := ParsePlatform(c.b)
		if errA != nil || errB != nil || a.Covers(b) != c.want {
			t.Errorf("%s covers %s: expected %v", c.a, c.b, c.want)
		}
	}
}

// store is a set of blobs that counts what is read of it.
type store struct {
	blobs map[digest.Digest][]byte
	reads int
}

func (s *store) Fetch(_ context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	s.reads++
	b, ok := s.blobs[d.Digest]
	if !ok {
		return nil, ocm.ErrNotFound
	}
	return io.NopCloser(strings.NewReader(string(b))), nil
}

func (s *store) index(t testing.TB, entries ...ociv1.Descriptor) ociv1.Descriptor {
	t.Helper()
	raw, err := jsonv2.Marshal(ociv1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex, Manifests: entries})
	if err != nil {
		t.Fatal(err)
	}
	d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageIndex, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	s.blobs[d.Digest] = raw
	return d
}

func entryFor(name, os, arch string) ociv1.Descriptor {
	d := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString(name), Size: 1}
	if os != "" {
		d.Platform = &ociv1.Platform{OS: os, Architecture: arch}
	}
	return d
}

// An index that names another one ten thousand times has it read once.
func TestManyMentionsOfAnIndex(t *testing.T) {
	t.Parallel()
	s := &store{blobs: map[digest.Digest][]byte{}}
	inner := s.index(t, entryFor("a", "linux", "amd64"))
	root := s.index(t, slices.Repeat([]ociv1.Descriptor{inner}, MaxChildren)...)
	found, err := SelectPlatforms(t.Context(), s, root, func(Platform) bool { return false })
	if err != nil || s.reads != 2 || len(found.Left) != 1 {
		t.Errorf("%d reads, %d left: %v", s.reads, len(found.Left), err)
	}
	for range MaxDepth + 1 {
		root = s.index(t, root, entryFor(root.Digest.String(), "", ""))
	}
	if _, err := SelectPlatforms(t.Context(), s, root, func(Platform) bool { return true }); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("expected ErrLimit, found %v", err)
	}
}

// A digest that is wanted in one place stays, whatever another place says; what is about it stays too.
func TestWantedInOnePlace(t *testing.T) {
	t.Parallel()
	s := &store{blobs: map[digest.Digest][]byte{}}
	about := func(name, of string) ociv1.Descriptor {
		d := entryFor(name, "unknown", "unknown")
		d.Annotations = map[string]string{annotationSubject: digest.FromString(of).String()}
		return d
	}
	root := s.index(t, about("about a", "a"), entryFor("a", "linux", "arm64"), entryFor("a", "linux", "amd64"),
		entryFor("b", "linux", "arm64"), about("about b", "b"), about("about c", "c"), entryFor("unknown", "unknown", "unknown"))
	found, err := SelectPlatforms(t.Context(), s, root, func(p Platform) bool { return p.Architecture == "amd64" })
	var left []string
	for _, d := range found.Left {
		for _, name := range []string{"a", "b", "about a", "about b", "about c", "unknown"} {
			if d.Digest == digest.FromString(name) {
				left = append(left, name)
			}
		}
	}
	if got := strings.Join(left, ","); err != nil || got != "b,about b" || found.Matched != 1 {
		t.Errorf("left %s, %+v, %v", got, found, err)
	}
}

// FuzzPlatform: what is read is written the same, and any document is judged without a panic.
func FuzzPlatform(f *testing.F) {
	f.Add("linux/amd64", `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:9717cda41c478af11cba7ed29f4aa3e4882bab769d006788169cbccafc0fcd05","size":1,"platform":{"os":"linux","architecture":"arm64"}}]}`)
	f.Add("linux/arm/v7", `{"manifests":[{"platform":null}]}`)
	f.Add("a/b/c/d", `{}`)
	f.Fuzz(func(t *testing.T, name, document string) {
		p, err := ParsePlatform(name)
		if err == nil {
			if again, err := ParsePlatform(p.String()); err != nil || again != p || !p.Covers(p) {
				t.Errorf("%q: %v, then %v %v", name, p, again, err)
			}
		}
		root := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageIndex, Digest: digest.FromString(document), Size: int64(len(document))}
		s := &store{blobs: map[digest.Digest][]byte{root.Digest: []byte(document)}}
		found, err := SelectPlatforms(t.Context(), s, root, p.Covers)
		if err == nil && len(found.Left) > 0 && found.Skip() == nil {
			t.Error("something is left, and nothing says so")
		}
	})
}
