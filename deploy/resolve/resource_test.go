// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/fixture"
)

func quoted(s string) string { return strconv.Quote(s) }

func content(t *testing.T, r *Resource) (string, string) {
	t.Helper()
	rc, mediaType, err := r.Open(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	data, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	return string(data), mediaType
}

// ask loads the app, and demands its signature.
func (b *bench) ask() *Answer {
	b.t.Helper()
	return fixture.Must[*Answer](b.t)(b.Version(b.t.Context(), b.place(), app(by(rsaKey()))))
}

func TestResourcesThatAreNotThere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	lib := b.version("acme.org/lib", "1.0.0").commit()
	v := b.version("acme.org/app", "1.0.0").add("a", text("1")).add("b", text("2")).add("b", text("3")).refer("lib", lib).refer("twin", lib).refer("twin", lib)
	v.Component.Resources[2].ExtraIdentity = ocm.Identity{"arch": "arm64"}
	v.Component.References[2].ExtraIdentity = ocm.Identity{"second": "yes"}
	b.sign(v.commit(), "release", rsaKey())
	a := b.ask()
	name := func(n string) ocm.Identity { return ocm.Identity{"name": n} }
	for what, c := range map[string]struct {
		path []ocm.Identity
		id   ocm.Identity
		kind error
		text string
	}{
		"no such resource":    {nil, name("x"), ocm.ErrNotFound, "resource name=x of acme.org/app:1.0.0: not found, there is name=a"},
		"several resources":   {nil, name("b"), ocm.ErrInvalid, "fits several"},
		"no identity":         {nil, nil, ocm.ErrInvalid, "expected a name"},
		"no such reference":   {[]ocm.Identity{name("x")}, name("a"), ocm.ErrNotFound, "referencePath[0]: reference name=x of acme.org/app:1.0.0"},
		"several references":  {[]ocm.Identity{name("twin")}, name("a"), ocm.ErrInvalid, "referencePath[0]"},
		"deeper":              {[]ocm.Identity{name("lib"), name("x")}, name("a"), ocm.ErrNotFound, "referencePath[1]: reference name=x of acme.org/lib:1.0.0: not found, there is none"},
		"empty reference":     {[]ocm.Identity{{}}, name("a"), ocm.ErrInvalid, "referencePath[0]"},
		"nothing in the last": {[]ocm.Identity{name("lib")}, name("a"), ocm.ErrNotFound, "acme.org/lib:1.0.0"},
		"too long":            {make([]ocm.Identity, MaxPath+1), name("a"), ocm.ErrLimit, "referencePath"},
	} {
		_, err := a.Resource(t.Context(), c.path, c.id)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", what, err)
		}
	}
	arm, err := a.Resource(t.Context(), nil, ocm.Identity{"name": "b", "arch": "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := content(t, arm); got != "3" {
		t.Error(got)
	}
	if _, err := a.Resource(t.Context(), []ocm.Identity{{"name": "twin", "second": "yes"}}, name("a")); !errors.Is(err, ocm.ErrNotFound) {
		t.Error(err)
	}
}

// TestTamperedContent: nothing is delivered that has not the digest, whatever the registry answers later.
func TestTamperedContent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var evil atomic.Bool
	proxy := httputil.NewSingleHostReverseProxy(fixture.Must[*url.URL](t)(url.Parse(b.url)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if evil.Load() && strings.Contains(r.URL.Path, "/blobs/") {
			_, _ = io.WriteString(w, "kind: evilThing") // as long as what was signed
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer server.Close()
	b.product("1.0.0")
	a, err := b.Version(t.Context(), Place{specOf(t, `{"type":"OCIRegistry","baseUrl":%q}`, server.URL), nil}, app(by(rsaKey())))
	if err != nil {
		t.Fatal(err)
	}
	res, err := a.Resource(t.Context(), nil, ocm.Identity{"name": "manifest"})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := content(t, res); got != "kind: ConfigMap" {
		t.Fatal(got)
	}
	evil.Store(true)
	rc, _, err := res.Open(t.Context(), 1000)
	if rc != nil || !errors.Is(err, ocm.ErrDigest) {
		t.Errorf("%v", err)
	}
	fixture.WantErr(t, res.Check(t.Context()), ocm.ErrDigest, "resource manifest")
	q := app(by(rsaKey()))
	q.Content = true
	if _, err := b.Version(t.Context(), Place{specOf(t, `{"type":"OCIRegistry","baseUrl":%q}`, server.URL), nil}, q); err == nil {
		t.Error("the content was not compared")
	}
}

// TestDigestOfTheResource: it counts, not only the address of the blob.
func TestDigestOfTheResource(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	b.amend("acme.org/app", "1.0.0", func(d *ocm.Descriptor) {
		for i := range d.Component.Resources {
			d.Component.Resources[i].Digest.Value = strings.Repeat("0", 64)
		}
	})
	a := fixture.Must[*Answer](t)(b.Version(t.Context(), b.place(), app(nil)))
	for _, name := range []string{"manifest", "image"} {
		res := fixture.Must[*Resource](t)(a.Resource(t.Context(), nil, ocm.Identity{"name": name}))
		fixture.WantErr(t, res.Check(t.Context()), ocm.ErrDigest, "resource "+name)
		_, _, err := res.Open(t.Context(), 1000)
		fixture.WantErr(t, err, ocm.ErrDigest, "resource "+name)
	}
	q := app(nil)
	q.Content = true
	_, err := b.Version(t.Context(), b.place(), q)
	fixture.WantErr(t, err, ocm.ErrDigest)
}

// TestResourcesWithoutDigest: of a verified version nothing is delivered that nobody has signed.
func TestResourcesWithoutDigest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	v := b.version("acme.org/app", "1.0.0").add("open", text("1")).add("excluded", text("2"))
	v.Component.Resources[1].Digest = &ocm.Digest{HashAlgorithm: ocm.NoDigest, NormalisationAlgorithm: ocm.ExcludeFromSignature, Value: ocm.NoDigest}
	b.sign(v.commit(), "release", rsaKey())
	for _, verified := range []bool{false, true} {
		q := app(nil)
		if verified {
			q = app(by(rsaKey()))
		}
		a := fixture.Must[*Answer](t)(b.Version(t.Context(), b.place(), q))
		res := fixture.Must[*Resource](t)(a.Resource(t.Context(), nil, ocm.Identity{"name": "excluded"}))
		fixture.WantErr(t, res.Check(t.Context()), ocm.ErrDigest)
		_, _, err := res.Open(t.Context(), 100)
		if errors.Is(err, ocm.ErrDigest) != verified || !verified && err != nil {
			t.Errorf("verified %v: %v", verified, err)
		}
	}
}

// TestChart: a chart is delivered as its archive, however it is kept.
func TestChart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte("apiVersion: v2\nname: web\nversion: 1.2.3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	packed := fixture.Must[[]byte](t)(fixture.PackChart(dir, "web"))
	const chartType = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	b := newBench(t)
	v := b.version("acme.org/app", "1.0.0").add("archive", blob.Bytes(chartType, packed)).add("artifact", chartArtifact(t, packed))
	b.sign(v.commit(), "release", rsaKey())
	a := b.ask()
	for _, name := range []string{"archive", "artifact"} {
		res := fixture.Must[*Resource](t)(a.Resource(t.Context(), nil, ocm.Identity{"name": name}))
		if (res.Artifact != nil) != (name == "artifact") {
			t.Errorf("%s: %v", name, res.Artifact)
		}
		if got, mediaType := content(t, res); got != string(packed) || mediaType != chartType {
			t.Errorf("%s: %d bytes of %s", name, len(got), mediaType)
		}
		if err := res.Check(t.Context()); err != nil {
			t.Error(err)
		}
		_, _, err := res.Open(t.Context(), int64(len(packed))-1)
		fixture.WantErr(t, err, ocm.ErrLimit)
	}
}

// TestImageElsewhere: an image that is only referred to is described by what its registry has.
func TestImageElsewhere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := newBench(t)
	image := fixture.Image("elsewhere")
	v := other.version("acme.org/images", "1.0.0").add("image", image).commit()
	at := strings.TrimPrefix(other.url, "http://") + "/component-descriptors/acme.org/images@" + image.Root.Digest.String()
	r := v.Descriptor().Component.Resources[0]
	r.Relation, r.Access = ocm.RelationExternal, specOf(t, `{"type":"ociArtifact","imageReference":%q}`, "http://"+at)
	mine := b.version("acme.org/app", "1.0.0")
	mine.Component.Resources = []ocm.Resource{r}
	b.sign(mine.commit(), "release", rsaKey())
	res := fixture.Must[*Resource](t)(b.ask().Resource(t.Context(), nil, ocm.Identity{"name": "image"}))
	if res.Artifact == nil || res.Artifact.Digest != image.Root.Digest {
		t.Errorf("%v", res.Artifact)
	}
	if err := res.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestArtifactIsWhatWasCompared: a registry that gives another image for a tag at first, and the signed one when it is compared, does not get the
// other one pulled.
func TestArtifactIsWhatWasCompared(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	res := fixture.Must[*Resource](t)(b.ask().Resource(t.Context(), nil, ocm.Identity{"name": "image"}))
	if err := res.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	res.Artifact.Digest = fixture.Image("another").Root.Digest
	fixture.WantErr(t, res.Check(t.Context()), ocm.ErrDigest, "resource image")
}

// endless delivers without end.
type endless struct{}

func (endless) Fetch(context.Context, ociv1.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(neverEnding{}), nil
}

type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestContentOfUnknownSizeIsBounded(t *testing.T) {
	t.Parallel()
	data, err := read(t.Context(), ocm.Content{Root: ociv1.Descriptor{MediaType: "text/plain"}, From: endless{}}, 1000)
	if len(data) > 1001 {
		t.Errorf("%d bytes were read", len(data))
	}
	fixture.WantErr(t, err, ocm.ErrLimit, "more than 1000 bytes")
}
