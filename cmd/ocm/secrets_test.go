// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"

	"ocm/internal/fixture"
)

// leaks are the forms in which a secret could get out: as it is, escaped, and in base64 at any place of a longer text.
func leaks(secret string) []string {
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	for skip := range 3 {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := enc.EncodeToString([]byte(strings.Repeat("x", skip) + secret))
			forms = append(forms, text[[]int{0, 2, 3}[skip]:len(text)-2])
		}
	}
	return forms
}

func leaked(text []byte, secrets map[string]string) string {
	for place, secret := range secrets {
		for _, form := range leaks(secret) {
			if bytes.Contains(text, []byte(form)) {
				return place
			}
		}
	}
	return ""
}

func TestLeaksAreFound(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{"password": "s3cr3t/pass+word"}
	for _, user := range []string{"", "u:", "me:", "them:", "everybody:"} {
		encoded := base64.StdEncoding.EncodeToString([]byte(user + "s3cr3t/pass+word" + user))
		if leaked([]byte("Authorization: Basic "+encoded), secrets) == "" {
			t.Errorf("%q is not found in %s", user, encoded)
		}
	}
	for _, text := range []string{"s3cr3t/pass+word", "x?p=s3cr3t%2Fpass%2Bword&y", "x"} {
		if (leaked([]byte(text), secrets) == "") != (text == "x") {
			t.Errorf("%s: wrong", text)
		}
	}
}

// heard remembers what requests carried.
type heard struct {
	mu   sync.Mutex
	text strings.Builder
}

func (h *heard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		h.mu.Lock()
		h.text.WriteString(password + " " + r.Header.Get("X-Vault-Token") + "\n")
		h.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// leakBench is a folder with secrets in every place, servers, and what commands left behind.
type leakBench struct {
	t                     *testing.T
	secrets               map[string]string
	inputs, work          string
	good, bad, vault, dud string // host:port, and URLs of vaults
	heard                 heard
}

func newLeakBench(t *testing.T) *leakBench {
	b := &leakBench{t: t, inputs: t.TempDir(), work: t.TempDir(), secrets: map[string]string{
		"consumer": "s3cr3t-of-consumer", "docker": "s3cr3t-of-docker", "vault token": "hvs.s3cr3t-token", "vault": "s3cr3t-in-vault",
		"jwt": "s3cr3t-jwt", "variable": "s3cr3t-in-variable", "kubernetes": "s3cr3t-in-kubernetes", "typed": "s3cr3t-typed-in",
		"memory": "s3cr3t-in-memory", "wrong token": "hvs.s3cr3t-wrong", "docker token": "s3cr3t-identity-token",
	}}
	registry := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
	t.Cleanup(func() { registry.Close() })
	serve := func(h http.Handler) string {
		s := httptest.NewServer(b.heard.wrap(h))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	b.good = serve(locked(registry, true, "me", b.secrets["consumer"]))
	b.bad = serve(locked(registry, false, "me", "something else"))
	write := func(name, text string) string {
		path := filepath.Join(b.inputs, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("vault/a.json", `{"data":{"token":"`+b.secrets["vault"]+`"},"custom_metadata":{"type":"Wget","hostname":"in.vault"}}`)
	for at, o := range map[*string]*fixture.VaultOptions{&b.vault: {Token: b.secrets["vault token"]}, &b.dud: {Token: "x", Role: "r", JWT: "x"}} {
		address, stop, err := fixture.VaultProtocolServer(filepath.Join(b.inputs, "vault"), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
		*at = address
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	b.secrets["private key"] = strings.Split(block, "\n")[5]
	write("docker/config.json", `{"auths":{"docker.example":{"auth":"`+base64.StdEncoding.EncodeToString([]byte("me:"+b.secrets["docker"]))+`"},"`+
		"token.example"+`":{"identitytoken":"`+b.secrets["docker token"]+`"},"127.0.0.1:1":{"auth":"`+b.secrets["docker"]+`"}}}`)
	kube := write("pull.yaml", "kind: Secret\ntype: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: '{\"auths\":{\"kube.example\":{\"username\":\"u\",\"password\":\""+b.secrets["kubernetes"]+"\"}}}'}\n")
	jwt := write("jwt", b.secrets["jwt"])
	t.Setenv("OCM_CONFIG", write("config.json", b.config(block, kube, jwt)))
	t.Setenv("HOME", b.work)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(b.work, "cache"))
	t.Setenv("DOCKER_CONFIG", filepath.Join(b.inputs, "docker"))
	t.Setenv("REGISTRY_AUTH_FILE", "")
	t.Setenv("CI_SECRET", b.secrets["variable"])
	t.Chdir(b.work)
	if err := os.WriteFile("component-constructor.yaml", []byte("name: acme.org/app\nversion: 1.0.0\nprovider: {name: acme.org}\nresources:\n- {name: text, type: plainText, input: {type: utf8, text: hello}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// config has a secret in every place where one can be.
func (b *leakBench) config(key, kube, jwt string) string {
	type object = map[string]any
	type list = []any
	split := func(host string) (string, string) { name, port, _ := strings.Cut(host, ":"); return name, port }
	consumer := func(id object, credential object) object {
		return object{"identity": id, "credentials": list{credential}}
	}
	registry := func(host, password string) object {
		name, port := split(host)
		return consumer(object{"type": "OCIRegistry", "hostname": name, "port": port}, object{"type": "Credentials/v1", "properties": object{"username": "me", "password": password}})
	}
	vaultLogin := func(at string, properties object) object {
		name, port := split(strings.TrimPrefix(at, "http://"))
		return consumer(object{"type": "HashiCorpVault", "hostname": name, "port": port, "scheme": "http"}, object{"type": "Credentials/v1", "properties": properties})
	}
	raw, err := json.Marshal(object{"type": "generic.config.ocm.software/v1", "configurations": list{
		object{"type": "memory.credentials.config.ocm.software", "repoName": "r", "credentials": list{object{"credentialsName": "n", "credentials": object{"token": b.secrets["memory"]}}}},
		object{"type": "credentials.config.ocm.software", "consumers": list{
			registry(b.good, b.secrets["consumer"]), registry(b.bad, b.secrets["consumer"]),
			vaultLogin(b.vault, object{"token": b.secrets["vault token"]}),
			vaultLogin(b.dud, object{"role": "r", "authmeth": "kubernetes", "tokenFile": jwt}),
			consumer(object{"type": "Wget", "hostname": "memory"}, object{"type": "Memory", "repoName": "r", "credentialsName": "n"}),
			consumer(object{"type": "Wget", "hostname": "dud"}, object{"type": "HashiCorpVault", "serverURL": b.dud, "credentialsName": "a"}),
			consumer(object{"type": "Wget", "hostname": "misspelt"}, object{"type": "WgetCredentials/v1", "identityTokn": b.secrets["consumer"]}),
			consumer(object{"type": "Wget", "hostname": "plugin"}, object{"type": "Unknown/v1", "secret": b.secrets["consumer"]}),
			consumer(object{"type": "RSA/v1alpha1", "algorithm": "RSASSA-PSS", "signature": "default"}, object{"type": "RSACredentials/v1", "privateKeyPEM": key}),
			consumer(object{"type": "GPG/v1alpha1", "signature": "gpg"}, object{"type": "GPGCredentials/v1alpha1", "privateKeyPGP": b.secrets["consumer"], "passphrase": b.secrets["consumer"]}),
		}, "repositories": list{
			object{"repository": object{"type": "DockerConfig/v1"}},
			object{"repository": object{"type": "KubernetesSecret/v1", "path": kube}},
			object{"repository": object{"type": "Environment/v1", "consumers": list{object{"identity": object{"type": "Wget", "hostname": "variable"}, "properties": object{"token": "CI_SECRET"}}}}},
			object{"repository": object{"type": "Unknown/v1", "password": b.secrets["consumer"]}},
			object{"repository": object{"type": "HashiCorpVault/v1alpha1", "serverURL": b.vault}},
		}},
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	return string(raw)
}

// run runs a command with all that it can tell, and looks for secrets in its output.
func (b *leakBench) run(command string) (status int, out string) {
	b.t.Helper()
	var text bytes.Buffer
	var mu sync.Mutex
	w := writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return text.Write(p)
	})
	args := append(strings.Fields(command), "--loglevel", "debug", "--progress", "json")
	status = run(args, strings.NewReader(b.secrets["typed"]+"\n"), w, w, time.Now)
	if place := leaked(text.Bytes(), b.secrets); place != "" {
		b.t.Errorf("ocm %s: the secret %q is shown:\n%s", command, place, &text)
	}
	return status, text.String()
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// The advisories of Flux CVE-2024-31216, Argo CD GHSA-6w87-g839-9wv7, zot CVE-2025-48374, grype CVE-2025-65965 and syft
// CVE-2023-24827, each of which is a secret that got into a log, an error, a document or a file. The servers of this test repeat
// in their refusals what was sent to them.
func TestSecretsStayInside_CVE_2024_31216_GHSA_6w87_g839_9wv7_CVE_2025_48374_CVE_2025_65965_CVE_2023_24827(t *testing.T) {
	b := newLeakBench(t)
	for _, c := range []struct {
		command string
		status  int
		says    string
	}{
		{"add cv --repository ./archive", 0, ""},
		{"sign cv ./archive//acme.org/app:1.0.0", 0, ""},
		{"sign cv ./archive//acme.org/app:1.0.0 --signature gpg --algorithm GPG", 1, ""},
		{"transfer cv ./archive//acme.org/app:1.0.0 http://" + b.good + "/acme --dry-run -o json", 0, ""},
		{"transfer cv ./archive//acme.org/app:1.0.0 http://" + b.good + "/acme --copy-resources", 0, ""},
		{"transfer cv http://" + b.good + "/acme//acme.org/app:1.0.0 ./copy --copy-resources", 0, ""},
		{"get cv http://" + b.good + "/acme//acme.org/app:1.0.0 -o yaml", 0, ""},
		{"check cv http://" + b.good + "/acme//acme.org/app:1.0.0", 0, ""},
		{"get cv http://" + b.bad + "/acme//acme.org/app:1.0.0", 5, ""},
		{"add cv --repository http://" + b.bad + "/acme", 5, ""},
		{"transfer cv ./archive//acme.org/app:1.0.0 http://" + b.bad + "/acme", 5, ""},
		{"login " + b.bad + " -u me --password-stdin", 5, ""},
		{"get cv http://127.0.0.1:1/acme//acme.org/app:1.0.0", 1, ""},
		{"auth explain " + b.bad, 0, ""},
		{"auth explain docker.example -o json", 0, `"username"`},
		{"auth explain token.example -o yaml", 0, `refreshToken`},
		{"auth explain 127.0.0.1:1", 1, `not base64`},
		{"auth explain kube.example", 0, `found: password, username, of Kubernetes secret`},
		{"auth explain type=Wget,hostname=variable", 0, `found: token, of variables`},
		{"auth explain type=Wget,hostname=memory -o json", 0, `consumers[4]`},
		{"auth explain type=Wget,hostname=in.vault", 0, `found: token, of vault`},
		{"auth explain type=Wget,hostname=dud", 1, `status 400`},
		{"auth explain type=Wget,hostname=misspelt", 0, `similar=identityToken`},
		{"auth explain type=Wget,hostname=plugin", 1, `unknown type`},
		{"auth explain type=RSA/v1alpha1,algorithm=RSASSA-PSS,signature=default", 0, `found: privateKeyPEM`},
		{"logout docker.example", 0, ""},
	} {
		if status, out := b.run(c.command); status != c.status || !strings.Contains(out, c.says) {
			t.Errorf("ocm %s: exit status %d, expected %d and %q:\n%s", c.command, status, c.status, c.says, out)
		}
	}
	for _, sent := range []string{"consumer", "typed"} {
		if !strings.Contains(b.heard.text.String(), b.secrets[sent]) {
			t.Errorf("%s was never sent: nothing could leak", sent)
		}
	}
	err := filepath.WalkDir(b.work, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if place := leaked(raw, b.secrets); place != "" {
			t.Errorf("%s: the secret %q is in it", path, place)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
