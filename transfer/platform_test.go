// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/builtin"
	"ocm/graph"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/transfer"
)

// multi is an index of images for platforms, each with an attestation, in a media type of OCI's or
// Docker's, and with a nested index of one more image.
func multi(t testing.TB, indexType string, platforms ...string) (ocm.Content, map[string]ociv1.Descriptor) {
	t.Helper()
	h, byName := fixture.Heap{}, map[string]ociv1.Descriptor{}
	take := func(name string, c ocm.Content, p *ociv1.Platform, annotations map[string]string) ociv1.Descriptor {
		for k, b := range c.From.(fixture.Heap) {
			h[k] = b
		}
		d := c.Root
		d.Platform, d.Annotations = p, annotations
		byName[name] = d
		return d
	}
	index := func(entries []ociv1.Descriptor) ociv1.Descriptor {
		raw := fixture.Must[[]byte](t)(jsonv2.Marshal(ociv1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: indexType, Manifests: entries}, jsonv2.Deterministic(true)))
		return h.Put(indexType, raw)
	}
	var entries []ociv1.Descriptor
	for _, name := range platforms {
		part := strings.Split(name+"/", "/")
		d := take(name, fixture.Image("layer for "+name), &ociv1.Platform{OS: part[0], Architecture: part[1], Variant: part[2]}, nil)
		entries = append(entries, d, take("about "+name, fixture.Image("attestation of "+name), &ociv1.Platform{OS: "unknown", Architecture: "unknown"},
			map[string]string{"vnd.docker.reference.digest": d.Digest.String(), "vnd.docker.reference.type": "attestation-manifest"}))
	}
	inner := index([]ociv1.Descriptor{take("nested", fixture.Image("nested"), &ociv1.Platform{OS: "plan9", Architecture: "amd64"}, nil)})
	byName["inner"] = inner
	entries = append(entries, inner, take("no platform", fixture.Image("docs"), nil, nil))
	return ocm.Content{Root: index(entries), From: h}, byName
}

func onPlatforms(t testing.TB, list ...string) transfer.Options {
	t.Helper()
	return transfer.Options{CopyResources: true, Platforms: fixture.Must[[]blob.Platform](t)(transfer.ParsePlatforms(list))}
}

// has lists which of the named nodes a repository has, with everything below them.
func has(t testing.TB, s oci.Store, byName map[string]ociv1.Descriptor) string {
	t.Helper()
	repo := s.Repo(oci.RepoName("acme.org/app"))
	var names []string
	for _, name := range []string{"linux/amd64", "about linux/amd64", "linux/arm64", "about linux/arm64", "linux/arm/v7", "about linux/arm/v7", "inner", "nested", "no platform"} {
		d, known := byName[name]
		switch err := blob.Check(t.Context(), ocm.Content{Root: d, From: repo}); {
		case !known || errors.Is(err, ocm.ErrNotFound):
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

func platformLabel(v ocm.Version) string {
	for _, l := range v.Descriptor().Component.Resources[0].Labels {
		if l.Name == graph.PlatformsLabel && !l.Signing {
			return string(l.Value)
		}
	}
	return ""
}

func TestPlatforms(t *testing.T) {
	const amd64, rest = "linux/amd64 about linux/amd64", " no platform"
	// has() counts the nested index only with what is in it
	for name, place := range fixture.Places() {
		if name == "registry" {
			continue // it refuses indexes that are not whole, see below
		}
		for _, indexType := range []string{ociv1.MediaTypeImageIndex, blob.MediaTypeDockerIndex} {
			t.Run(name+" "+indexType, func(t *testing.T) {
				t.Parallel()
				c, byName := multi(t, indexType, "linux/amd64", "linux/arm64", "linux/arm/v7")
				src, store := repository(memory.New()), place(t)
				dst := repository(store)
				a := write(t, src, "acme.org/app", "1.0.0", nil)
				a.resource("image", c).Labels = []ocm.Label{{Name: "note", Value: ocm.RawJSON(`1`)}}
				sign(t, a.desc, "release", "signed")
				v := a.commit()
				for i, step := range []struct {
					o                  transfer.Options
					state, label, have string
				}{
					{onPlatforms(t, "linux/amd64"), transfer.Absent, `["linux/amd64"]`, amd64 + rest},
					{onPlatforms(t, "linux/amd64"), transfer.Identical, `["linux/amd64"]`, amd64 + rest},
					{onPlatforms(t, "linux/arm"), transfer.Merge, `["linux/amd64","linux/arm"]`, amd64 + " linux/arm/v7 about linux/arm/v7" + rest},
					{onPlatforms(t, "linux/arm/v7", "linux/x86_64"), transfer.Identical, `["linux/amd64","linux/arm"]`, amd64 + " linux/arm/v7 about linux/arm/v7" + rest},
					{transfer.Options{}, transfer.Merge, "", amd64 + " linux/arm64 about linux/arm64 linux/arm/v7 about linux/arm/v7 inner nested" + rest},
					{transfer.Options{}, transfer.Identical, "", amd64 + " linux/arm64 about linux/arm64 linux/arm/v7 about linux/arm/v7 inner nested" + rest},
					{onPlatforms(t, "linux/amd64"), transfer.Identical, "", amd64 + " linux/arm64 about linux/arm64 linux/arm/v7 about linux/arm/v7 inner nested" + rest},
				} {
					p, _ := mustMove(t, src, dst, v, step.o)
					w := reopen(t, dst, v)
					wantFirst(t, fmt.Sprint("step ", i), v, w, p, step.state, "localBlob/v1")
					if got := platformLabel(w); got != step.label {
						t.Errorf("step %d: expected label %s, found %s", i, step.label, got)
					}
					if got := has(t, store, byName); got != step.have {
						t.Errorf("step %d: expected %q, found %q", i, step.have, got)
					}
					if l, err := oci.ParseLocal(w.Descriptor().Component.Resources[0].Access); err != nil || l.LocalReference != c.Root.Digest.String() {
						t.Errorf("step %d: the index changed: %+v %v", i, l, err)
					}
				}
				complete(t, dst, reopen(t, dst, v))
				if got, want := string(reopen(t, dst, v).Descriptor().Origin().Bytes), string(v.Descriptor().Origin().Bytes); got != want {
					t.Errorf("the document differs after all:\n%s\n%s", got, want)
				}
			})
		}
	}
}

// All that are there: no label, nothing partial.
func TestAllPlatformsAreWhole(t *testing.T) {
	t.Parallel()
	src, dst := repository(memory.New()), repository(memory.New())
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.resource("index", fixture.Index("one"))
	a.resource("image", fixture.Image("single"))
	a.resource("text", text("text"))
	v := a.commit()
	mustMove(t, src, dst, v, onPlatforms(t, "linux/amd64", "linux/s390x"))
	if w := reopen(t, dst, v); platformLabel(w) != "" || string(w.Descriptor().Origin().Bytes) != string(v.Descriptor().Origin().Bytes) {
		t.Errorf("%s", w.Descriptor().Origin().Bytes)
	}
}

func TestNoSuchPlatform(t *testing.T) {
	t.Parallel()
	c, _ := multi(t, ociv1.MediaTypeImageIndex, "linux/amd64", "linux/arm/v7")
	src, store := repository(memory.New()), memory.New()
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.resource("image", c)
	v := a.commit()
	_, _, err := move(t.Context(), src, repository(store), v, onPlatforms(t, "windows/amd64"))
	fixture.WantErr(t, err, ocm.ErrNotFound, "resource image", "no image for platform windows/amd64, there are linux/amd64, linux/arm/v7, plan9/amd64")
	if _, err := repository(store).Open(t.Context(), "acme.org/app", "1.0.0"); !errors.Is(err, ocm.ErrNotFound) {
		t.Error("it is visible:", err)
	}
	// a partial copy has less to give, and says so
	part := repository(memory.New())
	mustMove(t, src, part, v, onPlatforms(t, "linux/amd64"))
	w := reopen(t, part, v)
	_, _, err = move(t.Context(), part, repository(memory.New()), w, onPlatforms(t, "linux/arm"))
	fixture.WantErr(t, err, ocm.ErrNotFound, "the source is a copy of the platforms linux/amd64 only")
	for _, s := range []string{"linux", "linux/", "/amd64", "a/b/c/d", "", "linux/amd 64", "linux/../x"} {
		if _, err := transfer.ParsePlatforms([]string{s}); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// A partial copy is copied on as it is, and completes a copy of other platforms.
func TestPartialSource(t *testing.T) {
	t.Parallel()
	c, byName := multi(t, ociv1.MediaTypeImageIndex, "linux/amd64", "linux/arm64")
	src, part, store := repository(memory.New()), repository(memory.New()), memory.New()
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.resource("image", c)
	v := a.commit()
	mustMove(t, src, part, v, onPlatforms(t, "linux/amd64"))
	w := reopen(t, part, v)
	dst := repository(store)
	p, _ := mustMove(t, part, dst, w, transfer.Options{})
	if len(p.Versions[0].Notes) != 1 || !strings.Contains(p.Versions[0].Notes[0], "only the platforms linux/amd64") {
		t.Errorf("notes: %q", p.Versions[0].Notes)
	}
	if got := platformLabel(reopen(t, dst, v)) + has(t, store, byName); got != `["linux/amd64"]linux/amd64 about linux/amd64 no platform` {
		t.Error(got)
	}
	mustMove(t, src, dst, v, onPlatforms(t, "linux/arm64"))
	if p, _ := mustMove(t, part, dst, w, transfer.Options{}); p.Versions[0].State != transfer.Identical {
		t.Errorf("state %s", p.Versions[0].State)
	}
	// a whole copy is not made less, nor called so
	whole := repository(memory.New())
	mustMove(t, src, whole, v, transfer.Options{})
	if p, _ := mustMove(t, part, whole, w, transfer.Options{}); p.Versions[0].State != transfer.Identical || platformLabel(reopen(t, whole, v)) != "" {
		t.Errorf("state %s, label %s", p.Versions[0].State, platformLabel(reopen(t, whole, v)))
	}
}

// One version has an index in parts, another one as a whole: the second must not rely on the first.
func TestPartialAndWholeInOneRepository(t *testing.T) {
	for name, place := range fixture.Places() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := multi(t, ociv1.MediaTypeImageIndex, "linux/amd64", "linux/arm64")
			src, dst := repository(memory.New()), repository(place(t))
			var versions []ocm.Version
			for _, version := range []string{"1.0.0", "2.0.0"} {
				a := write(t, src, "acme.org/app", version, nil)
				a.resource("image", c)
				versions = append(versions, a.commit())
			}
			_, _, err := move(t.Context(), src, dst, versions[0], onPlatforms(t, "linux/amd64"))
			if name == "registry" {
				fixture.WantErr(t, err, ocm.ErrInvalid, "some registries refuse", "transfer to an archive", "MANIFEST_BLOB_UNKNOWN")
			} else if err != nil {
				t.Fatal(err)
			}
			p, _ := mustMove(t, src, dst, versions[1], transfer.Options{})
			if p.Versions[0].State != transfer.Absent {
				t.Errorf("state %s", p.Versions[0].State)
			}
			complete(t, dst, reopen(t, dst, versions[1]))
		})
	}
}

// The same in one run of one job, the partial one and the whole one at once.
func TestPartialAndWholeInOneJob(t *testing.T) {
	t.Parallel()
	for range 20 {
		c, _ := multi(t, ociv1.MediaTypeImageIndex, "linux/amd64", "linux/arm64")
		dst := repository(memory.New())
		draft := fixture.Must[ocm.Draft](t)(dst.Draft(t.Context(), "acme.org/app", "1.0.0", nil))
		s := fixture.Must[blob.Selection](t)(blob.SelectPlatforms(t.Context(), c.From, c.Root, func(p blob.Platform) bool { return p.Architecture == "arm64" }))
		part := c
		part.Skip = s.Skip()
		errs := make(chan error)
		for _, content := range []ocm.Content{part, c} {
			go func() {
				_, err := draft.Add(t.Context(), content, "")
				errs <- err
			}()
		}
		if err := errors.Join(<-errs, <-errs); err != nil {
			t.Fatal(err)
		}
		a := &author{t: t, repo: dst, draft: draft, desc: &ocm.Descriptor{Component: ocm.Component{Name: "acme.org/app", Version: "1.0.0", Provider: "acme.org"}}}
		a.resource("image", c)
		complete(t, dst, a.commit())
	}
}

// Strict by default: whatever a label says, a partial image is not verified.
func TestPartialImageIsNotVerified(t *testing.T) {
	t.Parallel()
	c, byName := multi(t, ociv1.MediaTypeImageIndex, "linux/amd64", "linux/arm64")
	src, dst := repository(memory.New()), repository(memory.New())
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.resource("image", c)
	a.source("image", c)
	sign(t, a.desc, "release", "signed")
	v := a.commit()
	mustMove(t, src, dst, v, onPlatforms(t, "linux/amd64"))
	kit := builtin.Kit()
	kit.Verifiers.Add(signedBy("signed"), "test")
	rep := fixture.Must[*graph.Report](t)(graph.Verify(t.Context(), kit, newEnv(), findIn(dst), reopen(t, dst, v), graph.VerifyOptions{}))
	fixture.WantErr(t, rep.Err(), ocm.ErrSignature, "resource image", graph.PlatformsLabel, "linux/arm64 "+byName["linux/arm64"].Digest.String(), "--platform", "source image")
	failed := 0
	for _, s := range rep.Steps {
		if s.Verdict == graph.Failed {
			failed++
		}
	}
	if failed != 2 {
		t.Errorf("%+v", rep.Steps)
	}
}

// What somebody writes into a label never makes a copy whole.
func TestLabelsOfPlatforms(t *testing.T) {
	t.Parallel()
	for _, value := range []string{`null`, `[]`, `"linux/amd64"`, `["linux"]`, `[1]`, `{}`, `["linux/amd64","x"]`} {
		if got := graph.Platforms([]ocm.Label{{Name: graph.PlatformsLabel, Value: ocm.RawJSON(value)}}); len(got) != 0 {
			t.Errorf("%s: %v", value, got)
		}
	}
	signed := []ocm.Label{{Name: graph.PlatformsLabel, Value: ocm.RawJSON(`["linux/amd64"]`), Signing: true}}
	if got := graph.Platforms(signed); len(got) != 0 {
		t.Errorf("signed: %v", got)
	}
	_, err := graph.SetPlatforms(signed, []blob.Platform{{OS: "linux", Architecture: "amd64"}})
	fixture.WantErr(t, err, ocm.ErrInvalid, "is signed")
	if left, err := graph.SetPlatforms(signed, nil); err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
}

// What is there in part is not given up when it is left out, even if the version is written anew.
func TestLeftOutPartStays(t *testing.T) {
	t.Parallel()
	c, byName := multi(t, ociv1.MediaTypeImageIndex, "linux/amd64", "linux/arm64")
	src, store := repository(memory.New()), memory.New()
	dst := repository(store)
	a := write(t, src, "acme.org/app", "1.0.0", nil)
	a.resource("image", c)
	a.resource("text", text("text"))
	v := a.commit()
	o := onPlatforms(t, "linux/amd64")
	o.Select = rules(t, "", "resource=text").Select
	mustMove(t, src, dst, v, o)
	p, _ := mustMove(t, src, dst, v, rules(t, "resource=text", ""))
	w := reopen(t, dst, v)
	wantFirst(t, "left out later", v, w, p, transfer.Merge, "localBlob/v1")
	if got := platformLabel(w) + " " + has(t, store, byName); got != `["linux/amd64"] linux/amd64 about linux/amd64 no platform` {
		t.Error(got)
	}
	if got := w.Descriptor().Component.Resources[1].Access.Type; got != "localBlob/v1" {
		t.Errorf("text: %s", got)
	}
}
