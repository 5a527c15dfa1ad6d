// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"ocm"
	"ocm/access/chart"
	"ocm/blob"
	"ocm/config"
	"ocm/internal/fault"
	"ocm/internal/fixture"
	"ocm/web"
)

// watching is a server that counts requests with and without credentials.
func watching(t testing.TB, serve http.HandlerFunc) (url string, known, unknown *atomic.Int32) {
	t.Helper()
	known, unknown = &atomic.Int32{}, &atomic.Int32{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			known.Add(1)
		} else {
			unknown.Add(1)
		}
		serve(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, known, unknown
}

// An index may lead to another host, which does not get the credentials of the repository: neither for the chart nor for its
// provenance file, nor by a redirect.
func TestCVE_2021_32690_IndexLeadsToAnotherHost(t *testing.T) {
	t.Parallel()
	other, leaked, asked := watching(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "archive") })
	var index string
	own, known, _ := watching(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/index.yaml") {
			_, _ = io.WriteString(w, index)
			return
		}
		http.Redirect(w, r, other+r.URL.Path, http.StatusFound)
	})
	env := &ocm.Env{Credentials: login{"username": "u", "password": "p"}}
	for _, at := range []string{other + "/app.tgz", "app.tgz", "/elsewhere/app.tgz", strings.Replace(other, "http:", "", 1) + "/app.tgz"} {
		index = "apiVersion: v1\nentries: {app: [{version: 1.0.0, urls: ['" + at + "']}]}\n"
		c, err := openHelm(t, env, `{"type":"helm","helmRepository":"`+own+`/charts","helmChart":"app"}`)
		if err != nil {
			t.Fatal(err)
		}
		before := asked.Load()
		if err := readAll(t, c); err != nil {
			t.Errorf("%s: %v", at, err)
		}
		if _, err := chart.ProvenanceOf(t.Context(), c); err != nil {
			t.Errorf("%s: %v", at, err)
		}
		if asked.Load() != before+2 {
			t.Errorf("%s: the other host was asked %d times, expected 2", at, asked.Load()-before)
		}
	}
	if leaked.Load() != 0 || known.Load() == 0 {
		t.Errorf("the other host got credentials %d times, the repository %d times", leaked.Load(), known.Load())
	}
}

// An index on another host must not lead to this computer or to a metadata service, neither as archive nor as artifact
// of a registry.
func TestCVE_2021_32690_IndexLeadsInside(t *testing.T) {
	t.Parallel()
	for _, at := range []string{
		"https://localhost.:1/app.tgz", "https://127.1/app.tgz", "https://[64:ff9b::7f00:1]/app.tgz", "https://metadata.google.internal/app.tgz", "https://169.254.169.２５４/app.tgz",
		"oci://localhost:1/app:1.0.0", "oci://127.0.0.1:1/app:1.0.0", "oci://169.254.169.254/app:1.0.0", "oci://u@registry.example/app:1.0.0",
	} {
		env := &ocm.Env{HTTP: fault.Hosts{"charts.example": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "apiVersion: v1\nentries: {app: [{version: 1.0.0, urls: ['"+at+"'], digest: "+strings.Repeat("0", 64)+"}]}\n")
		})}}
		_, err := openHelm(t, env, `{"type":"helm","helmRepository":"https://charts.example","helmChart":"app"}`)
		fixture.WantErr(t, err, ocm.ErrDenied, "index")
	}
}

func readAll(t *testing.T, c ocm.Content) error {
	t.Helper()
	rc, err := blob.OpenContent(t.Context(), c)
	if err != nil {
		return err
	}
	defer rc.Close()
	_, err = io.Copy(io.Discard, rc)
	return err
}

// Whoever wrote the descriptor vouches for the server by caCert: it is shown no client certificate of the configuration.
func TestGHSA_h3wm_jjqf_8jm2_CACertAndClientCertificate(t *testing.T) {
	t.Parallel()
	var shown, asked atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		shown.Add(int32(len(r.TLS.PeerCertificates)))
		_, _ = io.WriteString(w, "apiVersion: v1\nentries: {app: [{version: 1.0.0, urls: [app.tgz]}]}\n")
	}))
	srv.Config.ErrorLog = silent()
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	key, err := x509.MarshalPKCS8PrivateKey(srv.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	dir := write(t, map[string]string{"cert.pem": certificate, "key.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))})
	env := &ocm.Env{HTTP: web.NewTransport(config.HTTP{Default: config.HTTPOptions{CertificateFile: dir + "/cert.pem", KeyFile: dir + "/key.pem", MaxRetries: -1}})}
	_, err = openHelm(t, env, `{"type":"helm","helmRepository":"`+srv.URL+`","helmChart":"app","caCert":"`+strings.ReplaceAll(certificate, "\n", `\n`)+`"}`)
	if err != nil || asked.Load() == 0 || shown.Load() != 0 {
		t.Errorf("%d requests, %d certificates shown: %v", asked.Load(), shown.Load(), err)
	}
}

// A repository that never stops to send fills neither memory nor disk.
func TestCVE_2024_29893_EndlessIndexAndArchive(t *testing.T) {
	t.Parallel()
	url, _, _ := watching(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/good/index.yaml" {
			_, _ = io.WriteString(w, "apiVersion: v1\nentries: {app: [{version: 1.0.0, urls: [app.tgz]}]}\n")
			return
		}
		chunk := make([]byte, 1<<20)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	_, err := openHelm(t, &ocm.Env{}, `{"type":"helm","helmRepository":"`+url+`/endless","helmChart":"app"}`)
	fixture.WantErr(t, err, ocm.ErrLimit, "index.yaml")
	c, err := openHelm(t, &ocm.Env{}, `{"type":"helm","helmRepository":"`+url+`/good","helmChart":"app"}`)
	if err != nil {
		t.Fatal(err)
	}
	fixture.WantErr(t, readAll(t, c), ocm.ErrLimit, "more than")
	_, err = chart.ProvenanceOf(t.Context(), c)
	fixture.WantErr(t, err, ocm.ErrLimit, "provenance")
}

// Who asks for verification must not get a chart that was not verified, whether a provenance file is there or not.
func TestCVE_2026_35205_KeyringIsNotPassedOver(t *testing.T) {
	t.Parallel()
	url, _, asked := watching(t, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	_, err := openHelm(t, &ocm.Env{}, `{"type":"helm","helmRepository":"`+url+`","helmChart":"app:1.0.0","keyring":"-----BEGIN PGP PUBLIC KEY BLOCK-----"}`)
	fixture.WantErr(t, err, ocm.ErrInvalid, "keyring")
	if asked.Load() != 0 {
		t.Error("the repository was asked")
	}
}

// Secrets in an address would be stored in the descriptor, and end up in messages.
func TestHelmAddressesWithSecrets(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"https://u:hunter2@charts.example", "https://charts.example/?token=hunter2", "https://charts.example/#hunter2", "https://u:hunter2@charts.example:bad", "oci://u:hunter2@charts.example/a"} {
		_, err := openHelm(t, &ocm.Env{}, fmt.Sprintf(`{"type":"helm","helmRepository":%q,"helmChart":"app:1.0.0"}`, at))
		fixture.WantErr(t, err, ocm.ErrInvalid)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the message tells the secret: %v", err)
		}
	}
}
