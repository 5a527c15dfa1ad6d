// SPDX-License-Identifier: Apache-2.0

package input

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/access/chart"
	"ocm/blob"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/remote"
)

const chartYAML = "apiVersion: v2\nname: app\nversion: 1.2.0+b.1\n"

// chartFolder is a folder with a chart, and its archive with a provenance file.
func chartFolder(t testing.TB) (dir string, tgz []byte) {
	t.Helper()
	dir = t.TempDir()
	tgz = fixture.Tgz(map[string]string{"app/Chart.yaml": chartYAML, "app/values.yaml": "a: 1\n"})
	must(t, os.MkdirAll(filepath.Join(dir, "charts", "app"), 0o755))
	for name, text := range map[string]string{
		"charts/app/Chart.yaml": chartYAML, "charts/app/values.yaml": "a: 1\n",
		"app.tgz": string(tgz), "app.tgz.prov": string(provenance(tgz)), "other.tgz": string(tgz), "text.tgz": "text", "empty.pem": "",
		"stale.tgz": string(tgz), "stale.tgz.prov": string(provenance([]byte("other"))),
	} {
		must(t, os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o600))
	}
	return dir, tgz
}

// provenance is a text that looks like a provenance file about an archive.
func provenance(archive []byte) []byte {
	return []byte("-----BEGIN PGP SIGNED MESSAGE-----\n\nfiles:\n  app.tgz: " + digest.FromBytes(archive).String() + "\n-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----\n")
}

func TestHelm(t *testing.T) {
	t.Parallel()
	dir, tgz := chartFolder(t)
	env := &ocm.Env{Dir: dir}
	accesstest.Run(t, accesstest.Case{
		Method: Helm, Env: env, WantType: ociv1.MediaTypeImageManifest,
		Good:    map[string]any{"path": "charts/app", "repository": "/charts/app:1.2.0_b.1"},
		Missing: []map[string]any{{"path": "nothing"}, {"path": "charts"}},
		Wrong: []map[string]any{
			{"path": "../x"}, {"path": "/etc"}, {"path": nil}, {"version": "1.0.0"}, {"repository": "charts/app:1.0.0"}, {"repository": "Charts"}, {"repository": "a/../b"},
			{"repository": "a@" + digest.FromString("x").String()}, {"repository": "/"}, {"caCert": "x"}, {"caCertFile": "x"}, {"path": 7},
			{"helmRepository": "example.com"}, {"helmRepository": "ftp://example.com/x.tgz"},
		},
	})
	for text, hint := range map[string]string{
		"{type: helm, path: app.tgz}": "", "{type: Helm/v1, path: ./charts/app, repository: charts/app}": "charts/app:1.2.0_b.1",
		"{type: helm, path: app.tgz, version: 1.2.0+b.1, repository: '/a:1.2.0+b.1'}": "/a:1.2.0_b.1",
	} {
		c, err := open(t, env, text)
		must(t, err)
		if c.Hint != hint {
			t.Errorf("%s: expected hint %q, found %q", text, hint, c.Hint)
		}
		must(t, blob.Check(t.Context(), c))
	}
	found, err := chart.Find(t.Context(), opened(t, env, "{type: helm, path: app.tgz}"))
	must(t, err)
	if read(t, found.Archive) != string(tgz) || found.Provenance == nil || read(t, *found.Provenance) != string(provenance(tgz)) {
		t.Error("the archive was not taken byte for byte, with its provenance file")
	}
	for text, want := range map[string]error{
		"{type: helm, path: text.tgz}": ocm.ErrInvalid, "{type: helm, path: stale.tgz}": ocm.ErrDigest, "{type: helm, path: app.tgz, chart: x}": ocm.ErrInvalid,
	} {
		_, err := open(t, env, text)
		fixture.WantErr(t, err, want)
	}
}

func opened(t testing.TB, env *ocm.Env, text string) ocm.Content {
	t.Helper()
	c, err := open(t, env, text)
	must(t, err)
	return c
}

// A folder that changes between two readings is noticed.
func TestHelmFolderThatChanges(t *testing.T) {
	t.Parallel()
	dir, _ := chartFolder(t)
	c := opened(t, &ocm.Env{Dir: dir}, "{type: helm, path: charts/app}")
	must(t, os.WriteFile(filepath.Join(dir, "charts", "app", "values.yaml"), []byte("a: 2\n"), 0o600))
	fixture.WantErr(t, blob.Check(t.Context(), c), ocm.ErrDigest)
}

func TestHelmFromElsewhere(t *testing.T) {
	t.Parallel()
	dir, _ := chartFolder(t)
	must(t, os.WriteFile(filepath.Join(dir, "index.yaml"), []byte("apiVersion: v1\nentries: {app: [{version: 1.2.0+b.1, urls: [app.tgz]}], liar: [{version: 2.0.0, urls: [other.tgz]}]}\n"), 0o600))
	url, stop, err := fixture.ChartRepo(dir, "")
	must(t, err)
	t.Cleanup(stop)
	env := &ocm.Env{Dir: dir}
	local := opened(t, env, "{type: helm, path: app.tgz}")
	for _, text := range []string{
		"{type: helm, helmRepository: '" + url + "/app.tgz'}", "{type: helm, helmRepository: '" + url + "', path: app}", "{type: helm, helmRepository: '" + url + "', path: app, version: 1.x}",
		"{type: helm, helmRepository: '" + url + "/app.tgz', version: 1.2.0+b.1}",
	} {
		c := opened(t, env, text)
		must(t, blob.Check(t.Context(), c))
		if c.Root.Digest != local.Root.Digest {
			t.Errorf("%s: expected %s, found %s", text, local.Root.Digest, c.Root.Digest)
		}
	}
	for text, want := range map[string]error{
		"{type: helm, helmRepository: '" + url + "'}":                                             ocm.ErrInvalid,
		"{type: helm, helmRepository: '" + url + "/gone.tgz'}":                                    ocm.ErrNotFound,
		"{type: helm, helmRepository: '" + url + "', path: gone}":                                 ocm.ErrNotFound,
		"{type: helm, helmRepository: '" + url + "', path: liar, version: 2.0.0}":                 ocm.ErrInvalid,
		"{type: helm, helmRepository: '" + url + "', path: a/b}":                                  ocm.ErrInvalid,
		"{type: helm, helmRepository: '" + url + "/app.tgz', version: 1.0.0}":                     ocm.ErrInvalid,
		"{type: helm, helmRepository: '" + url + "/text.tgz'}":                                    ocm.ErrInvalid,
		"{type: helm, helmRepository: '" + url + "/app.tgz', caCert: x}":                          ocm.ErrInvalid,
		"{type: helm, helmRepository: '" + url + "/app.tgz', caCertFile: empty.pem}":              ocm.ErrInvalid,
		"{type: helm, helmRepository: '" + url + "/app.tgz', caCertFile: ../x}":                   ocm.ErrInvalid,
		"{type: helm, helmRepository: '" + url + "/app.tgz', caCertFile: gone.pem}":               ocm.ErrNotFound,
		"{type: helm, helmRepository: '" + url + "/app.tgz', caCertFile: empty.pem, caCert: two}": ocm.ErrInvalid,
	} {
		_, err := open(t, env, text)
		if err == nil {
			t.Fatalf("%s: no error", text)
		}
		fixture.WantErr(t, err, want)
	}
}

func TestHelmFromRegistry(t *testing.T) {
	t.Parallel()
	dir, _ := chartFolder(t)
	env := &ocm.Env{Dir: dir}
	local := opened(t, env, "{type: helm, path: app.tgz}")
	url := fixture.Registry(t)
	store, err := remote.Open(env, url, "", remote.Options{})
	must(t, err)
	_, err = oci.NewRepository(store, env).Publish(t.Context(), local, "team/app:1.2.0_b.1", false)
	must(t, err)
	_, err = oci.NewRepository(store, env).Publish(t.Context(), fixture.Image("x"), "team/image:1.0.0", false)
	must(t, err)
	host := strings.TrimPrefix(url, "http://")
	for _, text := range []string{
		"{type: helm, helmRepository: 'oci://" + host + "/team/app:1.2.0_b.1'}", "{type: helm, helmRepository: 'oci://" + host + "/team/app', version: 1.2.0+b.1}",
		"{type: helm, helmRepository: 'oci://" + host + "/team', path: app}", "{type: helm, helmRepository: 'oci://" + host + "/team/app@" + local.Root.Digest.String() + "'}",
	} {
		c := opened(t, env, text)
		must(t, blob.Check(t.Context(), c))
		if c.Root.Digest != local.Root.Digest {
			t.Errorf("%s: expected %s, found %s", text, local.Root.Digest, c.Root.Digest)
		}
	}
	for text, want := range map[string]error{
		"{type: helm, helmRepository: 'oci://" + host + "/team/image:1.0.0'}": ocm.ErrInvalid,
		"{type: helm, helmRepository: 'oci://" + host + "/team/gone:1.0.0'}":  ocm.ErrNotFound,
		"{type: helm, helmRepository: 'oci://'}":                              ocm.ErrInvalid,
	} {
		_, err := open(t, env, text)
		fixture.WantErr(t, err, want)
	}
}

// A constructor is the user's own: its certificate and the user's credentials go together.
func TestHelmCACertFile(t *testing.T) {
	t.Parallel()
	dir, tgz := chartFolder(t)
	var known atomic.Bool
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, _, _ := r.BasicAuth(); user == "me" {
			known.Store(true)
		}
		if r.URL.Path != "/app.tgz" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(tgz)
	}))
	t.Cleanup(srv.Close)
	must(t, os.WriteFile(filepath.Join(dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	env := &ocm.Env{Dir: dir, Credentials: me{}}
	must(t, blob.Check(t.Context(), opened(t, env, "{type: helm, helmRepository: '"+srv.URL+"/app.tgz', caCertFile: ca.pem}")))
	if !known.Load() {
		t.Error("the credentials were not used")
	}
}

type me struct{}

func (me) Resolve(context.Context, ocm.Identity) (ocm.Secret, error) {
	return ocm.Secret{"username": "me", "password": "x"}, nil
}
