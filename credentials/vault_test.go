// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/internal/fixture"
)

const vaultToken = "hvs.hunter2token"

// vaultFolder has secrets for several consumers.
func vaultFolder(t *testing.T) string {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"team/registry":   `{"data":{"username":"u","password":"hunter2"},"custom_metadata":{"consumerId":"{\"type\":\"OCIRegistry\",\"hostname\":\"ghcr.io\",\"pathprefix\":\"acme\"}"}}`,
		"team/plain":      `{"data":{"token":"hunter2"},"custom_metadata":{"type":"Github","hostname":"github.com"}}`,
		"team/nobody":     `{"data":{"username":"n","password":"hunter2"},"custom_metadata":{}}`,
		"team/number":     `{"data":{"password":424242},"custom_metadata":{"type":"A"}}`,
		"team/sub/deep":   `{"data":{"id":"deep"},"custom_metadata":{"type":"Deep"}}`,
		"index":           `{"data":{},"custom_metadata":{"secrets":"listed, sub/other"}}`,
		"index/listed":    `{"data":{"id":"listed"},"custom_metadata":{"type":"Listed"}}`,
		"index/hidden":    `{"data":{"id":"hidden"},"custom_metadata":{"type":"Hidden"}}`,
		"index/sub/other": `{"data":{"id":"other"},"custom_metadata":{"type":"Other"}}`,
	} {
		write(t, filepath.Join(dir, name+".json"), text, 0o600)
	}
	return dir
}

func startVault(t *testing.T, o *fixture.VaultOptions) string {
	t.Helper()
	url, stop, err := fixture.VaultProtocolServer(vaultFolder(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return url
}

// vaultConfig is a configuration with a vault and how to log in there; $URL is its address.
func vaultConfig(t *testing.T, url, repository, login string) *Store {
	t.Helper()
	text := "repositories: [{repository: {type: HashiCorpVault/v1alpha1, serverURL: '" + url + "', " + repository + "}}]"
	if login != "" {
		text += "\nconsumers: [{identity: {type: HashiCorpVault, hostname: 127.0.0.1, port: " + url[strings.LastIndex(url, ":")+1:] + ", scheme: http}, credentials: [{type: Credentials/v1, properties: {" + login + "}}]}]"
	}
	c, err := New([]ocm.Spec{spec(t, text)}, Options{Home: "/nowhere", Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVault(t *testing.T) {
	t.Parallel()
	o := &fixture.VaultOptions{Token: vaultToken}
	url := startVault(t, o)
	c := vaultConfig(t, url, "path: team", "token: "+vaultToken)
	for request, want := range map[string]ocm.Secret{
		"OCIRegistry hostname=ghcr.io path=acme/app": {"username": "u", "password": "hunter2"},
		"GitHubRepository hostname=github.com":       {"token": "hunter2"},
		"OCIRegistry hostname=ghcr.io path=other":    nil,
		"Deep": nil, // folders are not gone into
	} {
		got, err := c.Resolve(t.Context(), identity(request))
		if !maps.Equal(got, want) || (want == nil) != errors.Is(err, ocm.ErrNotFound) {
			t.Errorf("%s: %v %v, expected %v", request, got, err, want)
		}
	}
	asked := o.Requests.Load()
	if _, err := c.Resolve(t.Context(), identity("GitHubRepository hostname=github.com")); err != nil || o.Requests.Load() != asked {
		t.Errorf("asked again: %v", err)
	}
	if _, err := c.Resolve(t.Context(), identity("A")); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "team/number") || strings.Contains(err.Error(), "424242") {
		t.Errorf("a number: %v", err)
	}
}

// Which secrets there are: those that are listed in the configuration, or by the metadata of a secret, or all.
func TestVaultLists(t *testing.T) {
	t.Parallel()
	url := startVault(t, &fixture.VaultOptions{Token: vaultToken, Namespace: "ns", Denied: "team"})
	for repository, want := range map[string]string{
		"path: index":                                   "Listed Other",
		"path: index, secrets: [hidden]":                "Hidden",
		"path: '', secrets: [team/sub/deep]":            "Deep",
		"path: team/sub, mountPath: /secret/":           "Deep",
		"path: nothing":                                 "",
		"path: index, secrets: [hidden, listed]":        "Hidden Listed",
		"path: index, propagateConsumerIdentity: false": "",
	} {
		c := vaultConfig(t, url, "namespace: ns, "+repository, "token: "+vaultToken)
		var found []string
		for _, typ := range []string{"Deep", "Hidden", "Listed", "Other"} {
			if _, err := c.Resolve(t.Context(), ocm.Identity{"type": typ}); err == nil {
				found = append(found, typ)
			} else if !errors.Is(err, ocm.ErrNotFound) {
				t.Errorf("%s: %v", repository, err)
			}
		}
		if got := strings.Join(found, " "); got != want {
			t.Errorf("%s: %q, expected %q", repository, got, want)
		}
	}
}

func TestVaultLogin(t *testing.T) {
	t.Parallel()
	o := &fixture.VaultOptions{Token: vaultToken, Role: "ocm", JWT: "hunter2jwt", RoleID: "id", SecretID: "hunter2secret", Denied: "team/registry"}
	url := startVault(t, o)
	jwt := filepath.Join(t.TempDir(), "token")
	write(t, jwt, "hunter2jwt\n", 0o600)
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, vaultToken+"\n", 0o600)
	const github = "GitHubRepository hostname=github.com"
	for login, want := range map[string]struct {
		kind error
		text string
	}{
		"token: " + vaultToken:                                      {},
		"tokenFile: '" + token + "'":                                {},
		"authmeth: kubernetes, role: ocm, tokenFile: '" + jwt + "'": {},
		"role: ocm, jwt: hunter2jwt, authpath: kubernetes":          {},
		"authmeth: approle, roleid: id, secretid: hunter2secret":    {},
		"":                    {ocm.ErrDenied, "{type: HashiCorpVault, hostname: 127.0.0.1}"},
		"token: hunter2wrong": {ocm.ErrDenied, "wrong or has expired"},
		"authmeth: kubernetes, role: who, jwt: hunter2jwt":        {nil, "status 400"},
		"authmeth: kubernetes, jwt: hunter2jwt":                   {ocm.ErrInvalid, "expected role"},
		"authmeth: kubernetes, role: ocm, authpath: ../x, jwt: j": {ocm.ErrInvalid, "authpath"},
		"authmeth: ldap":               {ocm.ErrInvalid, "expected token, approle or kubernetes"},
		"username: u":                  {ocm.ErrInvalid, "property token is missing"},
		"tokenFile: /nowhere/x":        {os.ErrNotExist, "/nowhere/x"},
		`token: "hunter2\nX-Other: 1"`: {ocm.ErrInvalid, "characters"},
	} {
		c := vaultConfig(t, url, "path: team, secrets: [plain]", login)
		got, err := c.Resolve(t.Context(), identity(github))
		if want.text == "" {
			if err != nil || got["token"] != "hunter2" {
				t.Errorf("%s: %v %v", login, got, err)
			}
			continue
		}
		if err == nil || errors.Is(err, ocm.ErrNotFound) || want.kind != nil && !errors.Is(err, want.kind) || !strings.Contains(err.Error(), want.text) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", login, err)
		}
	}
	c := vaultConfig(t, url, "path: team", "token: "+vaultToken)
	if _, err := c.Resolve(t.Context(), identity(github)); !errors.Is(err, ocm.ErrDenied) || !strings.Contains(err.Error(), "policies do not let it read") {
		t.Errorf("denied by a policy: %v", err)
	}
}

// A token that was good and is no longer is replaced once.
func TestVaultTokenExpires(t *testing.T) {
	t.Parallel()
	o := &fixture.VaultOptions{Token: vaultToken, Role: "ocm", JWT: "j"}
	url := startVault(t, o)
	c := vaultConfig(t, url, "path: index, secrets: [listed, hidden], propagateConsumerIdentity: false", "role: ocm, jwt: j")
	src := c.opened[first(c.opened)]
	if _, err := src.named(t.Context(), "listed", nil); err != nil {
		t.Fatal(err)
	}
	o.Expired.Store(true)
	if _, err := src.named(t.Context(), "hidden", nil); err != nil || o.Logins.Load() != 2 {
		t.Errorf("%v, %d logins", err, o.Logins.Load())
	}
	if _, err := src.named(t.Context(), "absent", nil); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
}

func first[V any](m map[string]V) string {
	for k := range m {
		return k
	}
	return ""
}

// CVE-2020-15157 and others: a secret must not follow to where an answer points.
func TestCVE_2020_15157_vault_token_stays(t *testing.T) {
	t.Parallel()
	var sent []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		sent = append(sent, fmt.Sprint(r.Header))
	}))
	defer elsewhere.Close()
	url := startVault(t, &fixture.VaultOptions{Token: vaultToken, Redirect: elsewhere.URL})
	c := vaultConfig(t, url, "path: team", "token: "+vaultToken)
	_, err := c.Resolve(t.Context(), identity("A"))
	if !errors.Is(err, ocm.ErrDenied) || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("%v", err)
	}
	if len(sent) > 0 {
		t.Errorf("the other server was asked: %s", sent)
	}
}

// Credentials that a consumer names, and how sources depend on each other.
func TestNamedAndCycles(t *testing.T) {
	t.Parallel()
	url := startVault(t, &fixture.VaultOptions{Token: vaultToken})
	port := url[strings.LastIndex(url, ":")+1:]
	vault := "{type: HashiCorpVault, serverURL: '" + url + "', path: team, credentialsName: nobody}"
	good := `
consumers:
- {identity: {type: HashiCorpVault, hostname: 127.0.0.1, port: ` + port + `}, credentials: [{type: Memory, repoName: r, credentialsName: login}]}
- {identity: {type: OCIRegistry, hostname: a.io}, credentials: [` + vault + `, {type: Credentials, properties: {extra: x}}]}
- {identity: {type: OCIRegistry, hostname: b.io}, credentials: [{type: DockerConfig, dockerConfig: {auths: {c.io: {username: c, password: p}}}, credentialsName: c.io}]}
- {identity: {type: OCIRegistry, hostname: d.io}, credentials: [{type: DockerConfig, dockerConfig: {}, credentialsName: c.io}]}`
	memory := ocm.Spec{Type: MemoryConfig, Raw: ocm.RawJSON(`{"type":"` + MemoryConfig + `","repoName":"r","credentials":[
		{"credentialsName":"login","reference":{"type":"Memory","repoName":"r","credentialsName":"real"}},
		{"credentialsName":"real","credentials":{"token":"` + vaultToken + `"}}]}`)}
	c, err := New([]ocm.Spec{spec(t, good), memory}, Options{Home: "/nowhere", Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]ocm.Secret{"a.io": {"username": "n", "password": "hunter2", "extra": "x"}, "b.io": {"username": "c", "password": "p"}} {
		if got, err := c.Resolve(t.Context(), ocm.Identity{"type": "OCIRegistry", "hostname": host}); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v %v", host, got, err)
		}
	}
	// What was promised and is not there must not look like "go on without".
	if _, err := c.Resolve(t.Context(), identity("OCIRegistry hostname=d.io")); err == nil || errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("promised: %v", err)
	}

	const self = "needed to get themselves"
	for name, tc := range map[string]struct{ text, memory, want string }{
		"token in its own vault":        {"consumers: [{identity: {type: HashiCorpVault, hostname: v}, credentials: [{type: HashiCorpVault, serverURL: 'https://v', credentialsName: token}]}]", "", self},
		"two vaults":                    {"consumers: [{identity: {type: HashiCorpVault, hostname: v}, credentials: [{type: HashiCorpVault, serverURL: 'https://w', credentialsName: t}]}, {identity: {type: HashiCorpVault, hostname: w}, credentials: [{type: HashiCorpVault, serverURL: 'https://v', credentialsName: t}]}]", "", self},
		"repository opened with itself": {"repositories: [{repository: {type: HashiCorpVault, serverURL: 'https://v'}, credentials: [{type: HashiCorpVault, serverURL: 'https://v', credentialsName: t}]}]", "", self},
		"memory":                        {"consumers: []", `{"credentialsName":"a","reference":{"type":"Memory","repoName":"r","credentialsName":"b"}},{"credentialsName":"b","reference":{"type":"Memory","repoName":"r","credentialsName":"a"}}`, self},
		"no such set":                   {"consumers: [{identity: {type: A}, credentials: [{type: Memory, repoName: r, credentialsName: x}]}]", "", `no credentials "x"`},
		"no name":                       {"consumers: [{identity: {type: A}, credentials: [{type: DockerConfig}]}]", "", "credentialsName is missing"},
		"no name in memory":             {"consumers: [{identity: {type: A}, credentials: [{type: Memory}]}]", "", "credentialsName is missing"},
		"set without name":              {"consumers: []", `{"credentials":{"token":"hunter2"}}`, "credentialsName is missing"},
	} {
		entries := []ocm.Spec{spec(t, tc.text), {Type: MemoryConfig, Raw: ocm.RawJSON(`{"repoName":"r","credentials":[` + tc.memory + `]}`)}}
		if _, err := New(entries, Options{}); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVaultRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no address":  "path: x",
		"no URL":      "serverURL: vault",
		"user":        "serverURL: 'https://u:hunter2@vault'",
		"query":       "serverURL: 'https://vault?token=hunter2'",
		"scheme":      "serverURL: 'ftp://vault'",
		"up":          "serverURL: https://vault, path: a/../../sys",
		"mount":       "serverURL: https://vault, mountPath: ..",
		"secret":      "serverURL: https://vault, secrets: [../x]",
		"double path": "serverURL: https://vault, path: a//b",
	} {
		_, err := New([]ocm.Spec{spec(t, "repositories: [{repository: {type: HashiCorpVault, "+text+"}}]")}, Options{})
		if !errors.Is(err, ocm.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var log bytes.Buffer
	if _, err := New([]ocm.Spec{spec(t, "repositories: [{repository: {type: HashiCorpVault, serverURL: 'http://vault.example.org'}}]")}, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}); err != nil || !strings.Contains(log.String(), "without TLS") {
		t.Errorf("plain http: %v %s", err, &log)
	}
}

// What a server says is bounded, and never repeated.
func TestVaultAnswers(t *testing.T) {
	t.Parallel()
	long := `{"data":{"keys":[` + strings.Repeat(`"a",`, MaxVaultSecrets) + `"a"]}}`
	for name, answer := range map[string]string{
		"no JSON": "hunter2", "html": "<html>hunter2", "list": `["hunter2"]`, "version 1": `{"data":{"password":"hunter2"}}`, "many": long,
		"large": `{"data":{"data":{"x":"` + strings.Repeat("hunter2", MaxVaultAnswer/7+1) + `"}}}`, "path": `{"data":{"keys":["../hunter2/../x"]}}`,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
		c := vaultConfig(t, server.URL, "path: ''", "token: t")
		_, err := c.Resolve(context.Background(), identity("A"))
		server.Close()
		if err == nil || errors.Is(err, ocm.ErrNotFound) || name != "path" && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := vaultConfig(t, "http://127.0.0.1:1", "path: team", "token: hunter2")
	if _, err := c.Resolve(t.Context(), identity("A")); err == nil || errors.Is(err, ocm.ErrNotFound) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("unreachable: %v", err)
	}
}
