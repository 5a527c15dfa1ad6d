// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/blob"
)

// wantBlob checks that a push ended well.
func (p peer) wantBlob(a answer, d digest.Digest, text string) {
	p.t.Helper()
	a.want(201, "Location", "*", "Docker-Content-Digest", d.String())
	p.do("GET", a.next(), nil).want(200).wantBody(text)
}

// wantNoBlob checks that nothing of a push can be seen.
func (p peer) wantNoBlob(d digest.Digest) {
	p.t.Helper()
	p.do("HEAD", blobs(d), nil).want(404)
}

func TestConformance_push(t *testing.T) {
	const text = "what is pushed"
	chapter(t, map[string]func(peer, digest.Algorithm){
		"in two requests": func(p peer, alg digest.Algorithm) {
			d := alg.FromString(text)
			at := p.do("POST", uploads, nil).want(202, "Location", "*").next("digest", d.String())
			p.wantBlob(p.do("PUT", at, []byte(text), "Content-Type", octets), d, text)
		},
		"in one request": func(p peer, alg digest.Algorithm) {
			d := alg.FromString(text)
			p.wantBlob(p.do("POST", uploads+"?digest="+d.String(), []byte(text), "Content-Type", octets), d, text)
		},
		"as a stream": func(p peer, alg digest.Algorithm) {
			d := alg.FromString(text)
			at := p.do("POST", uploads, nil).want(202).next()
			at = p.do("PATCH", at, []byte(text), "Content-Type", octets).want(202, "Range", fmt.Sprintf("0-%d", len(text)-1)).next("digest", d.String())
			p.wantBlob(p.do("PUT", at, nil), d, text)
		},
		"in pieces":                        func(p peer, alg digest.Algorithm) { pieces(p, alg, text, false) },
		"in pieces, the last one by PUT":   func(p peer, alg digest.Algorithm) { pieces(p, alg, text, true) },
		"state of an upload":               uploadState,
		"upload that is given up":          uploadGivenUp,
		"mount":                            mount,
		"bytes of another digest":          wrongBlobs,
		"manifest":                         putManifests,
		"manifest that is refused":         badManifests,
		"manifest with many tags":          tagParameters,
		"manifest and its subject":         putSubjects,
		"manifest as large as they may be": largeManifest,
	})
}

// pieces pushes three pieces, and before each of them one that is out of order.
func pieces(p peer, alg digest.Algorithm, text string, lastByPut bool) {
	d := alg.FromString(text)
	const size = 6
	a := p.do("POST", uploads, nil, "Content-Length", "0").want(202)
	send := func(from int) answer {
		to := min(from+size, len(text))
		method, at := "PATCH", a.next()
		if lastByPut && to == len(text) {
			method, at = "PUT", a.next("digest", d.String())
		}
		return p.do(method, at, []byte(text[from:to]), "Content-Type", octets, "Content-Range", fmt.Sprintf("%d-%d", from, to-1))
	}
	for from := 0; from < len(text); from += size {
		wrong := from + size
		if wrong >= len(text) {
			wrong = 0
		}
		send(wrong).want(416)
		a = p.do("GET", a.next(), nil).want(204, "Location", "*", "Range", fmt.Sprintf("0-%d", max(0, from-1)))
		p.wantNoBlob(d)
		a = send(from)
		if a.status == http.StatusAccepted {
			a.want(202, "Range", fmt.Sprintf("0-%d", min(from+size, len(text))-1), "Location", "*")
		}
	}
	if !lastByPut {
		a = p.do("PUT", a.next("digest", d.String()), nil)
	}
	p.wantBlob(a, d, text)
}

func uploadState(p peer, alg digest.Algorithm) {
	a := p.do("POST", uploads, nil).want(202)
	p.do("GET", a.next(), nil).want(204, "Location", "*", "Range", "0-0")
	a = p.do("PATCH", a.next(), []byte("abc")).want(202, "Range", "0-2")
	p.do("GET", a.next(), nil).want(204, "Range", "0-2")
	other := strings.Replace(a.next(), "acme/app", "acme/other", 1) // belongs to its repository
	p.do("GET", other, nil).wantCode(404, "BLOB_UPLOAD_UNKNOWN")
	p.do("GET", uploads+"absent", nil).want(404)
	d := alg.FromString("abc")
	at := a.next("digest", d.String())
	p.do("PUT", at, nil).want(201)
	p.do("PUT", at, nil).want(404) // it is over
}

func uploadGivenUp(p peer, _ digest.Algorithm) {
	at := p.do("POST", uploads, nil).want(202).next()
	p.do("PATCH", at, []byte("abc")).want(202)
	p.do("DELETE", at, nil).want(204)
	p.do("GET", at, nil).want(404)
	p.do("DELETE", at, nil).want(404)
}

func mount(p peer, alg digest.Algorithm) {
	d := alg.FromString("shared")
	p.blob(d, "shared")
	to := "/v2/acme/other/blobs/uploads/?mount=" + d.String()
	for _, at := range []string{to + "&from=acme/app", to} { // from where may be left open
		a := p.do("POST", at, nil).want(201, "Location", "*", "Docker-Content-Digest", d.String())
		if !strings.Contains(a.next(), "acme/other") {
			p.t.Errorf("expected a place in the new repository, found %s", a.next())
		}
		p.do("GET", a.next(), nil).want(200).wantBody("shared")
	}
	absent := alg.FromString("absent") // what cannot be mounted is pushed
	at := p.do("POST", "/v2/acme/other/blobs/uploads/?mount="+absent.String()+"&from=acme/app", nil).want(202).next("digest", absent.String())
	p.do("PUT", at, []byte("absent")).want(201)
}

func wrongBlobs(p peer, alg digest.Algorithm) {
	d := alg.FromString("right")
	wrong := []byte("wrong")
	start := func() answer { return p.do("POST", uploads, nil).want(202) }
	p.do("POST", uploads+"?digest="+d.String(), wrong).wantCode(400, "DIGEST_INVALID")
	p.do("PUT", start().next("digest", d.String()), wrong).wantCode(400, "DIGEST_INVALID")
	a := p.do("PATCH", start().next(), wrong).want(202)
	p.do("PUT", a.next("digest", d.String()), nil).wantCode(400, "DIGEST_INVALID")
	a = p.do("PATCH", start().next(), wrong[:2], "Content-Range", "0-1").want(202)
	p.do("PUT", a.next("digest", d.String()), wrong[2:], "Content-Range", "2-4").wantCode(400, "DIGEST_INVALID")
	p.wantNoBlob(d)
	for _, bad := range []string{"", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "../../x"} {
		p.do("PUT", start().next("digest", bad), wrong).want(400)
	}
	if a := p.do("POST", uploads+"?digest="+d.String(), []byte("right")); a.status != 201 {
		p.t.Errorf("expected the right bytes to be taken after the wrong ones, found %d", a.status)
	}
}

func putManifests(p peer, alg digest.Algorithm) {
	a, rawA := p.image(alg, "a", nil)
	b, rawB := p.image(alg, "b", nil, func(m *ociv1.Manifest) { m.Annotations = map[string]string{"k": "v"} })
	p.put(a.Digest.String(), a, rawA).want(201, "Docker-Content-Digest", a.Digest.String(), "OCI-Subject", "")
	p.put(b.Digest.String(), b, rawB)
	inner, rawInner := indexOver(p.t, alg, nil, a, b)
	p.put(inner.Digest.String(), inner, rawInner)
	outer, rawOuter := indexOver(p.t, alg, nil, inner)
	p.put(outer.Digest.String(), outer, rawOuter)
	empty, rawEmpty := indexOver(p.t, alg, nil)
	p.put(empty.Digest.String(), empty, rawEmpty)
	if alg == digest.SHA256 {
		p.put("1.0.0", a, rawA).want(201, "Docker-Content-Digest", a.Digest.String())
		p.put("1.0.0", outer, rawOuter) // a tag moves
		p.do("GET", manifests("1.0.0"), nil).want(200, "Content-Type", indexType).wantBody(string(rawOuter))
	}
	for d, raw := range map[digest.Digest][]byte{a.Digest: rawA, b.Digest: rawB, inner.Digest: rawInner, outer.Digest: rawOuter} {
		p.do("GET", manifests(d), nil).want(200).wantBody(string(raw))
	}
	// Layers that are to be had elsewhere need not be here.
	foreign := ociv1.Descriptor{MediaType: octets, Digest: alg.FromString("elsewhere"), Size: 9, URLs: []string{"https://example.org/x"}}
	d, raw := p.image(alg, "c", nil, func(m *ociv1.Manifest) { m.Layers = append(m.Layers, foreign) })
	p.put(d.Digest.String(), d, raw)
}

func badManifests(p peer, alg digest.Algorithm) {
	d, raw := p.image(alg, "config", nil)
	put := func(ref string, raw string, mediaType string) answer {
		return p.do("PUT", manifests(ref), []byte(raw), "Content-Type", mediaType)
	}
	put(d.Digest.String(), string(raw)+" ", imageType).wantCode(400, "DIGEST_INVALID")
	put("sha256:baddigest", string(raw), imageType).wantCode(400, "DIGEST_INVALID")
	put("1.0.0", "no JSON", imageType).wantCode(400, "MANIFEST_INVALID")
	put("1.0.0", string(raw), "text/plain").wantCode(400, "MANIFEST_INVALID")
	put("1.0.0", string(raw), indexType).wantCode(400, "MANIFEST_INVALID")
	put("-bad", string(raw), imageType).want(400)
	put(strings.Repeat("a", 129), string(raw), imageType).want(400)
	lacking := strings.ReplaceAll(string(raw), alg.FromString("config").String(), alg.FromString("absent").String())
	put("1.0.0", lacking, imageType).wantCode(404, "MANIFEST_BLOB_UNKNOWN")
	_, index := indexOver(p.t, alg, nil, d) // which was not put
	put("1.0.0", string(index), indexType).wantCode(404, "MANIFEST_BLOB_UNKNOWN")
	for _, ref := range []string{"1.0.0", d.Digest.String()} {
		p.do("GET", manifests(ref), nil).want(404)
	}
}

// A subject may come before or after what refers to it, or never.
func putSubjects(p peer, alg digest.Algorithm) {
	subject, raw := p.image(alg, "subject", nil)
	early, rawEarly := p.image(alg, "early", &subject)
	p.put(early.Digest.String(), early, rawEarly).want(201, "OCI-Subject", subject.Digest.String())
	p.put(subject.Digest.String(), subject, raw).want(201, "OCI-Subject", "")
	late, rawLate := indexOver(p.t, alg, &subject, early)
	p.put(late.Digest.String(), late, rawLate).want(201, "OCI-Subject", subject.Digest.String())
	absent := ociv1.Descriptor{MediaType: imageType, Digest: alg.FromString("never"), Size: 5}
	d, raw := p.image(alg, "of nothing", &absent)
	p.put(d.Digest.String(), d, raw).want(201, "OCI-Subject", absent.Digest.String())
}

func largeManifest(p peer, alg digest.Algorithm) {
	of := func(n int) (ociv1.Descriptor, []byte) {
		return p.image(alg, "config", nil, func(m *ociv1.Manifest) { m.Annotations = map[string]string{"k": strings.Repeat("x", n)} })
	}
	d, raw := of(blob.MaxManifest - 1000)
	p.put(d.Digest.String(), d, raw)
	d, raw = of(blob.MaxManifest)
	p.do("PUT", manifests(d.Digest), raw, "Content-Type", imageType).want(413)
}

// What has another digest than that of sha256 gets its tags when it is pushed by its digest.
func tagParameters(p peer, alg digest.Algorithm) {
	d, raw := p.image(alg, "config", nil)
	put := func(query string) answer {
		return p.do("PUT", manifests(d.Digest)+query, raw, "Content-Type", imageType)
	}
	put("?tag=1.0.0&tag=latest").want(201, "OCI-Tag", "1.0.0, latest", "Docker-Content-Digest", d.Digest.String())
	p.wantList("", "1.0.0", "latest")
	for _, tag := range []string{"1.0.0", "latest"} {
		p.do("GET", manifests(tag), nil).want(200, "Docker-Content-Digest", d.Digest.String()).wantBody(string(raw))
	}
	put("").want(201, "OCI-Tag", "")
	put("?tag=good&tag=-bad").wantCode(400, "MANIFEST_INVALID")
	put("?tag=").want(400)
	put("?" + strings.Repeat("tag=a&", 100)).want(400)
	p.wantList("", "1.0.0", "latest")
}
