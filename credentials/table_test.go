// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"bytes"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/web"
)

// rule is a configured identity, and requests that it is for, or not.
type rule struct {
	name, configured string
	yes, no          []string
}

// The rules for attributes, each with what it must not let through.
var rules = []rule{
	{"path: missing is for all", "{type: T, hostname: h}", []string{"T hostname=h", "T hostname=h path=a/b"}, []string{"T hostname=i"}},
	{"path: empty is for all", "{type: T, hostname: h, path: ''}", []string{"T hostname=h", "T hostname=h path=a/b"}, nil},
	{"path: a star is one segment", "{type: T, hostname: h, path: a/*}", []string{"T hostname=h path=a/b"}, []string{"T hostname=h", "T hostname=h path=a", "T hostname=h path=a/b/c", "T hostname=h path=b/b"}},
	{"path: one character", "{type: T, hostname: h, path: 'a?'}", []string{"T hostname=h path=ab"}, []string{"T hostname=h path=a", "T hostname=h path=a/"}},
	{"path: a set", "{type: T, hostname: h, path: 'a[0-9]'}", []string{"T hostname=h path=a1"}, []string{"T hostname=h path=ab"}},
	{"path: two segments", "{type: T, hostname: h, path: '*/*'}", []string{"T hostname=h path=a/b"}, []string{"T hostname=h path=a"}},
	{"hostname is equal", "{type: T, hostname: H.io}", []string{"T hostname=h.io", "T hostname=H.IO"}, []string{"T hostname=x.h.io", "T", "T hostname=h.io.evil.io"}},
	{"scheme, if both have one", "{type: T, hostname: h, scheme: https}", []string{"T hostname=h", "T hostname=h scheme=https", "T hostname=h scheme=oci"}, []string{"T hostname=h scheme=http"}},
	{"oci is https", "{type: T, hostname: h, scheme: oci}", []string{"T hostname=h scheme=https", "T hostname=h port=443"}, []string{"T hostname=h scheme=http"}},
	{"port 443 is the default", "{type: T, hostname: h, port: '443'}", []string{"T hostname=h", "T hostname=h scheme=https"}, []string{"T hostname=h scheme=http", "T hostname=h port=80"}},
	{"port 80 is that of http", "{type: T, hostname: h, scheme: http}", []string{"T hostname=h port=80", "T hostname=h scheme=http"}, []string{"T hostname=h port=443", "T hostname=h scheme=http port=8080"}},
	{"other attributes on both sides", "{type: T, signature: s}", []string{"T signature=s"}, []string{"T", "T signature=s algorithm=a", "T signature=t"}},
	{"types without version", "{type: OCIRegistry, hostname: h}", []string{"OCIRegistry hostname=h", "OCIRegistry/v1 hostname=h", "OCIRegistry/v1alpha1 hostname=h"}, []string{"OCIRegistry/v2 hostname=h", "ociregistry hostname=h"}},
	{"types with version", "{type: RSA/v1, algorithm: a, signature: s}", []string{"RSA/v1alpha1 algorithm=a signature=s", "RSA algorithm=a signature=s"}, nil},

	// The older tool.
	{"pathprefix is by segments", "{type: T, hostname: h, pathprefix: a/b}", []string{"T hostname=h path=a/b", "T hostname=h path=a/b/c/d", "T hostname=h pathprefix=a/b/c"}, []string{"T hostname=h path=a/bc", "T hostname=h path=a", "T hostname=h"}},
	{"pathprefix and path", "{type: T, hostname: h, pathprefix: a, path: '*/b'}", []string{"T hostname=h path=a/b"}, []string{"T hostname=h path=c/b", "T hostname=h path=a/c"}},
	{"path: steps back lead away", "{type: T, hostname: h, path: a/*/*}", []string{"T hostname=h path=a/b/c", "T hostname=h path=a/..b/c"}, []string{"T hostname=h path=a/../c", "T hostname=h path=a/./c"}},
	{"pathprefix: steps back lead away", "{type: T, hostname: h, pathprefix: a}", []string{"T hostname=h path=a/b...", "T hostname=h path=a/.b"}, []string{"T hostname=h path=a/../evil", "T hostname=h path=a/b/../../evil", `T hostname=h path=a/..\evil`, "T hostname=h path=a/..;x/evil", "T hostname=h pathprefix=a/.."}},
	{"steps back on a host that is for all", "{type: T, hostname: h}", []string{"T hostname=h path=a/../b"}, nil},
	{"vault: what is not said is for all", "{type: HashiCorpVault, hostname: v}", []string{"HashiCorpVault hostname=v namespace=n secretEngine=secret pathprefix=p"}, []string{"HashiCorpVault hostname=w", "HashiCorpVault hostname=v other=o"}},
	{"vault: what is said counts", "{type: HashiCorpVault, hostname: v, namespace: 'n', pathprefix: p}", []string{"HashiCorpVault hostname=v namespace=n secretEngine=secret pathprefix=p/q"}, []string{"HashiCorpVault hostname=v namespace=m secretEngine=secret pathprefix=p", "HashiCorpVault hostname=v"}},

	// Types of consumers, and what they send.
	{"OCI repository", "{type: OCIRegistry, hostname: ghcr.io, path: acme}", []string{"OCIRegistry hostname=ghcr.io path=acme"}, []string{"OCIRegistry hostname=ghcr.io"}},
	{"OCI image", "{type: OCIRegistry, hostname: ghcr.io}", []string{"OCIRegistry hostname=ghcr.io"}, []string{"OCIRegistry hostname=ghcr.io port=5000"}},
	{"helm", "{type: HelmChartRepository, hostname: h}", []string{"HelmChartRepository scheme=https hostname=h path=stable"}, []string{"Wget scheme=https hostname=h path=stable"}},
	{"wget", "{type: Wget, hostname: h}", []string{"Wget scheme=https hostname=h", "wget hostname=h"}, []string{"HelmChartRepository hostname=h"}},
	{"wget of the older tool", "{type: wget, hostname: h}", []string{"Wget scheme=https hostname=h"}, nil},
	{"GitHub", "{type: GitHubRepository, hostname: github.com}", []string{"GitHubRepository scheme=https hostname=github.com path=a/b", "Github hostname=github.com"}, []string{"Git hostname=github.com"}},
	{"GitHub of the older tool", "{type: Github, hostname: github.com, pathprefix: a}", []string{"GitHubRepository scheme=https hostname=github.com path=a/b"}, []string{"GitHubRepository scheme=https hostname=github.com path=c/b"}},
	{"S3", "{type: S3Bucket, hostname: s3.amazonaws.com}", []string{"S3Bucket hostname=s3.amazonaws.com path=bucket/key", "S3 hostname=s3.amazonaws.com"}, nil},
	{"S3 of the older tool", "{type: S3, hostname: s3.amazonaws.com, pathprefix: bucket}", []string{"S3Bucket hostname=s3.amazonaws.com path=bucket/key"}, []string{"S3Bucket hostname=s3.amazonaws.com path=other/key"}},
	{"RSA", "{type: RSA/v1alpha1, algorithm: RSASSA-PSS, signature: default}", []string{"RSA/v1alpha1 algorithm=RSASSA-PSS signature=default"}, []string{"RSA/v1alpha1 algorithm=RSASSA-PSS signature=other", "RSA/v1alpha1 signature=default"}},
	{"GPG", "{type: GPG, signature: default}", []string{"GPG/v1alpha1 signature=default"}, []string{"GPG/v1alpha1 signature=other"}},
	{"Sigstore", "{type: SigstoreSigner/v1alpha1, signature: default}", []string{"SigstoreSigner signature=default"}, []string{"SigstoreVerifier/v1alpha1 signature=default"}},
	{"Maven", "{type: MavenRepository, hostname: m}", []string{"MavenRepository scheme=https hostname=m path=x", "Repository.maven.apache.org hostname=m"}, nil},
	{"npm", "{type: NpmRegistry, hostname: 'n'}", []string{"NpmRegistry scheme=https hostname=n"}, nil},
	{"npm of the older tool", "{type: Registry.npmjs.com, hostname: 'n', pathprefix: team}", []string{"NpmRegistry scheme=https hostname=n path=team/x"}, []string{"NpmRegistry scheme=https hostname=n"}},
	{"git", "{type: Git, hostname: g}", []string{"Git scheme=https hostname=g path=a/b.git"}, []string{"Git scheme=ssh hostname=g port=22"}},
	{"signing server", "{type: Signingserver.gardener.cloud, hostname: s}", []string{"Signingserver.gardener.cloud scheme=https hostname=s"}, nil},
	{"build credentials", "{type: Buildcredentials.ocm.software, hostname: b}", []string{"Buildcredentials.ocm.software hostname=b path=x"}, nil},
	{"of a plugin", "{type: example.org/Plugin, anything: goes}", []string{"example.org/Plugin anything=goes"}, []string{"example.org/Plugin anything=else", "example.org/Plugin anything=goes more=x"}},
}

func TestRules(t *testing.T) {
	t.Parallel()
	for _, r := range rules {
		c := consumers(t, r.configured)
		for _, request := range r.yes {
			gets(t, c, request, "1")
		}
		for _, request := range r.no {
			gets(t, c, request, "")
		}
	}
}

// What consumers of an address ask for: scheme, hostname, port if it is said, path without the first slash.
func TestIdentityOfAddress(t *testing.T) {
	t.Parallel()
	c := consumers(t, "{type: Wget, hostname: h, path: 'a/*'}", "{type: Wget, hostname: h, port: 8443}", "{type: Wget, hostname: '::1', scheme: http, port: 5000}")
	for address, want := range map[string]string{
		"https://h/a/b": "1", "https://h:443/a/b/": "1", "https://h:8443/x": "2", "http://[::1]:5000/": "3", "https://h/a/b/c": "", "http://h/a/b": "1",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Resolve(t.Context(), web.Identity("Wget", u))
		if got["id"] != want {
			t.Errorf("%s: %q (%v), expected %q", address, got["id"], err, want)
		}
	}
}

// The same question has the same answer, whatever the order in which maps are read.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	var ids []string
	for range 30 {
		ids = append(ids, "{type: T, hostname: h, path: 'a?c'}", "{type: T, hostname: h, path: '?bc'}", "{type: T, hostname: h, path: 'ab?'}")
	}
	for range 20 {
		gets(t, consumers(t, ids[:3]...), "T hostname=h path=abc", "1")
	}
	gets(t, consumers(t, "{type: T, hostname: h, pathprefix: a}", "{type: T, hostname: h, pathprefix: a/b}"), "T hostname=h path=a/b/c", "2")
	gets(t, consumers(t, "{type: T, hostname: h, pathprefix: a/b}", "{type: T, hostname: h, pathprefix: a}"), "T hostname=h path=a/b/c", "1")
}

func TestTypedCredentials(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ocm.Secret{
		"{type: OCICredentials/v1, username: u, password: p, accessToken: a, refreshToken: r}":                                           {"username": "u", "password": "p", "accessToken": "a", "refreshToken": "r"},
		"{type: Credentials/v1, properties: {identityToken: i}}":                                                                         {"identityToken": "i"},
		"{type: HelmHTTPCredentials/v1, username: u, password: p, certFile: c, keyFile: k, keyring: r}":                                  {"username": "u", "password": "p", "certFile": "c", "keyFile": "k", "keyring": "r"},
		"{type: WgetCredentials/v1, username: u, password: p, identityToken: i, certificate: c, privateKey: k, certificateAuthority: a}": {"username": "u", "password": "p", "identityToken": "i", "certificate": "c", "privateKey": "k", "certificateAuthority": "a"},
		"{type: GitHubCredentials/v1, token: t}":                                                                                         {"token": "t"},
		"{type: S3Credentials/v1, accessKeyId: a, secretAccessKey: s, sessionToken: t}":                                                  {"accessKeyId": "a", "secretAccessKey": "s", "sessionToken": "t"},
		"{type: RSACredentials/v1, privateKeyPEM: p, publicKeyPEMFile: f}":                                                               {"privateKeyPEM": "p", "publicKeyPEMFile": "f"},
		"{type: GPGCredentials/v1alpha1, privateKeyPGPFile: p, passphrase: x}":                                                           {"privateKeyPGPFile": "p", "passphrase": "x"},
		"{type: OIDCIdentityToken/v1alpha1, tokenFile: t}":                                                                               {"tokenFile": "t"},
		"{type: TrustedRoot/v1alpha1, trustedRootJSON: j}":                                                                               {"trustedRootJSON": "j"},
		"{type: DirectCredentials/v1, properties: {any: thing}}":                                                                         {"any": "thing"},
		"{type: Credentials, properties: {a: '1', b: '1'}}, {type: Credentials, properties: {b: '2'}}":                                   {"a": "1", "b": "2"},
		"{type: Credentials, properties: {a: '1'}}, {type: GitHubCredentials, token: t}":                                                 {"token": "t"},
		"{type: GitHubCredentials, token: t}, {type: Credentials, properties: {a: '1'}}":                                                 {"token": "t", "a": "1"},
	} {
		c := of(t, "consumers: [{identity: {type: X}, credentials: ["+text+"]}]")
		if got, err := c.Resolve(t.Context(), ocm.Identity{"type": "X"}); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	// Where there are older names of properties, the newer ones are there, too.
	c := of(t, "consumers: [{identity: {type: S3}, credentials: [{type: Credentials, properties: {awsAccessKeyID: a, awsSecretAccessKey: s, token: t}}]}]")
	got, err := c.Resolve(t.Context(), ocm.Identity{"type": "S3Bucket"})
	if err != nil || got["accessKeyId"] != "a" || got["secretAccessKey"] != "s" || got["sessionToken"] != "t" {
		t.Errorf("S3: %v %v", got, err)
	}
	var log bytes.Buffer
	if _, err := New([]ocm.Spec{spec(t, "consumers: [{identity: {type: X}, credentials: [{type: OCICredentials, usernam: hunter2, password: p}]}]")},
		Options{Log: slog.New(slog.NewTextHandler(&log, nil))}); err != nil || !strings.Contains(log.String(), "similar=username") || strings.Contains(log.String(), "hunter2") {
		t.Errorf("misspelt: %v %s", err, &log)
	}
}

// The usual files of Docker and Podman, in their order.
func TestUsualFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := map[string]string{"XDG_RUNTIME_DIR": dir + "/run", "XDG_CONFIG_HOME": "", "DOCKER_CONFIG": "", "REGISTRY_AUTH_FILE": dir + "/named.json"}
	files := []string{"named.json", ".docker/config.json", "run/containers/auth.json", ".config/containers/auth.json"}
	for _, f := range files {
		write(t, filepath.Join(dir, f), `{"auths":{"h":{"username":"`+f+`","password":"p"},"h/team":{"username":"team of `+f+`","password":"p"}}}`, 0o600)
	}
	for _, f := range files {
		c, err := New(nil, Options{Home: dir, Getenv: func(k string) string { return env[k] }})
		if err != nil {
			t.Fatal(err)
		}
		for request, want := range map[string]string{"OCIRegistry hostname=h": f, "OCIRegistry hostname=h path=team/app": "team of " + f} {
			if got, err := c.Resolve(t.Context(), identity(request)); err != nil || got["username"] != want {
				t.Errorf("%s: %v %v, expected that of %s", request, got, err, f)
			}
		}
		if err := os.Remove(filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	env["DOCKER_CONFIG"], env["XDG_CONFIG_HOME"] = dir+"/d", dir+"/c"
	write(t, dir+"/c/containers/auth.json", `{"auths":{"h":{"username":"c","password":"p"}}}`, 0o600)
	c, err := New(nil, Options{Home: dir, Getenv: func(k string) string { return env[k] }})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Resolve(t.Context(), identity("OCIRegistry hostname=h")); err != nil || got["username"] != "c" {
		t.Errorf("XDG_CONFIG_HOME: %v %v", got, err)
	}
}

// A repository with the switch off is there for those who name it.
func TestPropagateConsumerIdentity(t *testing.T) {
	t.Parallel()
	const file = "dockerConfig: {auths: {h: {username: u, password: p}}}"
	for propagate, want := range map[string]bool{"": true, ", propagateConsumerIdentity: true": true, ", propagateConsumerIdentity: false": false} {
		c := of(t, "repositories: [{repository: {type: DockerConfig/v1, "+file+propagate+"}}]\nconsumers: [{identity: {type: Named}, credentials: [{type: DockerConfig/v1, "+file+propagate+", credentialsName: 'https://h/v2/'}]}]")
		if _, err := c.Resolve(t.Context(), identity("OCIRegistry hostname=h")); (err == nil) != want {
			t.Errorf("%q: %v", propagate, err)
		}
		if got, err := c.Resolve(t.Context(), identity("Named")); err != nil || got["username"] != "u" {
			t.Errorf("%q: by name: %v %v", propagate, got, err)
		}
	}
}
