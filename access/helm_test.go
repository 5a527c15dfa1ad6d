// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
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
	"ocm/access"
	"ocm/access/chart"
	"ocm/blob"
	"ocm/config"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/remote"
	"ocm/sign/timestamp/tsatest"
	"ocm/web"
)

// write puts files into a new folder.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func chartYAML(name, version string) string {
	return "apiVersion: v2\nname: " + name + "\nversion: " + version + "\n"
}

// charts is a chart repository with two charts, one of them in four versions.
func charts(t testing.TB, login string) (url, dir string) {
	t.Helper()
	dir = write(t, map[string]string{
		"a/Chart.yaml": chartYAML("app", "1.0.0"), "a/values.yaml": "replicas: 1\n",
		"b/Chart.yaml": chartYAML("app", "1.2.0"), "b/values.yaml": "replicas: 2\n",
		"c/Chart.yaml": chartYAML("app", "1.10.0+build.7"),
		"d/Chart.yaml": chartYAML("app", "2.0.0-rc.1"),
		"e/Chart.yaml": chartYAML("other", "0.1.0"),
	})
	url, stop, err := fixture.ChartRepo(dir, login)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return url, dir
}

func readFile(t testing.TB, path ...string) []byte {
	t.Helper()
	return fixture.Must[[]byte](t)(os.ReadFile(filepath.Join(path...)))
}

// login are credentials of chart repositories.
type login ocm.Secret

func (l login) Resolve(_ context.Context, id ocm.Identity) (ocm.Secret, error) {
	if id["type"] != chart.Consumer {
		return nil, ocm.ErrNotFound
	}
	return ocm.Secret(l), nil
}

func TestHelm(t *testing.T) {
	t.Parallel()
	url, dir := charts(t, "user:secret-word")
	accesstest.Run(t, accesstest.Case{
		Method:   access.Helm,
		Env:      &ocm.Env{Credentials: login{"username": "user", "password": "secret-word"}},
		Good:     map[string]any{"helmRepository": url, "helmChart": "app:1.2.0", "other": 1},
		Want:     readFile(t, dir, "app-1.2.0.tgz"),
		WantType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
		Missing:  []map[string]any{{"helmChart": "nothing:1.2.0"}, {"helmChart": "app:9.9.9"}, {"version": "9.9.9"}, {"version": ">=3"}, {"helmRepository": url + "/folder"}},
		Wrong: []map[string]any{
			{"helmRepository": "ftp://example.com"}, {"helmRepository": "charts.example.com"}, {"helmRepository": strings.Replace(url, "://", "://u:secret-word@", 1)},
			{"helmRepository": url + "?token=secret-word"}, {"helmRepository": 7}, {"helmChart": "../app"}, {"helmChart": ":1.0.0"}, {"helmChart": "a/b:1.0.0"},
			{"helmChart": "app:1.2.0@sha256:abc"}, {"helmChart": "app@" + digest.FromString("x").String()}, {"version": "not a version"}, {"caCert": "no certificate"}, {"keyring": "ring"},
		},
		Host:    func(hostport string) map[string]any { return map[string]any{"helmRepository": "http://" + hostport} },
		Locked:  &ocm.Env{Credentials: login{"username": "user", "password": "wrong-word"}},
		Secrets: []string{"secret-word", "wrong-word"},
	})
}

func openHelm(t testing.TB, env *ocm.Env, raw string) (ocm.Content, error) {
	t.Helper()
	return access.Helm.Open(t.Context(), env, spec(t, raw))
}

func TestHelmVersions(t *testing.T) {
	t.Parallel()
	url, dir := charts(t, "")
	for _, c := range []struct{ chart, version, want string }{
		{"app", "", "1.10.0+build.7"}, {"app:1.0.0", "", "1.0.0"}, {"app:1.0.0", "1.2.0", "1.2.0"}, {"app", "v1.2.0", "1.2.0"}, {"app", "<1.10", "1.2.0"},
		{"app", "1.x", "1.10.0+build.7"}, {"app", "2.0.0-rc.1", "2.0.0-rc.1"}, {"app", ">=2.0.0-0", "2.0.0-rc.1"}, {"other", "", "0.1.0"},
	} {
		got, err := openHelm(t, &ocm.Env{}, `{"type":"Helm/v1","helmRepository":"`+url+`/","helmChart":"`+c.chart+`","version":"`+c.version+`","x":[1]}`)
		if err != nil {
			t.Errorf("%v: %v", c, err)
			continue
		}
		name, _, _ := strings.Cut(c.chart, ":")
		if want := digest.FromBytes(readFile(t, dir, name+"-"+c.want+".tgz")); got.Root.Digest != want {
			t.Errorf("%v: expected %s, found %s", c, want, got.Root.Digest)
		}
		pinned := c.version != c.want && !strings.HasSuffix(c.chart, ":"+c.want)
		if pinned != (got.Pinned != nil) {
			t.Errorf("%v: pinned: %v", c, got.Pinned)
		}
		if pinned && (!strings.Contains(string(got.Pinned.Raw), `"version":"`+c.want+`"`) || !strings.Contains(string(got.Pinned.Raw), `"x":[1]`)) {
			t.Errorf("%v: pinned to %s", c, got.Pinned.Raw)
		}
		if err := blob.Check(t.Context(), got); err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
	_, err := openHelm(t, &ocm.Env{}, `{"type":"helm","helmRepository":"`+url+`","helmChart":"aap"}`)
	fixture.WantErr(t, err, ocm.ErrNotFound, "did you mean app?", "/index.yaml")
	_, err = openHelm(t, &ocm.Env{}, `{"type":"helm","helmRepository":"`+url+`","helmChart":"app:3.0.0"}`)
	fixture.WantErr(t, err, ocm.ErrNotFound, "2.0.0-rc.1, 1.10.0+build.7, 1.2.0, 1.0.0")
}

// What the repository delivers is compared with its own index.
func TestHelmArchiveThatIsNotTheOneOfTheIndex(t *testing.T) {
	t.Parallel()
	url, dir := charts(t, "")
	c, err := openHelm(t, &ocm.Env{}, `{"type":"helm","helmRepository":"`+url+`","helmChart":"app:1.0.0"}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app-1.0.0.tgz"), readFile(t, dir, "app-1.2.0.tgz"), 0o600); err != nil {
		t.Fatal(err)
	}
	fixture.WantErr(t, blob.Check(t.Context(), c), ocm.ErrDigest)
}

// One job reads an index once.
func TestHelmIndexIsReadOncePerJob(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	dir := write(t, map[string]string{"index.yaml": "apiVersion: v1\nentries: {app: [{version: 1.0.0, urls: [a.tgz]}], other: [{version: 1.0.0, urls: [b.tgz]}]}\n"})
	files := http.FileServer(http.Dir(dir))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); files.ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	env := &ocm.Env{Job: ocm.NewJob(4)}
	for _, name := range []string{"app", "other", "app"} {
		if _, err := openHelm(t, env, `{"type":"helm","helmRepository":"`+srv.URL+`","helmChart":"`+name+`"}`); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("expected one request, found %d", n)
	}
}

// pushed is a registry with a chart in some versions, as helm pushes it.
func pushed(t testing.TB, versions ...string) (host string, roots map[string]digest.Digest) {
	t.Helper()
	url := fixture.Registry(t)
	roots = map[string]digest.Digest{}
	for _, v := range versions {
		tgz := fixture.Tgz(map[string]string{"app/Chart.yaml": chartYAML("app", v)})
		c, _, err := chart.Artifact(t.Context(), blob.Bytes(chart.MediaTypeContent, tgz), provenance(tgz))
		if err != nil {
			t.Fatal(err)
		}
		publisher := oci.NewRepository(fixture.Must[oci.Store](t)(openStore(url)), &ocm.Env{})
		if _, err := publisher.Publish(t.Context(), c, "team/app:"+chart.Tag(v), false); err != nil {
			t.Fatal(err)
		}
		roots[v] = c.Root.Digest
	}
	return strings.TrimPrefix(url, "http://"), roots
}

// provenance is a text that looks like a provenance file about an archive.
func provenance(archive []byte) []byte {
	return []byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: app\n\n...\nfiles:\n  app.tgz: " + digest.FromBytes(archive).String() +
		"\n-----BEGIN PGP SIGNATURE-----\n\nwsF=\n-----END PGP SIGNATURE-----\n")
}

func TestHelmFromRegistry(t *testing.T) {
	t.Parallel()
	host, roots := pushed(t, "1.0.0", "1.10.0", "2.0.0-rc.1", "1.2.0+b.1")
	for _, c := range []struct{ repository, chart, version, want string }{
		{"team", "app:1.0.0", "", "1.0.0"}, {"", "team/app", "1.2.0+b.1", "1.2.0+b.1"}, {"team/", "app", "", "1.10.0"}, {"team", "app", "~1.2", "1.2.0+b.1"},
		{"team", "app:9.9.9@" + roots["1.0.0"].String(), "", "1.0.0"}, {"team", "app@" + roots["1.0.0"].String(), "", "1.0.0"},
	} {
		got, err := openHelm(t, &ocm.Env{}, `{"type":"helm","helmRepository":"oci://`+host+`/`+c.repository+`","helmChart":"`+c.chart+`","version":"`+c.version+`"}`)
		if err != nil {
			t.Errorf("%v: %v", c, err)
			continue
		}
		if got.Root.Digest != roots[c.want] || got.Root.MediaType != ociv1.MediaTypeImageManifest || got.Origin != host+"/team/app" {
			t.Errorf("%v: expected %s, found %+v", c, roots[c.want], got)
		}
		if err := blob.Check(t.Context(), got); err != nil {
			t.Errorf("%v: %v", c, err)
		}
		if !strings.Contains(c.chart, "@") && got.Hint != "team/app:"+chart.Tag(c.want) {
			t.Errorf("%v: hint %q", c, got.Hint)
		}
	}
	accesstest.Run(t, accesstest.Case{
		Method: access.Helm, WantType: ociv1.MediaTypeImageManifest,
		Good:    map[string]any{"helmRepository": "oci://" + host, "helmChart": "team/app"},
		Missing: []map[string]any{{"helmChart": "team/nothing:1.0.0"}, {"version": "7.0.0"}, {"version": ">7"}, {"helmChart": "team/app@" + digest.FromString("x").String()}},
		Wrong:   []map[string]any{{"helmRepository": "oci://u:p@" + host}, {"helmRepository": "oci://"}, {"helmChart": "team/App:1.0.0"}, {"helmChart": "../app:1.0.0"}, {"helmRepository": "oci://" + host + "/team/app:1.0.0"}},
		Host: func(hostport string) map[string]any {
			return map[string]any{"helmRepository": "oci://" + hostport, "version": "1.0.0"}
		},
		Secrets: []string{"u:p@"},
	})
}

// Some repositories have an index whose archives lie in a registry. What they are is the same archive.
func TestHelmIndexThatLeadsToARegistry(t *testing.T) {
	t.Parallel()
	host, roots := pushed(t, "1.0.0")
	tgz := fixture.Tgz(map[string]string{"app/Chart.yaml": chartYAML("app", "1.0.0")})
	for sum, want := range map[string]error{"": nil, digest.FromBytes(tgz).Encoded(): nil, roots["1.0.0"].String(): nil, digest.FromString("x").Encoded(): ocm.ErrDigest} {
		dir := write(t, map[string]string{"index.yaml": "apiVersion: v1\nentries: {app: [{version: 1.0.0, digest: '" + sum + "', urls: ['oci://" + host + "/team/app:1.0.0']}]}\n"})
		url, stop, err := fixture.ChartRepo(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
		c, err := openHelm(t, &ocm.Env{}, `{"type":"helm","helmRepository":"`+url+`","helmChart":"app"}`)
		if want != nil {
			fixture.WantErr(t, err, want)
			continue
		}
		if err != nil || c.Root.Digest != digest.FromBytes(tgz) || c.Root.MediaType != chart.MediaTypeContent {
			t.Fatalf("%q: %+v %v", sum, c.Root, err)
		}
		prov, err := chart.ProvenanceOf(t.Context(), c)
		if err != nil || string(prov) != string(provenance(tgz)) {
			t.Errorf("provenance: %q %v", prov, err)
		}
	}
}

// The certificate is for the repository, not for where its index leads to, and no setting makes it any certificate.
func TestHelmCACertIsForOneHost(t *testing.T) {
	t.Parallel()
	other, certificate, _ := certified(t) // both have the same certificate
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "apiVersion: v1\nentries: {app: [{version: 1.0.0, urls: ['"+other+"/app.tgz']}]}\n")
	}))
	srv.Config.ErrorLog = silent()
	srv.StartTLS()
	t.Cleanup(srv.Close)
	raw := func(certificate string) string {
		return `{"type":"helm","helmRepository":"` + srv.URL + `","helmChart":"app","caCert":"` + strings.ReplaceAll(certificate, "\n", `\n`) + `"}`
	}
	c, err := openHelm(t, &ocm.Env{}, raw(certificate))
	if err != nil {
		t.Fatal(err)
	}
	if err := readAll(t, c); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("the other host: %v", err)
	}
	unrelated := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tsatest.New(t).Root.Cert.Raw}))
	careless := &ocm.Env{HTTP: web.NewTransport(config.HTTP{Default: config.HTTPOptions{InsecureSkipVerify: true, MaxRetries: -1}})}
	if _, err := openHelm(t, careless, raw(unrelated)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("another certificate: %v", err)
	}
}

// certified is a chart repository with TLS and a certificate that nobody knows; it counts requests that bring credentials.
func certified(t testing.TB) (url, certificate string, withSecret *atomic.Int32) {
	t.Helper()
	withSecret = &atomic.Int32{}
	dir := write(t, map[string]string{"index.yaml": "apiVersion: v1\nentries: {app: [{version: 1.0.0, urls: [app.tgz]}]}\n", "app.tgz": "archive"})
	files := http.FileServer(http.Dir(dir))
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			withSecret.Add(1)
		}
		files.ServeHTTP(w, r)
	}))
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	srv.Config.ErrorLog = silent()
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})), withSecret
}

func TestHelmCACert(t *testing.T) {
	t.Parallel()
	url, certificate, withSecret := certified(t)
	env := &ocm.Env{Credentials: login{"username": "u", "password": "p"}}
	good := spec(t, `{"type":"helm","helmRepository":"`+url+`","helmChart":"app","caCert":"`+strings.ReplaceAll(certificate, "\n", `\n`)+`"}`)
	c, err := access.Helm.Open(t.Context(), env, good)
	if err != nil {
		t.Fatal(err)
	}
	rc := fixture.Must[io.ReadCloser](t)(c.Open(t.Context()))
	defer rc.Close()
	if b, err := io.ReadAll(rc); err != nil || string(b) != "archive" {
		t.Errorf("%q %v", b, err)
	}
	if withSecret.Load() != 0 {
		t.Error("credentials were sent to a host whose certificate the descriptor vouches for")
	}
	if _, err := openHelm(t, env, `{"type":"helm","helmRepository":"`+url+`","helmChart":"app"}`); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without caCert: %v", err)
	}
}

func openStore(url string) (oci.Store, error) {
	return remote.Open(&ocm.Env{}, url, "", remote.Options{})
}

func silent() *log.Logger { return log.New(io.Discard, "", 0) }
