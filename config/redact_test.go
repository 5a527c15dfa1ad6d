// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"ocm"
)

// everything is a configuration of all types, with secrets that begin with "hush" wherever one can be.
const everything = `
type: generic.config.ocm.software/v1
configurations:
- type: credentials.config.ocm.software
  consumers:
  - identity: {type: OCIRegistry, hostname: shown.example.org, port: 5000, path: shown/*}
    identities: [{type: Wget, hostname: other.example.org}]
    credentials:
    - type: Credentials/v1
      properties: {username: hush-user, password: hush-password, nested: {deep: hush-deep}, list: [hush-list]}
    - {type: OCICredentials/v1, accessToken: hush-token, privateKeyPEMFile: hush/file, number: 4711}
    - {type: SomePlugin/v1, address: hush-plugin}
    - hush-text
    note: hush-note
  - {identity: {type: RSA/v1alpha1, url: "https://me:hush-me@shown.example.org/x?sig=hush-sig"}, credentials: {type: hush-no-list}}
  repositories:
  - repository: {type: DockerConfig/v1, dockerConfigFile: ~/.docker/shown.json, propagateConsumerIdentity: true}
  - repository: {type: DockerConfig/v1, dockerConfig: '{"auths":{"ghcr.io":{"auth":"hush-auth"}}}'}
  - repository: {type: DockerConfig/v1, dockerConfig: {auths: {ghcr.io: {auth: hush-object}}}}
  - repository: {type: HashiCorpVault/v1, serverURL: "https://hush-in-url:hush@shown.example.org:8200", path: shown/path, token: hush-vault}
  - hush-repository
  other: hush-other
- type: credentials.config.ocm.software/v1
  consumers: hush-consumers
- type: memory.credentials.config.ocm.software
  repoName: default
  credentials: [{credentialsName: mine, credentials: {password: hush-memory}}]
- type: keys.config.ocm.software/v1
  privateKeys:
    release: {stringdata: hush-key}
    b64: {data: aHVzaA==, path: hush.but.shown}
    bare: hush-bare-key
  publicKeys: {release: {path: shown.pub}}
  rootCertificates: [{stringdata: hush-root}]
  issuers: {release: CN=shown}
  more: hush-more
- type: http.config.ocm.software/v1alpha1
  timeout: 30s
  proxy: http://me:hush-proxy@shown.example.org:3128
  hosts: {shown.example.org: {timeout: 5s, authorization: hush-header, keyFile: shown.key}}
- type: resolvers.config.ocm.software/v1alpha1
  resolvers:
  - repository: {type: OCIRepository/v1, baseUrl: "me:hush-base@shown.example.org", password: hush-inline}
    componentNamePattern: shown.org/*
- type: ocm.config.ocm.software
  aliases: {mine: {type: OCIRegistry, baseUrl: "https://hush-token-in-url@shown.example.org"}}
  resolvers: [{prefix: shown.org, repository: {type: OCIRegistry, baseUrl: "http://shown.example.org:5000"}}]
- type: signing.config.ocm.software/v1alpha1
  signer: {type: RSASigningConfiguration/v1alpha1, key: "-----BEGIN RSA PRIVATE KEY-----\nhush-pem\n"}
  verifier: {type: X/v1, publicKeyPEM: shown, note: "-----BEGIN EC PRIVATE KEY-----\nhush-note\n"}
- {type: filesystem.config.ocm.software/v1alpha1, tempFolder: /shown/tmp}
- {type: transfer.config.ocm.software/v1alpha1, recursive: -1, copyMode: allResources}
- {type: plugin.config.ocm.software/v2alpha1, locations: [/shown/plugins], config: {apiKey: hush-api, api-key: hush-api-2}}
- {type: attributes.config.ocm.software, attributes: {x: hush-attribute, n: 4711}}
- type: generic.config.ocm.software
  configurations:
  - {type: unknown.example.org/v7, value: hush-unknown}
`

func effectiveText(t testing.TB, text string, secrets bool) string {
	t.Helper()
	c, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Effective(Filesystem{TempFolder: "/shown/effective"}, secrets)
	if err != nil {
		t.Fatal(err)
	}
	return string(s.Raw)
}

// TestNoSecretIsShown is for the advisories about secrets in output: Flux CVE-2024-31216, zot CVE-2025-48374,
// grype CVE-2025-65965, syft CVE-2023-24827.
func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	text := effectiveText(t, everything, false)
	clean := strings.NewReplacer("hush.but.shown", "").Replace(text)
	for _, secret := range []string{"hush", base64.StdEncoding.EncodeToString([]byte("hush")), "4711"} {
		if i := strings.Index(clean, secret); i >= 0 {
			t.Errorf("a secret is shown: …%s…", clean[max(0, i-60):min(len(clean), i+40)])
		}
	}
	for _, shown := range []string{
		"shown.example.org", "shown/*", "other.example.org", `"username":"***"`, "~/.docker/shown.json", "https://***@shown.example.org:8200", "shown/path", "hush.but.shown", "shown.pub", "CN=shown",
		"30s", "http://***@shown.example.org:3128", "shown.key", "***@shown.example.org", "shown.org/*", "http://shown.example.org:5000", "RSASigningConfiguration/v1alpha1", `"publicKeyPEM":"shown"`,
		"/shown/effective", "allResources", "/shown/plugins", "unknown.example.org/v7", `"credentialsName":"***"`, "OCICredentials/v1",
	} {
		if !strings.Contains(text, shown) {
			t.Errorf("%s is not shown", shown)
		}
	}
	if strings.Contains(text, "/shown/tmp") || strings.Contains(text, `"identity":`) || !strings.HasPrefix(text, `{"type":"generic.config.ocm.software/v1","configurations":[{"type":"filesystem`) {
		t.Errorf("found %s", text)
	}
}

// Secrets under names that people write, in entries whose other members are shown; passwords of digits alone.
func TestSecretsByUnusualNames(t *testing.T) {
	t.Parallel()
	text := effectiveText(t, `{type: ocm.config.ocm.software, aliases: {x: {type: CTF, filePath: /shown/x, pass: hush, pwd: hush, PAT: hush, session_key: hush, signing-key: hush,
		a: 'user:4711@shown.example/a', b: 'user:4711@shown.example:5000', c: 'shown:1@sha256:00', publicKey: shown.key, objectKey: shown/key}}}`, false)
	if strings.Contains(text, "hush") || strings.Contains(text, "4711") {
		t.Errorf("a secret is shown: %s", text)
	}
	for _, shown := range []string{"/shown/x", "***@shown.example/a", "***@shown.example:5000", "shown:1@sha256:00", "shown.key", "shown/key"} {
		if !strings.Contains(text, shown) {
			t.Errorf("%s is not shown: %s", shown, text)
		}
	}
}

func TestSecretsAreShownOnRequest(t *testing.T) {
	t.Parallel()
	text := effectiveText(t, everything, true)
	if n := strings.Count(everything, "hush"); strings.Count(text, "hush") != n || strings.Contains(text, Hidden) {
		t.Errorf("%d of %d: %s", strings.Count(text, "hush"), n, text)
	}
}

// TestRedactionOfEachType: none of the types that are described is shown unread, whatever stands in it.
func TestRedactionOfEachType(t *testing.T) {
	t.Parallel()
	for _, typ := range Types() {
		if Is(typ.Names[0], GenericType) {
			continue
		}
		text := effectiveText(t, fmt.Sprintf("{type: %s, password: hush, deep: [{token: hush}]}", typ.Names[0]), false)
		if strings.Contains(text, "hush") {
			t.Errorf("%s", text)
		}
	}
}

func FuzzEffective(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte("{type: credentials.config.ocm.software, consumers: [{identity: null, identities: {}}, 1, null]}"))
	f.Add([]byte("{type: keys.config.ocm.software, privateKeys: [[[{data: hush}]]]}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		if s, err := c.Effective(Filesystem{}, false); err == nil && !s.Raw.IsValid() {
			t.Fatalf("no JSON: %s", s.Raw)
		}
		// Whatever it is, below credentials nothing of it is shown but types and names of members.
		quoted, err := ocm.NewSpec(map[string]any{"type": "x", "text": "hush-hush " + strings.ToValidUTF8(string(text), "")})
		if err != nil {
			return
		}
		for _, wrapped := range []string{
			`{"type":"credentials.config.ocm.software","consumers":[{"identity":{"type":"x"},"credentials":[{"type":"Credentials/v1","properties":%s}]}]}`,
			`{"type":"memory.credentials.config.ocm.software","x":%s}`, `{"type":"keys.config.ocm.software","privateKeys":{"x":{"data":%s}}}`,
		} {
			c, err := Parse(bytes.ReplaceAll([]byte(wrapped), []byte("%s"), quoted.Raw))
			if err != nil {
				continue
			}
			if s, err := c.Effective(Filesystem{}, false); err != nil || strings.Contains(string(s.Raw), "hush-hush") {
				t.Fatalf("%v %s", err, s.Raw)
			}
		}
	})
}
