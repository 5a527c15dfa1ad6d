// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/textproto"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/web"
)

// Wget is what a web server delivers at an address.
var Wget = ocm.Method{
	Type: ocm.Type{
		Names:     ocm.Versioned("v1", "wget", "Wget"),
		About:     "What a web server delivers at an address.",
		Fields:    ocm.FieldsOf(wget{}),
		Consumers: []string{"Wget"},
		Notes: []string{
			"Credentials are those of a consumer of type Wget; headers that hold secrets are refused, because a descriptor is no place for them.",
			"They are not sent along with a redirect to another host; requests other than GET without body follow no redirects.",
			"Without mediaType the server is asked once more, by HEAD; a request other than GET is sent only for the content.",
		},
	},
	Opener: ocm.OpenerFunc(openWget),
}

type wget struct {
	URL        string              `json:"url" need:"yes" about:"http or https address, without user name"`
	OtherURL   string              `json:"URL"` // as the older tool writes it
	MediaType  string              `json:"mediaType" about:"media type; default what the server says, else by the extension of the address, else application/octet-stream"`
	Header     map[string][]string `json:"header" about:"headers of the request"`
	Verb       string              `json:"verb" about:"GET (default) or POST"`
	Body       []byte              `json:"body" about:"body of the request, in base64"`
	NoRedirect bool                `json:"noRedirect" about:"a redirect is an error"`
	OtherNo    bool                `json:"noredirect"`
}

func openWget(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var w wget
	if err := s.Decode(&w); err != nil {
		return ocm.Content{}, err
	}
	r, err := w.request()
	if err != nil {
		return ocm.Content{}, fmt.Errorf("type %s: %w", s.Type, err)
	}
	client, err := web.For(ctx, env, r.URL, "Wget", "wget")
	if err != nil {
		return ocm.Content{}, fmt.Errorf("type %s: url: %w", s.Type, err)
	}
	root := ociv1.Descriptor{MediaType: w.MediaType, Size: -1}
	if root.MediaType == "" {
		if root, err = describe(ctx, client, r); err != nil {
			return ocm.Content{}, err
		}
	}
	return client.Content(r, root), nil
}

// request checks the members and makes a request of them.
func (w *wget) request() (web.Request, error) {
	r := web.Request{Method: http.MethodGet, Body: w.Body, NoRedirect: w.NoRedirect || w.OtherNo}
	if w.URL == "" {
		w.URL, w.OtherURL = w.OtherURL, ""
	}
	u, err := url.Parse(w.URL)
	switch {
	case w.URL == "":
		return r, fmt.Errorf("url is missing: %w", ocm.ErrInvalid)
	case w.OtherURL != "" && w.OtherURL != w.URL:
		return r, fmt.Errorf("url and URL name different addresses: %w", ocm.ErrInvalid)
	case err != nil:
		return r, fmt.Errorf("url is no address: %w", ocm.ErrInvalid) // the parser's text would quote it, with what may be secret
	case blob.IsManifest(w.MediaType):
		return r, fmt.Errorf("mediaType %s is a manifest's, whose content is in a registry; use the type ociArtifact: %w", w.MediaType, ocm.ErrInvalid)
	}
	u.Fragment, u.RawFragment = "", ""
	r.URL = u
	switch w.Verb {
	case "", http.MethodGet:
	case http.MethodPost:
		r.Method = http.MethodPost
	default:
		return r, fmt.Errorf("verb %.20q: expected GET or POST, others deliver nothing or change the server: %w", w.Verb, ocm.ErrInvalid)
	}
	r.Header, err = wgetHeader(w.Header)
	return r, err
}

// secretHeaders are headers that hold secrets, and those that begin a proxy's login.
var secretHeaders = []string{
	"Authorization", "Proxy-Authorization", "Cookie", "Job-Token", "Private-Token", "X-Amz-Security-Token",
	"X-Api-Key", "X-Auth-Token", "X-Gitlab-Token", "X-Jfrog-Art-Api", "X-Vault-Token",
}

// ownHeaders are headers that say how a request is sent, which is not the descriptor's business.
var ownHeaders = []string{
	"Accept-Encoding", "Connection", "Content-Length", "Expect", "Host", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
	"If-Unmodified-Since", "Keep-Alive", "Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"X-Http-Method", "X-Http-Method-Override", "X-Method-Override", // some servers take these for the verb
}

func wgetHeader(given map[string][]string) (http.Header, error) {
	header := http.Header{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case slices.Contains(secretHeaders, canonical):
			return nil, fmt.Errorf("header %s: descriptors are no place for secrets; configure credentials for the consumer type Wget: %w", canonical, ocm.ErrInvalid)
		case slices.Contains(ownHeaders, canonical):
			return nil, fmt.Errorf("header %s is set by the program itself: %w", canonical, ocm.ErrInvalid)
		case !isToken(name):
			return nil, fmt.Errorf("header: %.100q is no name of a header: %w", name, ocm.ErrInvalid)
		}
		for _, v := range given[name] {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return nil, fmt.Errorf("header %s: control characters in its value: %w", canonical, ocm.ErrInvalid)
			}
			header.Add(canonical, v)
		}
	}
	return header, nil
}

// isToken is RFC 9110's token.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// noHead are the answers of servers that know no HEAD, or have an address signed for GET alone.
var noHead = []int{http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented}

// describe asks the server what it has, without the content. Where it does not answer HEAD it is asked for the
// content, of which nothing is read.
func describe(ctx context.Context, client *web.Client, r web.Request) (ociv1.Descriptor, error) {
	root := ociv1.Descriptor{Size: -1}
	if r.Method == http.MethodGet && len(r.Body) == 0 {
		head := r
		head.Method = http.MethodHead
		resp, err := client.Do(ctx, head)
		if slices.Contains(noHead, web.Status(err)) {
			resp, err = client.Do(ctx, r)
		}
		if err != nil {
			return root, err
		}
		resp.Body.Close()
		root.MediaType = mediaTypeOf(resp.Header.Get("Content-Type"))
		root.Digest = toldDigest(resp.Header)
	}
	if root.MediaType == "" {
		root.MediaType = blob.TypeByExtension(path.Base(r.URL.Path))
	}
	if root.MediaType == "" {
		root.MediaType = "application/octet-stream"
	}
	return root, nil
}

// mediaTypeOf is a Content-Type without its parameters, empty if it is none that content may have: what
// a web server delivers is never the manifest of an image.
func mediaTypeOf(contentType string) string {
	mt, _, err := mime.ParseMediaType(contentType)
	kind, name, ok := strings.Cut(mt, "/")
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || !ok || !isToken(kind) || !isToken(name) || len(mt) > 255 || blob.IsManifest(mt) {
		return ""
	}
	return mt
}

// toldDigest is the sha256 of the content where a server tells it: by RFC 9530, by RFC 3230 before it, or as artifact
// repositories do. Empty if it does not, or if it tells several that differ.
func toldDigest(h http.Header) digest.Digest {
	var told []string
	for _, field := range strings.Split(h.Get("Repr-Digest"), ",") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(field), "sha-256=:"); ok && strings.HasSuffix(v, ":") {
			told = append(told, fromBase64(strings.TrimSuffix(v, ":")))
		}
	}
	for _, field := range strings.Split(h.Get("Digest"), ",") {
		if name, v, _ := strings.Cut(strings.TrimSpace(field), "="); strings.EqualFold(name, "sha-256") {
			told = append(told, fromBase64(v))
		}
	}
	if v := h.Get("X-Checksum-Sha256"); v != "" {
		told = append(told, strings.ToLower(v))
	}
	if told = slices.Compact(told); len(told) != 1 {
		return ""
	}
	d := digest.NewDigestFromEncoded(digest.SHA256, told[0])
	if d.Validate() != nil {
		return ""
	}
	return d
}

func fromBase64(v string) string {
	raw, err := base64.StdEncoding.DecodeString(v)
	if err != nil || len(raw) != sha256.Size {
		return ""
	}
	return hex.EncodeToString(raw)
}
