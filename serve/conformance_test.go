// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/ctf"
	"ocm/oci"
	"ocm/serve"
)

// What these tests ask for is what the OCI distribution specification 1.1 demands, chapter by chapter: status, headers and
// bodies as a client sees them, of a registry over an archive in a folder.

// Parts of addresses and media types.
const (
	octets    = "application/octet-stream"
	imageType = ociv1.MediaTypeImageManifest
	indexType = ociv1.MediaTypeImageIndex
)

// peer asks a registry.
type peer struct {
	t    *testing.T
	base string
}

// answer is what came back.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   []byte
}

func newPeer(t *testing.T) peer {
	t.Helper()
	store, err := ctf.Open(filepath.Join(t.TempDir(), "archive"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return peer{t, offer(t, store, true)}
}

func offer(t *testing.T, store *ctf.Store, writable bool) (url string) {
	t.Helper()
	g := serve.Handler(store, serve.Options{Writable: writable})
	srv := httptest.NewServer(g)
	t.Cleanup(func() { srv.Close(); g.Close() })
	return srv.URL
}

// do sends a request; to is relative to the registry. header is names and values in turn.
func (p peer) do(method, to string, body []byte, header ...string) answer {
	p.t.Helper()
	base, err := url.Parse(p.base)
	if err != nil {
		p.t.Fatal(err)
	}
	at, err := base.Parse(to)
	if err != nil {
		p.t.Fatal(err)
	}
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, at.String(), r)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer{p.t, method + " " + to, resp.StatusCode, resp.Header, raw}
}

// want checks the status, and headers as names and values in turn; "*" is any value, "" none at all.
func (a answer) want(status int, header ...string) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: expected status %d, found %d %s", a.what, status, a.status, a.body)
	}
	for i := 0; i < len(header); i += 2 {
		got := a.header.Get(header[i])
		if got != header[i+1] && (header[i+1] != "*" || got == "") {
			a.t.Errorf("%s: header %s: expected %q, found %q", a.what, header[i], header[i+1], got)
		}
	}
	return a
}

// wantCode checks the document of a refusal.
func (a answer) wantCode(status int, code string) answer {
	a.t.Helper()
	a.want(status)
	var doc struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(a.body, &doc); err != nil || len(doc.Errors) == 0 || doc.Errors[0].Code != code {
		a.t.Errorf("%s: expected the error %s, found %s", a.what, code, a.body)
	}
	return a
}

func (a answer) wantBody(want string) answer {
	a.t.Helper()
	if string(a.body) != want {
		a.t.Errorf("%s: expected %d bytes, found %d other ones", a.what, len(want), len(a.body))
	}
	return a
}

// next is the address that an answer leads to.
func (a answer) next(query ...string) string {
	a.t.Helper()
	at, err := url.Parse(a.header.Get("Location"))
	if err != nil || at.String() == "" {
		a.t.Fatalf("%s: expected a Location, found %q", a.what, a.header.Get("Location"))
	}
	q := at.Query()
	for i := 0; i < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	at.RawQuery = q.Encode()
	return at.String()
}

const uploads = "/v2/acme/app/blobs/uploads/"

// blob pushes a blob as most clients do.
func (p peer) blob(d digest.Digest, text string) ociv1.Descriptor {
	p.t.Helper()
	at := p.do("POST", uploads, nil).want(202).next("digest", d.String())
	p.do("PUT", at, []byte(text), "Content-Type", octets).want(201)
	return ociv1.Descriptor{MediaType: octets, Digest: d, Size: int64(len(text))}
}

// image is a manifest over one new blob, which is pushed.
func (p peer) image(alg digest.Algorithm, text string, subject *ociv1.Descriptor, more ...func(*ociv1.Manifest)) (ociv1.Descriptor, []byte) {
	p.t.Helper()
	config := p.blob(alg.FromString(text), text)
	m := ociv1.Manifest{MediaType: imageType, Config: config, Layers: []ociv1.Descriptor{}, Subject: subject}
	m.SchemaVersion = 2
	for _, fn := range more {
		fn(&m)
	}
	return encode(p.t, alg, imageType, m)
}

func encode(t *testing.T, alg digest.Algorithm, mediaType string, doc any) (ociv1.Descriptor, []byte) {
	t.Helper()
	raw, err := json.MarshalIndent(doc, "", "  ") // whatever it looks like, the bytes stay
	if err != nil {
		t.Fatal(err)
	}
	return ociv1.Descriptor{MediaType: mediaType, Digest: alg.FromBytes(raw), Size: int64(len(raw))}, raw
}

func indexOver(t *testing.T, alg digest.Algorithm, subject *ociv1.Descriptor, children ...ociv1.Descriptor) (ociv1.Descriptor, []byte) {
	t.Helper()
	m := ociv1.Index{MediaType: indexType, Manifests: append([]ociv1.Descriptor{}, children...), Subject: subject}
	m.SchemaVersion = 2
	return encode(t, alg, indexType, m)
}

func manifests(ref any) string { return fmt.Sprintf("/v2/acme/app/manifests/%s", ref) }
func blobs(ref any) string     { return fmt.Sprintf("/v2/acme/app/blobs/%s", ref) }

// put pushes a manifest under a tag or its digest, and follows the Location.
func (p peer) put(ref string, d ociv1.Descriptor, raw []byte) answer {
	p.t.Helper()
	a := p.do("PUT", manifests(ref), raw, "Content-Type", d.MediaType).want(201)
	p.do("GET", a.next(), nil).want(200, "Content-Type", d.MediaType).wantBody(string(raw))
	return a
}

// chapter runs its requirements, each with a registry of its own, for both algorithms of digests.
func chapter(t *testing.T, demands map[string]func(p peer, alg digest.Algorithm)) {
	t.Parallel()
	for name, fn := range demands {
		for _, alg := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
			t.Run(name+" "+alg.String(), func(t *testing.T) {
				t.Parallel()
				p := newPeer(t)
				fn(p, alg)
			})
		}
	}
}

func TestConformance_pull(t *testing.T) {
	chapter(t, map[string]func(peer, digest.Algorithm){
		"ping": func(p peer, _ digest.Algorithm) {
			p.do("GET", "/v2/", nil).want(200)
		},
		"manifest": func(p peer, alg digest.Algorithm) {
			d, raw := p.image(alg, "config", nil)
			p.put(d.Digest.String(), d, raw)
			refs := []string{d.Digest.String()}
			if alg == digest.SHA256 {
				p.put("1.0.0", d, raw)
				refs = append(refs, "1.0.0")
			}
			for _, ref := range refs {
				headers := []string{"Content-Type", imageType, "Docker-Content-Digest", d.Digest.String(), "Content-Length", fmt.Sprint(d.Size)}
				p.do("GET", manifests(ref), nil, "Accept", imageType).want(200, headers...).wantBody(string(raw))
				p.do("HEAD", manifests(ref), nil).want(200, headers...).wantBody("")
			}
		},
		"manifest that is not there": func(p peer, alg digest.Algorithm) {
			absent := alg.FromString("absent")
			for range 2 { // without the repository, and with it
				for _, ref := range []string{"absent", absent.String()} {
					p.do("GET", manifests(ref), nil).wantCode(404, "MANIFEST_UNKNOWN")
					p.do("HEAD", manifests(ref), nil).want(404)
				}
				d, raw := p.image(alg, "config", nil)
				p.put(d.Digest.String(), d, raw)
			}
			d := p.blob(alg.FromString("a blob"), "a blob") // is no manifest
			p.do("GET", manifests(d.Digest), nil).want(404)
			p.do("GET", manifests("sha256:baddigest"), nil).wantCode(400, "DIGEST_INVALID")
		},
		"blob": func(p peer, alg digest.Algorithm) {
			for _, text := range []string{"", "{}", strings.Repeat("long ", 100_000)} {
				d := p.blob(alg.FromString(text), text)
				headers := []string{"Docker-Content-Digest", d.Digest.String(), "Content-Length", fmt.Sprint(len(text))}
				p.do("GET", blobs(d.Digest), nil).want(200, headers...).wantBody(text)
				p.do("HEAD", blobs(d.Digest), nil).want(200, headers...).wantBody("")
			}
		},
		"blob that is not there": func(p peer, alg digest.Algorithm) {
			p.do("GET", blobs(alg.FromString("absent")), nil).wantCode(404, "BLOB_UNKNOWN")
			p.do("HEAD", blobs(alg.FromString("absent")), nil).want(404)
			p.do("GET", blobs("sha256:baddigest"), nil).want(400)
		},
		"part of a blob": func(p peer, alg digest.Algorithm) {
			text := strings.Repeat("0123456789", 10)
			d := p.blob(alg.FromString(text), text)
			for asked, want := range map[string]struct{ from, to int }{"10-19": {10, 19}, "95-": {95, 99}, "-7": {93, 99}, "90-500": {90, 99}, "0-0": {0, 0}} {
				p.do("GET", blobs(d.Digest), nil, "Range", "bytes="+asked).want(206, "Content-Length", fmt.Sprint(want.to-want.from+1),
					"Content-Range", fmt.Sprintf("bytes %d-%d/100", want.from, want.to)).wantBody(text[want.from : want.to+1])
			}
			for _, asked := range []string{"50-10", "100-200"} {
				a := p.do("GET", blobs(d.Digest), nil, "Range", "bytes="+asked)
				if a.status != 416 {
					p.t.Errorf("range %s: expected 416, found %d", asked, a.status)
				}
			}
		},
		"names": func(p peer, _ digest.Algorithm) {
			for _, name := range []string{"Acme", "acme/App", "acme//app", "acme/-app", "a..b", "acme/app_"} {
				if a := p.do("GET", "/v2/"+name+"/tags/list", nil); a.status != 400 && a.status != 404 {
					p.t.Errorf("repository %s: expected it to be refused, found %d", name, a.status)
				}
			}
		},
	})
}

// list asks for tags.
func (p peer) list(query string, header ...string) []string {
	p.t.Helper()
	a := p.do("GET", "/v2/acme/app/tags/list"+query, nil).want(200, header...)
	var doc struct {
		Name string
		Tags []string
	}
	if err := json.Unmarshal(a.body, &doc); err != nil || doc.Name != "acme/app" || doc.Tags == nil {
		p.t.Fatalf("%s: expected name and tags, found %s", a.what, a.body)
	}
	return doc.Tags
}

func (p peer) wantList(query string, want ...string) {
	p.t.Helper()
	if got := p.list(query); !slices.Equal(got, want) {
		p.t.Errorf("tags%s: expected %q, found %q", query, want, got)
	}
}

func TestConformance_discovery(t *testing.T) {
	chapter(t, map[string]func(peer, digest.Algorithm){
		"tags": func(p peer, alg digest.Algorithm) {
			p.do("GET", "/v2/acme/app/tags/list", nil).wantCode(404, "NAME_UNKNOWN")
			d, raw := p.image(digest.SHA256, "config", nil)
			for _, tag := range []string{"b", "C", "a", "test10", "test2"} {
				p.put(tag, d, raw)
			}
			all := []string{"a", "b", "C", "test10", "test2"} // whether large or small
			p.wantList("", all...)
			p.wantList("?n=100", all...)
			p.wantList("?last=b", "C", "test10", "test2")
			p.wantList("?n=2&last=a", "b", "C")
			p.wantList("?last=test2")
			p.wantList("?last=bb", "C", "test10", "test2") // is no tag
			if got := p.list("?n=0", "Link", ""); len(got) != 0 {
				p.t.Errorf("n=0: expected nothing, found %q", got)
			}
		},
		"tags, page by page": func(p peer, _ digest.Algorithm) {
			d, raw := p.image(digest.SHA256, "config", nil)
			var want, got []string
			for i := range 7 {
				want = append(want, fmt.Sprint("t", i))
				p.put(want[i], d, raw)
			}
			at := "/v2/acme/app/tags/list?n=3"
			for range 3 {
				a := p.do("GET", at, nil).want(200)
				var doc struct{ Tags []string }
				json.Unmarshal(a.body, &doc)
				got = append(got, doc.Tags...)
				link, ok := strings.CutSuffix(a.header.Get("Link"), `>; rel="next"`)
				if !ok {
					break
				}
				at = strings.TrimPrefix(link, "<")
			}
			if !slices.Equal(got, want) {
				p.t.Errorf("expected %q, found %q", want, got)
			}
		},
		"referrers of nothing": func(p peer, alg digest.Algorithm) {
			for range 2 {
				p.wantReferrers(alg.FromString("absent"), "")
				d, raw := p.image(alg, "config", nil)
				p.put(d.Digest.String(), d, raw)
			}
			p.do("GET", "/v2/acme/app/referrers/sha256:bad", nil).want(400)
		},
		"referrers":                   referrersOfEachKind,
		"referrers in a tagged index": referrersFallback,
	})
}

// wantReferrers compares the list of referrers, filtered unless artifactType is empty.
func (p peer) wantReferrers(subject digest.Digest, artifactType string, want ...ociv1.Descriptor) {
	p.t.Helper()
	at, applied := "/v2/acme/app/referrers/"+subject.String(), ""
	if artifactType != "" {
		at, applied = at+"?artifactType="+url.QueryEscape(artifactType), "artifactType"
	}
	a := p.do("GET", at, nil).want(200, "Content-Type", indexType, "OCI-Filters-Applied", applied)
	var doc ociv1.Index
	if err := json.Unmarshal(a.body, &doc); err != nil || doc.SchemaVersion != 2 || doc.MediaType != indexType || doc.Manifests == nil {
		p.t.Fatalf("%s: expected an index, found %s", a.what, a.body)
	}
	text := func(list []ociv1.Descriptor) string {
		var lines []string
		for _, d := range list {
			lines = append(lines, fmt.Sprint(d.Digest, d.Size, d.MediaType, d.ArtifactType, d.Annotations))
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	if text(doc.Manifests) != text(want) {
		p.t.Errorf("%s: expected\n%s\nfound\n%s", a.what, text(want), text(doc.Manifests))
	}
}

func referrersOfEachKind(p peer, alg digest.Algorithm) {
	subject, raw := p.image(alg, "subject", nil)
	p.put(subject.Digest.String(), subject, raw)
	note := map[string]string{"org.example.note": "text"}
	typed, raw := p.image(alg, "typed", &subject, func(m *ociv1.Manifest) { m.ArtifactType, m.Annotations = "application/a", note })
	p.put(typed.Digest.String(), typed, raw)
	typed.ArtifactType, typed.Annotations = "application/a", note
	plain, raw := p.image(alg, "plain", &subject)
	p.put(plain.Digest.String(), plain, raw)
	plain.ArtifactType = octets // of its config
	index, raw := indexOver(p.t, alg, &subject)
	p.put(index.Digest.String(), index, raw) // has no type at all
	p.wantReferrers(subject.Digest, "", typed, plain, index)
	p.wantReferrers(subject.Digest, "application/a", typed)
	p.wantReferrers(subject.Digest, octets, plain)
	p.wantReferrers(subject.Digest, "application/none")
	p.wantReferrers(typed.Digest, "")
	p.do("DELETE", manifests(typed.Digest), nil).want(202)
	p.wantReferrers(subject.Digest, "", plain, index)
	p.do("DELETE", manifests(subject.Digest), nil).want(202) // what refers to it stays
	p.wantReferrers(subject.Digest, "", plain, index)
}

// Clients that know no list of referrers made one under a tag: what it has and was pushed is listed.
func referrersFallback(p peer, alg digest.Algorithm) {
	subject, raw := p.image(digest.SHA256, "subject", nil)
	p.put("1.0.0", subject, raw)
	referrer, raw := p.image(alg, "referrer", &subject)
	p.put(referrer.Digest.String(), referrer, raw)
	foreign, raw := p.image(alg, "foreign", nil)
	p.put(foreign.Digest.String(), foreign, raw)
	list, raw := indexOver(p.t, digest.SHA256, nil, referrer, foreign)
	p.put(strings.Replace(subject.Digest.String(), ":", "-", 1), list, raw)
	referrer.ArtifactType = octets
	p.wantReferrers(subject.Digest, "", referrer)
}

func TestConformance_management(t *testing.T) {
	chapter(t, map[string]func(peer, digest.Algorithm){
		"tag": func(p peer, _ digest.Algorithm) {
			d, raw := p.image(digest.SHA256, "config", nil)
			p.put("a", d, raw)
			p.put("b", d, raw)
			p.do("DELETE", manifests("a"), nil).want(202)
			p.do("GET", manifests("a"), nil).want(404)
			p.wantList("", "b")
			p.do("GET", manifests(d.Digest), nil).want(200).wantBody(string(raw))
			p.do("DELETE", manifests("a"), nil).wantCode(404, "MANIFEST_UNKNOWN")
		},
		"manifest": func(p peer, alg digest.Algorithm) {
			p.do("DELETE", manifests(alg.FromString("absent")), nil).want(404) // nor is the repository there
			d, raw := p.image(alg, "config", nil)
			p.put(d.Digest.String(), d, raw)
			if alg == digest.SHA256 {
				p.put("1.0.0", d, raw)
			}
			p.do("DELETE", manifests(d.Digest), nil).want(202)
			p.do("GET", manifests(d.Digest), nil).wantCode(404, "MANIFEST_UNKNOWN")
			p.do("HEAD", manifests(d.Digest), nil).want(404)
			p.do("GET", manifests("1.0.0"), nil).want(404)
			p.do("DELETE", manifests(d.Digest), nil).want(404)
			p.do("DELETE", manifests("sha256:bad"), nil).want(400)
			p.put(d.Digest.String(), d, raw) // what was deleted may come again
		},
		"manifest that an index has": func(p peer, alg digest.Algorithm) {
			d, raw := p.image(alg, "config", nil)
			p.put(d.Digest.String(), d, raw)
			index, rawIndex := indexOver(p.t, alg, nil, d)
			p.put(index.Digest.String(), index, rawIndex)
			p.do("DELETE", manifests(d.Digest), nil).wantCode(405, "UNSUPPORTED")
			p.do("GET", manifests(d.Digest), nil).want(200).wantBody(string(raw))
			p.do("DELETE", manifests(index.Digest), nil).want(202)
			p.do("DELETE", manifests(d.Digest), nil).want(202)
		},
		"blob": func(p peer, alg digest.Algorithm) {
			d := alg.FromString("blob")
			p.do("DELETE", blobs(d), nil).wantCode(404, "BLOB_UNKNOWN")
			p.blob(d, "blob")
			p.do("DELETE", blobs(d), nil).want(202)
			p.do("GET", blobs(d), nil).want(404)
			p.do("HEAD", blobs(d), nil).want(404)
			p.do("DELETE", blobs(d), nil).want(404)
			p.do("DELETE", blobs("sha256:bad"), nil).want(400)
		},
		"blob that a manifest needs": func(p peer, alg digest.Algorithm) {
			d, raw := p.image(alg, "config", nil)
			p.put(d.Digest.String(), d, raw)
			config := alg.FromString("config")
			p.do("DELETE", blobs(config), nil).wantCode(405, "UNSUPPORTED")
			p.do("DELETE", "/v2/acme/other/blobs/"+config.String(), nil).want(405) // in whatever repository
			p.do("GET", blobs(config), nil).want(200).wantBody("config")
			p.do("DELETE", manifests(d.Digest), nil).want(202)
			p.do("DELETE", blobs(config), nil).want(202)
		},
	})
}

// What is offered to be read only answers what is read alike, from each form of an archive, and refuses the rest with 405.
func TestConformance_readOnly(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"archive", "archive.tar"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), form)
			d, raw := fill(t, path)
			store, err := ctf.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			p := peer{t, offer(t, store, false)}
			p.do("GET", manifests("1.0.0"), nil).want(200, "Docker-Content-Digest", d.Digest.String()).wantBody(string(raw))
			p.do("GET", blobs(digest.FromString("config")), nil, "Range", "bytes=1-3").want(206).wantBody("onf")
			p.wantList("", "1.0.0")
			p.wantReferrers(d.Digest, "")
			p.do("POST", uploads, nil).wantCode(405, "UNSUPPORTED")
			p.do("PUT", manifests("2.0.0"), raw, "Content-Type", imageType).wantCode(405, "UNSUPPORTED")
			for _, at := range []string{manifests("1.0.0"), manifests(d.Digest), blobs(digest.FromString("config"))} {
				p.do("DELETE", at, nil).wantCode(405, "UNSUPPORTED")
			}
			p.do("GET", manifests("1.0.0"), nil).want(200)
		})
	}
}

// fill makes an archive with acme/app:1.0.0 in it.
func fill(t *testing.T, path string) (ociv1.Descriptor, []byte) {
	t.Helper()
	store, err := ctf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	r := store.Repo("acme/app")
	config, err := r.Push(t.Context(), ociv1.Descriptor{}, strings.NewReader("config"))
	if err != nil {
		t.Fatal(err)
	}
	m := ociv1.Manifest{MediaType: imageType, Config: config, Layers: []ociv1.Descriptor{}}
	m.SchemaVersion = 2
	d, raw := encode(t, digest.SHA256, imageType, m)
	if err := r.PutManifest(t.Context(), d, raw, "1.0.0", oci.Absent()); err != nil {
		t.Fatal(err)
	}
	if err := store.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d, raw
}
