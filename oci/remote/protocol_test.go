// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/olareg/olareg/config"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/internal/peer"
	"ocm/oci"
)

func describe(mediaType string, b []byte) ociv1.Descriptor {
	return ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
}

func methods(lines []string) (found []string) {
	for _, l := range lines {
		m, _, _ := strings.Cut(l, " ")
		found = append(found, m)
	}
	return found
}

func TestRequestsPerPush(t *testing.T) {
	t.Parallel()
	j := &journal{Handler: olaregHandler(t)}
	r := open(t, nil, serve(t, j).URL).Repo("a")
	content := bytes.Repeat([]byte("content "), 100_000)
	known := describe("", content)
	for _, tt := range []struct {
		name string
		d    ociv1.Descriptor
		want []string
	}{
		{"known", known, []string{"POST", "PUT"}},
		{"digest only", ociv1.Descriptor{Digest: known.Digest, Size: -1}, []string{"POST", "PATCH", "PUT"}},
		{"size only", ociv1.Descriptor{Size: known.Size}, []string{"POST", "PATCH", "PUT"}},
		{"unknown", ociv1.Descriptor{}, []string{"POST", "PATCH", "PUT"}},
	} {
		got, err := r.Push(t.Context(), tt.d, bytes.NewReader(content))
		if err != nil || got.Digest != known.Digest || got.Size != known.Size {
			t.Fatalf("%s: expected %v, found %v, %v", tt.name, known, got, err)
		}
		if found := methods(j.take()); !slices.Equal(found, tt.want) {
			t.Errorf("%s: expected requests %v, found %v", tt.name, tt.want, found)
		}
	}
	if ok, err := r.Exists(t.Context(), known); !ok || err != nil || len(j.take()) != 1 {
		t.Errorf("Exists: expected true with one request, found %v, %v", ok, err)
	}
}

// Wrong content must never be a complete upload, even for a registry that checks nothing.
func TestWrongContentIsNeverComplete(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, uploadChunk - 1, uploadChunk, uploadChunk + 1, 5 * uploadChunk} {
		complete := false
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				n, err := io.Copy(io.Discard, r.Body)
				complete = complete || err == nil && n == int64(size)
				w.WriteHeader(http.StatusCreated)
				return
			}
			w.Header().Set("Location", "/v2/a/blobs/uploads/1")
			w.WriteHeader(http.StatusAccepted)
		}))
		content := bytes.Repeat([]byte("x"), size)
		d := ociv1.Descriptor{Digest: digest.FromString("other"), Size: int64(size)}
		_, err := open(t, nil, srv.URL).Repo("a").Push(t.Context(), d, bytes.NewReader(content))
		wantErr(t, err, ocm.ErrDigest)
		srv.Close()
		if complete {
			t.Errorf("%d bytes: the registry got all of the wrong content", size)
		}
	}
}

// A source that breaks off must not be taken for one that ended.
func TestBrokenSourceIsNotStored(t *testing.T) {
	t.Parallel()
	for _, broken := range []error{io.ErrUnexpectedEOF, errors.New("disk failure")} {
		j := &journal{Handler: olaregHandler(t)}
		r := open(t, nil, serve(t, j).URL).Repo("a")
		_, err := r.Push(t.Context(), ociv1.Descriptor{Size: -1}, io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)))
		wantErr(t, err, broken)
		if lines := j.take(); slices.Contains(methods(lines), "PUT") {
			t.Errorf("expected that the upload is not finished, found %v", lines)
		}
	}
	r := open(t, nil, serve(t, olaregHandler(t)).URL).Repo("a")
	_, err := r.Push(t.Context(), ociv1.Descriptor{Size: -1}, stuck{})
	wantErr(t, err, io.ErrNoProgress)
}

// stuck neither delivers nor ends.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestMount(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		handler http.Handler
		want    bool
	}{
		"olareg":               {olaregHandler(t), true},
		"go-containerregistry": {ggcrHandler(), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := &journal{Handler: newTokenService(t).guard(tt.handler)}
			s := open(t, &ocm.Env{Credentials: &secrets{secret: alice}}, serve(t, j).URL)
			content := []byte("content")
			d := describe("", content)
			from, to := s.Repo("from"), s.Repo("to")
			if _, err := from.Push(t.Context(), d, bytes.NewReader(content)); err != nil {
				t.Fatal(err)
			}
			j.take()
			ok, err := mountFrom(t, to, d, from.Origin())
			if err != nil || name == "olareg" && !ok {
				t.Fatalf("mount: found %v, %v", ok, err)
			}
			if ok {
				if there, err := to.Exists(t.Context(), d); !there || err != nil {
					t.Errorf("expected the blob in its new place, found %v, %v", there, err)
				}
			}
			missing := ociv1.Descriptor{Digest: digest.FromString("missing"), Size: 7}
			if name == "olareg" {
				if ok, err := mountFrom(t, to, missing, from.Origin()); ok || err != nil {
					t.Errorf("what is not there cannot be mounted, found %v, %v", ok, err)
				}
			}
			j.take()
			for _, elsewhere := range []string{"", "other.example.org/from", to.Origin(), s.String(), s.session.name + "/../x", s.session.name + "/a?b"} {
				if ok, err := mountFrom(t, to, d, elsewhere); ok || err != nil {
					t.Errorf("origin %q: expected a decline, found %v, %v", elsewhere, ok, err)
				}
			}
			wantUntouched(t, j)
		})
	}
}

// mountFrom is a mount from a place that somebody named.
func mountFrom(t *testing.T, to oci.Repo, d ociv1.Descriptor, origin string) (bool, error) {
	r := to.(*repo)
	from := r.origin(origin)
	if from == "" {
		return false, nil
	}
	ok, _, err := r.mount(t.Context(), d, from)
	return ok, err
}

// putWithSubject stores a manifest and something that refers to it.
func putWithSubject(t *testing.T, r oci.Repo, artifactType string, extra string) (subject, referrer ociv1.Descriptor) {
	t.Helper()
	if _, err := r.Push(t.Context(), ociv1.DescriptorEmptyJSON, strings.NewReader("{}")); err != nil {
		t.Fatal(err)
	}
	put := func(m ociv1.Manifest) ociv1.Descriptor {
		m.Versioned = specs.Versioned{SchemaVersion: 2}
		m.MediaType = ociv1.MediaTypeImageManifest
		m.Config = ociv1.DescriptorEmptyJSON
		m.Layers = []ociv1.Descriptor{ociv1.DescriptorEmptyJSON}
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		d := describe(m.MediaType, raw)
		if err := r.PutManifest(t.Context(), d, raw, "", oci.Any()); err != nil {
			t.Fatal(err)
		}
		return d
	}
	subject = put(ociv1.Manifest{ArtifactType: "application/vnd.example.subject"})
	return subject, put(ociv1.Manifest{ArtifactType: artifactType, Subject: &subject, Annotations: map[string]string{"k": "v" + extra}})
}

func TestReferrers(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.Handler{"olareg": olaregHandler(t), "go-containerregistry": ggcrHandler(ggcr.WithReferrersSupport(true))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := open(t, nil, serve(t, h).URL).Repo("a")
			if found, err := referrers(t.Context(), r, ociv1.Descriptor{Digest: digest.FromString("nothing"), Size: 1}, ""); len(found) > 0 || err != nil {
				t.Errorf("expected nothing in an empty registry, found %v, %v", found, err)
			}
			subject, _ := putWithSubject(t, r, "application/vnd.example.a", "1")
			_, want := putWithSubject(t, r, "application/vnd.example.b", "2")
			all, err := referrers(t.Context(), r, subject, "")
			if err != nil || len(all) != 2 {
				t.Fatalf("expected two referrers, found %v, %v", all, err)
			}
			for range r.(oci.ReferrerLister).Referrers(t.Context(), subject, "") {
				break // must not panic
			}
			if name != "olareg" {
				return // it takes the config's media type for the artifact type
			}
			found, err := referrers(t.Context(), r, subject, "application/vnd.example.b")
			if err != nil || len(found) != 1 || found[0].Digest != want.Digest || found[0].Annotations["k"] != "v2" {
				t.Errorf("expected %s with annotations, found %v, %v", want.Digest, found, err)
			}
		})
	}
}

func TestReferrersWithoutAPI(t *testing.T) {
	t.Parallel()
	off := false
	for name, h := range map[string]http.Handler{
		"olareg":               olaregHandler(t, func(c *config.Config) { c.API.Referrer.Enabled = &off }),
		"go-containerregistry": ggcrHandler(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := open(t, nil, serve(t, h).URL).Repo("a")
			subject, referrer := putWithSubject(t, r, "application/vnd.example.a", "")
			for _, artifactType := range []string{"", "application/vnd.example.a"} {
				found, err := referrers(t.Context(), r, subject, artifactType)
				if err != nil || len(found) != 1 || found[0].Digest != referrer.Digest || found[0].Annotations["k"] != "v" {
					t.Errorf("type %q: expected %s with annotations, found %v, %v", artifactType, referrer.Digest, found, err)
				}
			}
			for _, d := range []ociv1.Descriptor{referrer, {Digest: digest.SHA512.FromString("x")}} {
				if found, err := referrers(t.Context(), r, d, ""); len(found) > 0 || err != nil {
					t.Errorf("expected nothing for %s, found %v, %v", d.Digest, found, err)
				}
			}
			// The fallback tag of the specification has been written.
			index, err := r.Resolve(t.Context(), strings.Replace(subject.Digest.String(), ":", "-", 1))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := blob.ReadAll(t.Context(), r, index, blob.MaxManifest)
			if err != nil {
				t.Fatal(err)
			}
			children, err := blob.Children(index, raw)
			if err != nil || len(children) != 1 || children[0].Digest != referrer.Digest {
				t.Errorf("expected the referrer in the fallback index, found %s, %v", raw, err)
			}
		})
	}
}

func TestResolveWithoutHeaders(t *testing.T) {
	t.Parallel()
	raw := []byte(`{"schemaVersion":2}`)
	want := describe(ociv1.MediaTypeImageManifest, raw)
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", want.MediaType+"; charset=utf-8")
		w.(http.Flusher).Flush() // chunked: no length
		if r.Method == http.MethodGet {
			w.Write(raw)
		}
	}))
	r := open(t, nil, srv.URL).Repo("a")
	for _, ref := range []string{"1.0.0", want.Digest.String(), digest.SHA512.FromBytes(raw).String()} {
		got, err := r.Resolve(t.Context(), ref)
		if err != nil || got.Size != want.Size || got.MediaType != want.MediaType || got.Digest != want.Digest && got.Digest.String() != ref {
			t.Errorf("%s: expected %v, found %v, %v", ref, want, got, err)
		}
	}
	_, err := r.Resolve(t.Context(), digest.FromString("other").String())
	wantErr(t, err, ocm.ErrDigest)
}

func TestMediaTypes(t *testing.T) {
	t.Parallel()
	for mediaType, want := range map[string]error{
		ociv1.MediaTypeImageManifest:                                nil,
		ociv1.MediaTypeImageIndex:                                   nil,
		blob.MediaTypeDockerManifest:                                nil,
		blob.MediaTypeDockerIndex:                                   nil,
		"application/vnd.docker.distribution.manifest.v1+json":      errors.ErrUnsupported,
		"application/vnd.docker.distribution.manifest.v1+prettyjws": errors.ErrUnsupported,
		"application/json":                                          ocm.ErrInvalid,
		"text/html; charset=utf-8":                                  ocm.ErrInvalid,
		"":                                                          ocm.ErrInvalid,
	} {
		t.Run(mediaType, func(t *testing.T) {
			t.Parallel()
			raw := []byte(`{"schemaVersion":1}`)
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = []string{mediaType}
				w.Header().Set("Docker-Content-Digest", digest.FromBytes(raw).String())
				w.Write(raw)
			}))
			_, err := open(t, nil, srv.URL).Repo("a").Resolve(t.Context(), "1")
			if !errors.Is(err, want) {
				t.Errorf("expected %v, found %v", want, err)
			}
		})
	}
}

func TestDockerManifestIsKept(t *testing.T) {
	t.Parallel()
	addr := peer.DockerRegistry(t, "")
	r := open(t, nil, addr).Repo("a")
	config := []byte("{}")
	if _, err := r.Push(t.Context(), describe("", config), bytes.NewReader(config)); err != nil {
		t.Fatal(err)
	}
	raw := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":2,"digest":%q},"layers":[]}`,
		blob.MediaTypeDockerManifest, digest.FromBytes(config))
	d := describe(blob.MediaTypeDockerManifest, raw)
	if err := r.PutManifest(t.Context(), d, raw, "1", oci.Absent()); err != nil {
		t.Fatal(err)
	}
	c, err := OpenArtifact(t.Context(), nil, addr+"/a:1")
	if err != nil || c.Root.MediaType != d.MediaType || c.Root.Digest != d.Digest || c.Origin != addr+"/a" {
		t.Fatalf("expected %v, found %+v, %v", d, c, err)
	}
	if err := blob.Check(t.Context(), c); err != nil {
		t.Error(err)
	}
}

// A manifest whose children are missing is refused by the registry; the reason must be visible.
func TestManifestWithoutChildren(t *testing.T) {
	t.Parallel()
	raw := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"a/b","size":2,"digest":%q},"layers":[]}`, ociv1.MediaTypeImageManifest, digest.FromString("missing"))
	err := open(t, nil, peer.DockerRegistry(t, "")).Repo("a").PutManifest(t.Context(), describe(ociv1.MediaTypeImageManifest, raw), raw, "1", oci.Any())
	wantErr(t, err, ocm.ErrNotFound, "BLOB_UNKNOWN")
}

func TestCredentialIdentity(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ base, sub, want string }{
		{"ghcr.io", "", "hostname=ghcr.io,type=OCIRegistry"},
		{"https://ghcr.io/acme", "x", "hostname=ghcr.io,path=acme/x,scheme=https,type=OCIRegistry"},
		{"oci://ghcr.io:8443", "/x/", "hostname=ghcr.io,path=x,port=8443,scheme=https,type=OCIRegistry"},
		{"http://[::1]:5000", "", "hostname=::1,port=5000,scheme=http,type=OCIRegistry"},
		{"index.docker.io", "", "hostname=docker.io,type=OCIRegistry"},
	} {
		s, err := Open(nil, tt.base, tt.sub, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.session.id.String(); got != tt.want {
			t.Errorf("%s %s: expected %s, found %s", tt.base, tt.sub, tt.want, got)
		}
	}
	creds := &secrets{}
	n := network{"registry.example.org": {Handler: basicAuth(olaregHandler(t))}}
	for range 2 {
		_, err := OpenArtifact(t.Context(), n.env(t, creds), "registry.example.org/a/b:1")
		wantErr(t, err, ocm.ErrDenied, "no credentials were sent", "ocm login registry.example.org", "a/b")
	}
	if len(creds.asked) != 2 || creds.asked[0].String() != "hostname=registry.example.org,type=OCIRegistry" {
		t.Errorf("expected the host only, asked once each, found %v", creds.asked)
	}
}

func TestCredentialErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("vault is sealed")
	n := network{"registry.example.org": {Handler: basicAuth(olaregHandler(t))}}
	for name, tt := range map[string]struct {
		creds ocm.Credentials
		want  error
		word  string
	}{
		"broken":   {failing{broken}, broken, "registry.example.org"},
		"useless":  {&secrets{secret: ocm.Secret{"certificate": "x"}}, ocm.ErrInvalid, "username"},
		"wrong":    {&secrets{secret: ocm.Secret{"username": "alice", "password": "no"}}, ocm.ErrDenied, "credentials were sent: check them"},
		"no basic": {&secrets{secret: ocm.Secret{"accessToken": "x"}}, ocm.ErrDenied, "user name and password"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, n.env(t, tt.creds), "https://registry.example.org").Repo("a").Resolve(t.Context(), "1")
			wantErr(t, err, tt.want, tt.word)
		})
	}
}

type failing struct{ err error }

func (f failing) Resolve(context.Context, ocm.Identity) (ocm.Secret, error) { return nil, f.err }

func TestAccessTokenIsSentAsItIs(t *testing.T) {
	t.Parallel()
	registry := demand("https://registry.example.org/token")
	n := network{"registry.example.org": registry}
	_, err := open(t, n.env(t, &secrets{secret: ocm.Secret{"accessToken": "good", "password": "x"}}), "https://registry.example.org").Repo("a").Resolve(t.Context(), "1")
	wantErr(t, err, ocm.ErrNotFound)
	if lines := registry.take(); len(lines) != 2 {
		t.Errorf("expected a 401 and an answer, found %v", lines)
	}
}

// One token per scope, not one per request; an expired one is replaced.
func TestTokensAreKept(t *testing.T) {
	t.Parallel()
	service := newTokenService(t)
	j := &journal{Handler: service.guard(olaregHandler(t))}
	r := open(t, &ocm.Env{Credentials: &secrets{secret: alice}}, serve(t, j).URL).Repo("a")
	d := ociv1.Descriptor{Digest: digest.FromString("x"), Size: 1}
	for range 5 {
		if _, err := r.Exists(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(j.take()); n != 6 {
		t.Errorf("expected one 401 and five answers, found %d requests", n)
	}
	service.mu.Lock()
	clear(service.issued) // they have expired
	service.mu.Unlock()
	if _, err := r.Exists(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if n := len(service.forms); n != 2 {
		t.Errorf("expected two tokens, found %d", n)
	}
}

func TestDownloadGoesOn(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	d := describe("", content)
	registry := olaregHandler(t)
	breaks := 2
	j := &journal{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && breaks > 0 {
			breaks--
			w = &breaking{ResponseWriter: w, left: 300_000}
		}
		registry.ServeHTTP(w, r)
	})}
	r := open(t, nil, serve(t, j).URL).Repo("a")
	if _, err := r.Push(t.Context(), d, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if got, err := blob.ReadAll(t.Context(), r, d, 10_000_000); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("expected %d bytes, found %d, %v", len(content), len(got), err)
	}
	if breaks > 0 {
		t.Error("nothing was broken")
	}
	rc, err := r.Fetch(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if _, err := rc.(io.Seeker).Seek(999_990, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if tail, err := io.ReadAll(rc); err != nil || string(tail) != "0123456789" {
		t.Errorf("seek: expected the last ten bytes, found %q, %v", tail, err)
	}
}

// breaking cuts the connection after some bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return b.ResponseWriter.Write(p)
}

// The digest wins over the tag, "latest" stands in for neither, and what was opened stays
// what it is when the tag moves.
func TestOpenArtifact(t *testing.T) {
	t.Parallel()
	srv := serve(t, olaregHandler(t))
	r := open(t, nil, srv.URL).Repo("some/app")
	first, second := putWithSubject(t, r, "application/vnd.example.a", "")
	tag := func(d ociv1.Descriptor, name string) {
		t.Helper()
		raw, err := blob.ReadAll(t.Context(), r, d, blob.MaxManifest)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.PutManifest(t.Context(), d, raw, name, oci.Any()); err != nil {
			t.Fatal(err)
		}
	}
	tag(first, "1")
	tag(second, "latest")
	for ref, want := range map[string]ociv1.Descriptor{
		"/some/app:1": first, "/some/app": second, "/some/app:1@" + second.Digest.String(): second, "/some/app:none@" + first.Digest.String(): first,
	} {
		c, err := OpenArtifact(t.Context(), nil, srv.URL+ref)
		if err != nil || c.Root.Digest != want.Digest || c.Origin != strings.TrimPrefix(srv.URL, "http://")+"/some/app" {
			t.Fatalf("%s: expected %s, found %+v, %v", ref, want.Digest, c, err)
		}
		if err := blob.Check(t.Context(), c); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
	c, err := OpenArtifact(t.Context(), nil, srv.URL+"/some/app:1")
	if err != nil {
		t.Fatal(err)
	}
	tag(second, "1")
	raw, err := blob.ReadAll(t.Context(), c.From, c.Root, blob.MaxManifest)
	if err != nil || digest.FromBytes(raw) != first.Digest {
		t.Errorf("expected the first manifest still, found %s, %v", raw, err)
	}
	_, err = OpenArtifact(t.Context(), nil, srv.URL+"/some/app:none")
	wantErr(t, err, ocm.ErrNotFound, "some/app", "none")
}
