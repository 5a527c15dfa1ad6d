// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/ctf"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/oci/remote"
)

func put(t testing.TB, r oci.Repo, tag string, m ociv1.Manifest, layers ...string) ociv1.Descriptor {
	t.Helper()
	return fixture.PutManifest(t, r, tag, m, layers...)
}

func putRaw(t testing.TB, r oci.Repo, tag, mediaType string, doc any) ociv1.Descriptor {
	t.Helper()
	return fixture.PutDocument(t, r, tag, mediaType, doc)
}

func putIndex(t testing.TB, r oci.Repo, tag string, manifests ...ociv1.Descriptor) ociv1.Descriptor {
	t.Helper()
	return putRaw(t, r, tag, ociv1.MediaTypeImageIndex, ociv1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex, Manifests: manifests,
	})
}

func cosignTag(d ociv1.Descriptor, suffix string) string { return fixture.CosignTag(d, suffix) }

// add puts content into a new version of a component and makes it visible.
func add(ctx context.Context, r *oci.Repository, version string, c ocm.Content) (ocm.Version, error) {
	draft, err := r.Draft(ctx, name, version, nil)
	if err != nil {
		return nil, err
	}
	defer draft.Close()
	s, err := draft.Add(ctx, c, "")
	if err != nil {
		return nil, err
	}
	return draft.Commit(ctx, &ocm.Descriptor{Meta: ocm.Meta{SchemaVersion: "v2"}, Component: ocm.Component{Name: name, Version: version, Provider: "p",
		Resources: []ocm.Resource{{Element: ocm.Element{Name: "image", Version: "1.0.0"}, Type: "ociImage", Relation: "local", Access: s.Access}}}})
}

// image is the image of a version.
func image(t testing.TB, r *oci.Repository, version string) ocm.Content {
	t.Helper()
	v := fixture.Must[ocm.Version](t)(r.Open(t.Context(), name, version))
	return fixture.Must[ocm.Content](t)(v.Blob(t.Context(), v.Descriptor().Component.Resources[0].Access))
}

func registryAt(t testing.TB, url string) oci.Store {
	return fixture.Must[*remote.Store](t)(remote.Open(newEnv(), url, "some/path", remote.Options{}))
}

func newEnv() *ocm.Env { return &ocm.Env{Job: ocm.NewJob(4)} }

// tarred makes an archive of a directory.
func tarred(t testing.TB, dir string) oci.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ctf.tar")
	f := fixture.Must[*os.File](t)(os.Create(path))
	w := tar.NewWriter(f)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return fixture.Must[*ctf.Store](t)(ctf.Open(path))
}

// An image travels from place to place, and everything that is attached to it goes along.
func TestAttachedTravels(t *testing.T) {
	t.Parallel()
	at := fixture.Registry(t)
	docker := fixture.DockerRegistry(t)
	dir := t.TempDir()
	ctfAt := func(name string) oci.Store { return fixture.Must[*ctf.Store](t)(ctf.Open(filepath.Join(dir, name))) }

	images := fixture.Must[oci.Repo](t)(remote.OpenRepository(newEnv(), remote.Reference{Scheme: "http", Host: strings.TrimPrefix(at, "http://"), Repository: "other/image"}, remote.Options{}))
	signed := fixture.NewSignedImage(t, images)
	next := ocm.Content{Root: signed.Root, From: images, Origin: images.Origin()}
	for _, step := range []struct {
		name  string
		store oci.Store
	}{
		{"registry with a referrers API", registryAt(t, at)},
		{"CTF", ctfAt("one")},
		{"registry without a referrers API", registryAt(t, docker)},
		{"CTF again", ctfAt("two")},
		{"memory", memory.New()},
	} {
		r := oci.NewRepository(step.store, newEnv())
		if _, err := add(t.Context(), r, "1.0.0", next); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		t.Log(step.name)
		signed.WantAt(t, step.store.Repo(oci.RepoName(name)))
		next = image(t, r, "1.0.0")
	}
	archive := oci.NewRepository(tarred(t, filepath.Join(dir, "two")), newEnv())
	last := registryAt(t, fixture.Registry(t))
	if _, err := add(t.Context(), oci.NewRepository(last, newEnv()), "1.0.0", image(t, archive, "1.0.0")); err != nil {
		t.Fatal(err)
	}
	signed.WantAt(t, last.Repo(oci.RepoName(name)))
}

func TestNothingAttachedTravelsAlone(t *testing.T) {
	t.Parallel()
	from, to := memory.New().Repo("image"), memory.New()
	signed := fixture.NewSignedImage(t, from)
	if _, err := add(t.Context(), oci.NewRepository(to, newEnv()), "1.0.0", ocm.Content{Root: signed.Root, From: from, Alone: true}); err != nil {
		t.Fatal(err)
	}
	r := to.Repo(oci.RepoName(name))
	for subject := range signed.Referrers {
		for d := range r.(oci.ReferrerLister).Referrers(t.Context(), ociv1.Descriptor{Digest: subject}, "") {
			t.Errorf("expected nothing, found %s attached to %s", d.Digest, subject)
		}
	}
	for tag := range r.Tags(t.Context()) {
		if tag != "1.0.0" {
			t.Errorf("tag %s", tag)
		}
	}
}

// journal counts the requests to a server, by method and kind of thing.
type journal struct {
	http.Handler
	mu    sync.Mutex
	count map[string]int
}

func (j *journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := "other"
	for _, k := range []string{"blobs", "manifests", "tags", "referrers"} {
		if strings.Contains(r.URL.Path, "/"+k+"/") {
			kind = k
		}
	}
	j.mu.Lock()
	j.count[r.Method+" "+kind]++
	j.mu.Unlock()
	j.Handler.ServeHTTP(w, r)
}

// take returns the counts and begins anew.
func (j *journal) take() map[string]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.count
	j.count = map[string]int{}
	return c
}

// counted puts a journal in front of a server.
func counted(t testing.TB, target string) (*journal, string) {
	t.Helper()
	u := fixture.Must[*url.URL](t)(url.Parse(target))
	j := &journal{count: map[string]int{}, Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = r.In.Host // locations lead back to the journal
	}}}
	srv := httptest.NewServer(j)
	t.Cleanup(srv.Close)
	return j, srv.URL
}

// Asking for what is attached costs one request for each manifest of an image, one list of tags for each
// repository, and one request to learn that there is no referrers API.
func TestAttachedRequests(t *testing.T) {
	t.Parallel()
	for kind, server := range map[string]func(testing.TB) string{"API": fixture.Registry, "no API": fixture.DockerRegistry} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			j, at := counted(t, server(t))
			host := strings.TrimPrefix(at, "http://")
			const images = 5
			open := func(env *ocm.Env) oci.Repo { // each image is opened anew, as accesses are
				return fixture.Must[oci.Repo](t)(remote.OpenRepository(env, remote.Reference{Scheme: "http", Host: host, Repository: "image"}, remote.Options{}))
			}
			from := open(newEnv())
			roots := make([]ociv1.Descriptor, images)
			for i := range roots {
				roots[i] = put(t, from, "", ociv1.Manifest{ArtifactType: "x"}, fmt.Sprint(i))
			}
			j.take()
			env := newEnv()
			r := oci.NewRepository(memory.New(), env)
			for i, root := range roots {
				from := open(env)
				if _, err := add(t.Context(), r, fmt.Sprintf("1.0.%d", i), ocm.Content{Root: root, From: from, Origin: from.Origin()}); err != nil {
					t.Fatal(err)
				}
			}
			c := j.take()
			referrers, manifests := images, images
			if kind == "no API" {
				referrers = 1 // the list of tags says that there is no index under the fallback tag
			}
			if c["GET referrers"] != referrers || c["GET manifests"] != manifests || c["GET tags"] != 1 || c["HEAD manifests"] != 0 {
				t.Errorf("expected %d requests for referrers, %d for manifests and 1 for tags, found %v", referrers, manifests, c)
			}
			// Once more, into the same place: the job knows.
			from = open(env)
			if _, err := add(t.Context(), r, "2.0.0", ocm.Content{Root: roots[0], From: from, Origin: from.Origin()}); err != nil {
				t.Fatal(err)
			}
			if c := j.take(); len(c) > 0 {
				t.Errorf("expected no request, found %v", c)
			}
		})
	}
}

// logged is a log that can be read.
type logged struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func loggingEnv() (*ocm.Env, *logged) {
	l := &logged{}
	return &ocm.Env{Job: ocm.NewJob(4), Log: slog.New(slog.NewTextHandler(l, nil))}, l
}

// lying is a repository whose list of referrers has more entries than are true.
type lying struct {
	oci.Repo
	list func(subject digest.Digest) []ociv1.Descriptor
}

// lyingAndCounting counts the entries that were taken.
type lyingAndCounting struct {
	lying
	taken *int
}

func (l lyingAndCounting) Referrers(ctx context.Context, d ociv1.Descriptor, artifactType string) iter.Seq2[ociv1.Descriptor, error] {
	return func(yield func(ociv1.Descriptor, error) bool) {
		for one, err := range l.lying.Referrers(ctx, d, artifactType) {
			if *l.taken++; !yield(one, err) {
				return
			}
		}
	}
}

func (l lying) Referrers(_ context.Context, d ociv1.Descriptor, _ string) iter.Seq2[ociv1.Descriptor, error] {
	return func(yield func(ociv1.Descriptor, error) bool) {
		for _, one := range l.list(d.Digest) {
			if !yield(one, nil) {
				return
			}
		}
	}
}

// What is listed and has another subject, or none, or is not there, is left out and said.
func TestCVE_2022_35929_ReferrerThatIsNone(t *testing.T) {
	t.Parallel()
	from := memory.New().Repo("image")
	root := put(t, from, "", ociv1.Manifest{ArtifactType: "image"}, "image")
	other := put(t, from, "", ociv1.Manifest{ArtifactType: "other"}, "other")
	foreign := put(t, from, "", ociv1.Manifest{ArtifactType: "sig", Subject: &other}, "signature of something else")
	good := put(t, from, "", ociv1.Manifest{ArtifactType: "sig", Subject: &root}, "signature")
	odd := fixture.Must[ociv1.Descriptor](t)(from.Push(t.Context(), ociv1.Descriptor{MediaType: "application/vnd.oci.artifact.manifest.v1+json"}, strings.NewReader(fmt.Sprintf(`{"subject":{"digest":%q}}`, root.Digest))))
	gone := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString("gone"), Size: 4}
	liar := lying{from, func(d digest.Digest) []ociv1.Descriptor {
		if d != root.Digest {
			return nil
		}
		return []ociv1.Descriptor{foreign, root, other, odd, gone, good}
	}}
	env, log := loggingEnv()
	to := memory.New()
	if _, err := add(t.Context(), oci.NewRepository(to, env), "1.0.0", ocm.Content{Root: root, From: liar}); err != nil {
		t.Fatal(err)
	}
	r := to.Repo(oci.RepoName(name))
	for _, d := range []ociv1.Descriptor{foreign, other, gone, odd} {
		if there, err := r.Exists(t.Context(), d); there || err != nil {
			t.Errorf("%s: expected it to be left out, found %v, %v", d.Digest, there, err)
		}
		if !strings.Contains(log.String(), d.Digest.String()) {
			t.Errorf("%s: expected a warning, found %s", d.Digest, log.String())
		}
	}
	if there, err := r.Exists(t.Context(), good); !there || err != nil {
		t.Errorf("the signature is missing: %v", err)
	}
}

// Bytes that are not those of the digest fail the transfer; they are not an absent referrer.
func TestCVE_2023_33959_ReferrerWithOtherBytes(t *testing.T) {
	t.Parallel()
	from := memory.New().Repo("image")
	root := put(t, from, "", ociv1.Manifest{ArtifactType: "image"}, "image")
	good := put(t, from, "", ociv1.Manifest{ArtifactType: "sig", Subject: &root}, "signature")
	liar := lying{swapped{from, good.Digest}, func(d digest.Digest) []ociv1.Descriptor { return []ociv1.Descriptor{good} }}
	_, err := add(t.Context(), oci.NewRepository(memory.New(), newEnv()), "1.0.0", ocm.Content{Root: root, From: liar})
	fixture.WantErr(t, err, ocm.ErrDigest, good.Digest.String(), "--no-referrers")
}

// swapped delivers other bytes for one digest.
type swapped struct {
	oci.Repo
	digest digest.Digest
}

func (s swapped) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	if d.Digest == s.digest {
		return io.NopCloser(strings.NewReader(strings.Repeat("x", int(d.Size)))), nil
	}
	return s.Repo.Fetch(ctx, d)
}

// Circles: by lists that lie, by an index that has its own subject as child, and by tags of cosign.
func TestGHSA_298f_872v_2rcx_CyclicReferrers(t *testing.T) {
	t.Parallel()
	from := memory.New().Repo("image")
	root := put(t, from, "", ociv1.Manifest{ArtifactType: "image"}, "image")
	a := put(t, from, "", ociv1.Manifest{ArtifactType: "a", Subject: &root}, "a")
	b := put(t, from, "", ociv1.Manifest{ArtifactType: "b", Subject: &a}, "b")
	above := putRaw(t, from, "", ociv1.MediaTypeImageIndex, ociv1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageIndex, ArtifactType: "above", Subject: &root, Manifests: []ociv1.Descriptor{root, a},
	})
	for tag, d := range map[string]ociv1.Descriptor{
		cosignTag(root, ".sig"): root, cosignTag(a, ".sig"): b, cosignTag(b, ".sig"): a, cosignTag(b, ".att"): root,
	} {
		raw := fixture.Must[[]byte](t)(blob.ReadAll(t.Context(), from, d, blob.MaxManifest))
		if err := from.PutManifest(t.Context(), d, raw, tag, oci.Any()); err != nil {
			t.Fatal(err)
		}
	}
	everything := []ociv1.Descriptor{root, a, b, above}
	for kind, liar := range map[string]oci.Repo{"true lists": from, "lies": lying{from, func(digest.Digest) []ociv1.Descriptor { return everything }}} {
		to := memory.New()
		if _, err := add(t.Context(), oci.NewRepository(to, newEnv()), "1.0.0", ocm.Content{Root: root, From: liar}); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		for _, d := range everything {
			if there, err := to.Repo(oci.RepoName(name)).Exists(t.Context(), d); !there || err != nil {
				t.Errorf("%s: %s is missing: %v", kind, d.Digest, err)
			}
		}
	}
}

// Too many signatures, too deep.
func TestCVE_2023_46737_EndlessReferrers(t *testing.T) {
	t.Parallel()
	from := memory.New().Repo("image")
	root := put(t, from, "", ociv1.Manifest{ArtifactType: "image"}, "image")
	to := func() *oci.Repository { return oci.NewRepository(memory.New(), newEnv()) }

	asked := 0
	many := lying{from, func(subject digest.Digest) []ociv1.Descriptor {
		asked++
		list := make([]ociv1.Descriptor, 5000)
		for i := range list {
			list[i] = ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint(i)), Size: 1}
		}
		return list
	}}
	taken := 0
	_, err := add(t.Context(), to(), "1.0.0", ocm.Content{Root: root, From: lyingAndCounting{many, &taken}})
	fixture.WantErr(t, err, ocm.ErrLimit, root.Digest.String(), "1000", "--no-referrers")
	if asked != 1 || taken > oci.MaxAttached+1 {
		t.Errorf("expected one look at the list that ends behind the limit, found %d and %d entries", asked, taken)
	}

	// A chain that is exactly as deep as accepted, and one more.
	last := root
	for i := range oci.MaxAttachedDepth + 1 {
		last = put(t, from, "", ociv1.Manifest{ArtifactType: "x", Subject: &last}, fmt.Sprint(i))
		_, err := add(t.Context(), to(), "1.0.0", ocm.Content{Root: root, From: from})
		if i < oci.MaxAttachedDepth {
			if err != nil {
				t.Fatalf("depth %d: %v", i+1, err)
			}
			continue
		}
		fixture.WantErr(t, err, ocm.ErrLimit, last.Digest.String())
	}
}

// The limit is on all manifests of an image together.
func TestCVE_2024_29903_ManyReferrersOfManyPlatforms(t *testing.T) {
	t.Parallel()
	from := memory.New().Repo("image")
	var platforms []ociv1.Descriptor
	for i := range 3 {
		platforms = append(platforms, put(t, from, "", ociv1.Manifest{ArtifactType: "image"}, fmt.Sprint(i)))
	}
	root := putIndex(t, from, "", platforms...)
	many := lying{from, func(subject digest.Digest) []ociv1.Descriptor {
		list := make([]ociv1.Descriptor, oci.MaxAttached/2)
		for i := range list {
			list[i] = ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint(subject, i)), Size: 1}
		}
		return list
	}}
	_, err := add(t.Context(), oci.NewRepository(memory.New(), newEnv()), "1.0.0", ocm.Content{Root: root, From: many})
	fixture.WantErr(t, err, ocm.ErrLimit, root.Digest.String())
}
