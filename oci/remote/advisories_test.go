// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
)

// regclient's CVE-2026-49349: a place that a redirect leads to asks for credentials, and gets those of the registry. Here they
// are in use already when that happens.
func TestCVE_2026_49349_CredentialsBehindARedirect(t *testing.T) {
	t.Parallel()
	d := ociv1.Descriptor{Digest: digest.FromString("x"), Size: 1}
	for _, demanded := range []string{`Basic realm="give"`, `Bearer realm="https://evil.test/token",service="s"`, `Bearer realm="https://registry.example.org/token",service="s"`} {
		evil := answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", demanded)
			w.WriteHeader(http.StatusUnauthorized)
		})
		registry := answer(func(w http.ResponseWriter, r *http.Request) {
			basicAuth(http.RedirectHandler("https://evil.test/v2/x", http.StatusTemporaryRedirect)).ServeHTTP(w, r)
		})
		n := network{"registry.example.org": registry, "evil.test": evil}
		r := open(t, n.env(t, &secrets{secret: alice}), "https://registry.example.org").Repo("a")
		for range 2 {
			_, err := r.Fetch(t.Context(), d)
			wantErr(t, err, ocm.ErrDenied, "evil.test")
		}
		if len(registry.authorizations()) == 0 {
			t.Error("the registry got no credentials: nothing could leak")
		}
		if got := evil.authorizations(); len(got) > 0 {
			t.Errorf("%s: the other host got %v", demanded, got)
		}
		for _, seen := range registry.seen {
			if seen.URL.Path == "/token" {
				t.Errorf("%s: a token was made for somebody else's demand", demanded)
			}
		}
	}
}

// distribution's CVE-2026-33540: a token service that the registry names gets what is kept for the registry. Refresh tokens are
// worth more than passwords, and go by another request.
func TestCVE_2026_33540_RefreshTokenElsewhere(t *testing.T) {
	t.Parallel()
	for realm, sent := range map[string]bool{
		"https://registry.example.org/token": true, "https://evil.test/token": false, "http://registry.example.org/token": false, "https://registry.example.org.evil.test/token": false,
	} {
		var got []string
		service := answer(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			got = append(got, r.PostForm.Get("refresh_token"))
			_, _ = io.WriteString(w, `{"access_token":"good"}`)
		})
		door := demand(realm)
		both := answer(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				service.ServeHTTP(w, r)
			} else {
				door.ServeHTTP(w, r)
			}
		})
		n := network{"registry.example.org": both, "evil.test": both, "registry.example.org.evil.test": both}
		s := open(t, n.env(t, &secrets{secret: ocm.Secret{"identityToken": "r3fresh"}}), "https://registry.example.org")
		_, err := s.Repo("a").Resolve(t.Context(), "1")
		if sent != (strings.Join(got, " ") == "r3fresh") || !sent && len(got) > 0 {
			t.Errorf("%s: the service got %q, %v", realm, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "r3fresh") {
			t.Errorf("the secret is in %v", err)
		}
	}
}
