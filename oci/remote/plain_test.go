// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"ocm"
	"ocm/credentials"
	"ocm/oci/remote"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Whoever writes a descriptor chooses the scheme of its image references, and whoever controls the network
// answers plain http. Together they must not get a password that was configured for a registry with https.
func TestDescriptorCannotDowngradeToPlainHTTP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		id   ocm.Identity
		ref  string
		sent bool
	}{
		{"host only", ocm.Identity{"hostname": "registry.example"}, "http://registry.example/acme/app:1", false},
		{"host and port", ocm.Identity{"hostname": "registry.example", "port": "5000"}, "http://registry.example:5000/acme/app:1", false},
		{"https", ocm.Identity{"hostname": "registry.example", "scheme": "https"}, "http://registry.example/acme/app:1", false},
		{"http is configured", ocm.Identity{"hostname": "registry.example", "scheme": "http"}, "http://registry.example/acme/app:1", true},
		{"https is used", ocm.Identity{"hostname": "registry.example"}, "registry.example/acme/app:1", true},
		{"this computer", ocm.Identity{"hostname": "localhost", "port": "5000"}, "http://localhost:5000/acme/app:1", true},
	} {
		sent := false
		tt.id["type"] = "OCIRegistry"
		env := &ocm.Env{HTTP: roundTrip(func(r *http.Request) (*http.Response, error) {
			sent = sent || r.Header.Get("Authorization") != ""
			h := http.Header{"Www-Authenticate": {`Basic realm="r"`}}
			return &http.Response{StatusCode: http.StatusUnauthorized, Header: h, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
		})}
		var err error
		raw := `{"type":"credentials.config.ocm.software","consumers":[{"identity":` + identityJSON(t, tt.id) + `,"credentials":[{"type":"Credentials/v1","properties":{"username":"u","password":"secret"}}]}]}`
		if env.Credentials, err = credentials.New([]ocm.Spec{{Type: "credentials.config.ocm.software", Raw: ocm.RawJSON(raw)}}, credentials.Options{}); err != nil {
			t.Fatal(err)
		}
		if _, err := remote.OpenArtifact(t.Context(), env, tt.ref); !errors.Is(err, ocm.ErrDenied) {
			t.Errorf("%s: got %v, want %v", tt.name, err, ocm.ErrDenied)
		}
		if sent != tt.sent {
			t.Errorf("%s: credentials sent: %v, want %v", tt.name, sent, tt.sent)
		}
	}
}

func identityJSON(t *testing.T, id ocm.Identity) string {
	t.Helper()
	raw, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
