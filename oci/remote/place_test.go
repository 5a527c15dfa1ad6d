// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/internal/peer"
	"ocm/oci"
	"ocm/web"
)

// placed is content for Place, which counts how often it is opened.
type placed struct {
	content []byte
	once    bool // no io.Seeker
	opened  int
}

func (p *placed) open(context.Context) (io.ReadCloser, error) {
	p.opened++
	if p.once {
		return io.NopCloser(bytes.NewBuffer(p.content)), nil
	}
	return readSeekNopCloser{bytes.NewReader(p.content)}, nil
}

type readSeekNopCloser struct{ io.ReadSeeker }

func (readSeekNopCloser) Close() error { return nil }

// place stores content and returns how that was done and the requests it took.
func place(t *testing.T, j *journal, r oci.Repo, content string, origins ...string) (oci.How, []string) {
	t.Helper()
	j.take()
	p := &placed{content: []byte(content)}
	how, err := r.(oci.Placer).Place(t.Context(), describe("", p.content), origins, p.open)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[bool]int{true: 1}[how == oci.Moved]; p.opened != want {
		t.Errorf("expected the content to be opened %d times, found %d", want, p.opened)
	}
	return how, methods(j.take())
}

// before puts a journal in front of a registry that runs elsewhere.
func before(t *testing.T, addr string) *journal {
	to, err := url.Parse("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.Host = p.In.Host // the registry answers with absolute locations
	}}
	return &journal{Handler: proxy}
}

func TestRequestsPerPlace(t *testing.T) {
	t.Parallel()
	for name, j := range map[string]*journal{"olareg": {Handler: olaregHandler(t)}, "docker-registry": before(t, peer.DockerRegistry(t, ""))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, nil, serve(t, j).URL)
			a, b := s.Repo("a"), s.Repo("b")
			for _, step := range []struct {
				name    string
				repo    oci.Repo
				content string
				origins []string
				how     oci.How
				want    []string
			}{
				{"first of the store", a, "1", nil, oci.Moved, []string{"HEAD", "POST", "PUT", "POST", "POST", "DELETE"}},
				{"first copy", a, "2", nil, oci.Moved, []string{"POST", "PUT"}},
				{"again", a, "2", nil, oci.Found, []string{"POST"}},
				{"first copy to another repository", b, "3", nil, oci.Moved, []string{"POST", "PUT"}},
				{"mount", b, "2", []string{a.Origin()}, oci.Mounted, []string{"POST"}},
				{"mount what is there", b, "2", []string{a.Origin()}, oci.Mounted, []string{"POST"}},
				{"origin elsewhere", b, "4", []string{"other.example.org/x", b.Origin()}, oci.Moved, []string{"POST", "PUT"}},
				{"origin without it", b, "5", []string{a.Origin()}, oci.Moved, []string{"POST", "HEAD", "PUT"}},
				{"found, not in the origin", b, "5", []string{"other.example.org/x"}, oci.Found, []string{"POST"}},
			} {
				how, found := place(t, j, step.repo, step.content, step.origins...)
				if how != step.how || !slices.Equal(found, step.want) {
					t.Errorf("%s: expected %v with %v, found %v with %v", step.name, step.how, step.want, how, found)
				}
				if ok, err := step.repo.Exists(t.Context(), describe("", []byte(step.content))); !ok || err != nil {
					t.Errorf("%s: expected the blob in its place, found %v, %v", step.name, ok, err)
				}
			}
			// A second store knows nothing yet, and asks.
			again := open(t, nil, "http://"+s.session.name).Repo("a")
			if how, found := place(t, j, again, "1"); how != oci.Found || !slices.Equal(found, []string{"HEAD"}) {
				t.Errorf("new store: expected %v with one request, found %v, %v", oci.Found, how, found)
			}
		})
	}
}

// A registry that claims to have mounted whatever it is asked for is not believed.
func TestPlaceWhereMountsAreLies(t *testing.T) {
	t.Parallel()
	honest := olaregHandler(t)
	s := open(t, nil, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("mount") {
			w.Header().Set("Location", "/v2/a/blobs/"+r.URL.Query().Get("mount"))
			w.WriteHeader(http.StatusCreated)
			return
		}
		honest.ServeHTTP(w, r)
	})).URL)
	for _, content := range []string{"1", "2", "3"} {
		d := describe("", []byte(content))
		open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
		how, err := s.Repo("a").(oci.Placer).Place(t.Context(), d, []string{s.Repo("b").Origin()}, open)
		if there, eerr := s.Repo("a").Exists(t.Context(), d); err != nil || eerr != nil || !there {
			t.Errorf("%s: found %v, %v; it is there: %v, %v", content, how, err, there, eerr)
		}
	}
}

// What is there is never sent again, also where mounts are unknown and every one is answered by 202.
func TestPlaceWithoutMounts(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.Handler{
		"202":                  ggcrHandler(ggcr.WithBlobHandler(ggcr.NewInMemoryBlobHandler())),
		"405":                  refuseMounts(olaregHandler(t), 405),
		"404":                  refuseMounts(olaregHandler(t), 404),
		"202 without location": refuseMounts(olaregHandler(t), 202),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := &journal{Handler: h}
			s := open(t, nil, serve(t, j).URL)
			a, b := s.Repo("a"), s.Repo("b")
			place(t, j, a, "1")
			for range 2 {
				if how, found := place(t, j, a, "1"); how != oci.Found || !slices.Equal(found, []string{"HEAD"}) {
					t.Errorf("expected %v with one request, found %v, %v", oci.Found, how, found)
				}
			}
			if how, found := place(t, j, a, "2"); how != oci.Moved || !slices.Equal(found, []string{"HEAD", "POST", "PUT"}) {
				t.Errorf("expected three requests, found %v, %v", how, found)
			}
			place(t, j, b, "1", a.Origin())
			how, found := place(t, j, b, "3", a.Origin()) // some share blobs between repositories
			want := []string{"HEAD", "POST", "PUT"}
			if how != oci.Moved || !slices.Equal(found, want) {
				t.Errorf("expected %v, found %v, %v", want, how, found)
			}
		})
	}
}

func refuseMounts(h http.Handler, code int) http.Handler {
	return faulty{h, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("mount") == "" {
			return false
		}
		w.WriteHeader(code)
		return true
	}}
}

// A registry that says it has mounted something else.
func TestMountOfSomethingElse(t *testing.T) {
	t.Parallel()
	other := digest.FromString("other").String()
	for name, answer := range map[string]func(h http.Header){
		"digest":   func(h http.Header) { h.Set("Docker-Content-Digest", other) },
		"location": func(h http.Header) { h.Set("Location", "/v2/a/blobs/"+other) },
		"both": func(h http.Header) {
			h.Set("Docker-Content-Digest", digest.FromString("1").String())
			h.Set("Location", "/v2/a/blobs/"+other)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := faulty{olaregHandler(t), func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Query().Get("mount") == "" {
					return false
				}
				answer(w.Header())
				w.WriteHeader(http.StatusCreated)
				return true
			}}
			s := open(t, nil, serve(t, h).URL)
			p := &placed{content: []byte("1")}
			_, err := s.Repo("a").(oci.Placer).Place(t.Context(), describe("", p.content), []string{s.Repo("b").Origin()}, p.open)
			wantErr(t, err, ocm.ErrDigest, other)
		})
	}
}

// What fails on the way is sent again, from the reader if that can go back, else from another one.
func TestPlaceOpensAgain(t *testing.T) {
	t.Parallel()
	for _, once := range []bool{true, false} {
		n := 0
		j := &journal{Handler: faulty{olaregHandler(t), func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			if n++; n > 2 {
				return false
			}
			io.CopyN(io.Discard, r.Body, 1000)
			panic(http.ErrAbortHandler)
		}}}
		job := ocm.NewJob(1)
		r := open(t, &ocm.Env{Job: job}, serve(t, j).URL).Repo("a")
		p := &placed{content: bytes.Repeat([]byte("content"), 100_000), once: once}
		d := describe("", p.content)
		how, err := r.(oci.Placer).Place(t.Context(), d, nil, p.open)
		if how != oci.Moved || err != nil {
			t.Fatalf("found %v, %v", how, err)
		}
		if want := map[bool]int{true: 3, false: 1}[once]; p.opened != want {
			t.Errorf("once %v: expected the content to be opened %d times, found %d", once, want, p.opened)
		}
		if got := job.Stats.Retries.Load(); got != 2 {
			t.Errorf("expected two retries to be counted, found %d", got)
		}
		if ok, err := r.Exists(t.Context(), d); !ok || err != nil {
			t.Errorf("expected the blob, found %v, %v", ok, err)
		}
	}
}

func TestPlaceOfWrongContent(t *testing.T) {
	t.Parallel()
	j := &journal{Handler: olaregHandler(t)}
	r := open(t, nil, serve(t, j).URL).Repo("a")
	d := describe("", []byte("right"))
	p := &placed{content: []byte("wrong")}
	_, err := r.(oci.Placer).Place(t.Context(), d, nil, p.open)
	wantErr(t, err, ocm.ErrDigest)
	if found := methods(j.take()); slices.Contains(found, "PUT") && found[len(found)-1] == "PUT" {
		t.Errorf("expected no complete upload, found %v", found)
	}
	if ok, err := r.Exists(t.Context(), d); ok || err != nil {
		t.Errorf("expected no blob, found %v, %v", ok, err)
	}
	broken := errors.New("no such source")
	_, err = r.(oci.Placer).Place(t.Context(), d, nil, func(context.Context) (io.ReadCloser, error) { return nil, broken })
	wantErr(t, err, broken)
}

// A download costs one request, however large; so does a resolved and read manifest.
func TestRequestsPerRead(t *testing.T) {
	t.Parallel()
	for name, j := range map[string]*journal{"olareg": {Handler: olaregHandler(t)}, "docker-registry": before(t, peer.DockerRegistry(t, ""))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := open(t, nil, serve(t, j).URL).Repo("a")
			for _, size := range []int{0, 1, web.SmallDownload, 3 * web.SmallDownload} {
				content := bytes.Repeat([]byte("x"), size)
				d, err := r.Push(t.Context(), describe("", content), bytes.NewReader(content))
				if err != nil {
					t.Fatal(err)
				}
				j.take()
				rc, err := r.Fetch(t.Context(), d)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(rc)
				rc.Close()
				if lines := j.take(); err != nil || !bytes.Equal(got, content) || len(lines) != 1 {
					t.Errorf("%d bytes: found %d bytes, %v, requests %v", size, len(got), err, lines)
				}
			}
			raw := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"a/b","size":0,"digest":%q},"layers":[]}`, ociv1.MediaTypeImageManifest, digest.FromString(""))
			d := describe(ociv1.MediaTypeImageManifest, raw)
			for _, tt := range []struct {
				was  oci.Was
				want string
			}{{oci.Absent(), "HEAD PUT"}, {oci.At(d.Digest), "HEAD PUT"}, {oci.Any(), "PUT"}} {
				j.take()
				if err := r.PutManifest(t.Context(), d, raw, "1", tt.was); err != nil {
					t.Fatal(err)
				}
				if found := strings.Join(methods(j.take()), " "); found != tt.want {
					t.Errorf("put: expected %s, found %s", tt.want, found)
				}
			}
			for _, ref := range []string{"1", d.Digest.String()} {
				j.take()
				got, read, err := r.(oci.ManifestReader).ReadManifest(t.Context(), ref)
				if lines := methods(j.take()); err != nil || got.Digest != d.Digest || got.Size != d.Size || got.MediaType != d.MediaType || !bytes.Equal(read, raw) || !slices.Equal(lines, []string{"GET"}) {
					t.Errorf("%s: found %v, %q, %v with %v", ref, got, read, err, lines)
				}
			}
			_, _, err := r.(oci.ManifestReader).ReadManifest(t.Context(), "missing")
			wantErr(t, err, ocm.ErrNotFound)
			_, _, err = r.(oci.ManifestReader).ReadManifest(t.Context(), "no tag")
			wantErr(t, err, ocm.ErrInvalid)
		})
	}
}
