// SPDX-License-Identifier: Apache-2.0

package session

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/builtin"
	"ocm/config"
)

const (
	credentialsOf = `{"type":"credentials.config.ocm.software","consumers":[{"identity":{"type":"X","hostname":"h"},"credentials":[%]}]}`
	keptIn        = `{"type":"credentials.config.ocm.software","repositories":[{"repository":%}]}`
	httpOf        = `{"type":"http.config.ocm.software/v1alpha1",%}`
	vaultOf       = `{"type":"credentials.config.ocm.software","repositories":[{"repository":{"type":"HashiCorpVault/v1alpha1","serverURL":"https://vault.example.org","path":"team"},"credentials":[{"type":"Credentials","properties":{%}}]}]}`
)

// The list of all ways by which a configuration of a tenant may name what belongs to the process: its programs, as in that advisory, its
// files, its variables, its service account.
func TestCVE_2021_41254_NothingOfTheProcess(t *testing.T) {
	t.Parallel()
	in := func(frame, what string) string { return strings.Replace(frame, "%", what, 1) }
	property := func(typ, name string) string {
		return in(credentialsOf, `{"type":"`+typ+`","`+name+`":"/etc/passwd"}`)
	}
	direct := func(name string) string {
		return in(credentialsOf, `{"type":"Credentials/v1","properties":{"`+name+`":"/etc/passwd"}}`)
	}
	for name, c := range map[string]struct{ config, text string }{
		"temporary folder":            {`{"type":"filesystem.config.ocm.software","tempFolder":"/tmp"}`, "tempFolder"},
		"working folder":              {`{"type":"filesystem.config.ocm.software/v1alpha1","workingDirectory":"/"}`, "workingDirectory"},
		"plugins":                     {`{"type":"plugin.config.ocm.software/v2alpha1","locations":["/plugins"]}`, "locations"},
		"grants of plugins":           {`{"type":"plugin.config.ocm.software/v2alpha1","plugins":{"x":{"environment":["KUBECONFIG"]}}}`, "plugins"},
		"authorities":                 {in(httpOf, `"caFiles":["/ca.pem"]`), "caFiles"},
		"authorities of a host":       {in(httpOf, `"hosts":{"h":{"caFiles":["/ca.pem"]}}`), "hosts: h: caFiles"},
		"client certificate":          {in(httpOf, `"certificateFile":"/c.pem","keyFile":"/k.pem"`), "certificateFile"},
		"client certificate of one":   {in(httpOf, `"hosts":{"h":{"certificateFile":"/c.pem","keyFile":"/k.pem"}}`), "hosts: h: certificateFile"},
		"proxy":                       {in(httpOf, `"proxy":"http://169.254.169.254"`), "proxy"},
		"no proxy":                    {in(httpOf, `"proxy":"none"`), "proxy"},
		"proxy of a host":             {in(httpOf, `"hosts":{"h":{"proxy":"http://p:1"}}`), "hosts: h: proxy"},
		"older authorities":           {`{"type":"rootcerts.config.ocm.software","rootCertificates":[{"path":"/ca.pem"}]}`, "path"},
		"older public key":            {`{"type":"keys.config.ocm.software","publicKeys":{"a":{"path":"/k"}}}`, "publicKeys: a: path"},
		"older private key":           {`{"type":"keys.config.ocm.software","privateKeys":{"a":{"path":"/k"}}}`, "privateKeys: a: path"},
		"older root":                  {`{"type":"keys.config.ocm.software","rootCertificates":[{"path":"/k"}]}`, "rootCertificates[0]: path"},
		"Docker file":                 {in(keptIn, `{"type":"DockerConfig/v1","dockerConfigFile":"/config.json"}`), "dockerConfigFile"},
		"Docker file of the user":     {in(keptIn, `{"type":"DockerConfig/v1"}`), "dockerConfigFile"},
		"Docker file by name":         {in(credentialsOf, `{"type":"DockerConfig/v1","dockerConfigFile":"/x","credentialsName":"ghcr.io"}`), "dockerConfigFile"},
		"Docker helper":               {in(keptIn, `{"type":"DockerConfig/v1","dockerConfig":{"credHelpers":{"ghcr.io":"x"}}}`), "credHelpers"},
		"Docker helper in other case": {in(keptIn, `{"type":"DockerConfig","dockerConfig":"{\"CREDHELPERS\":{\"ghcr.io\":\"x\"}}"}`), "credHelpers"},
		"Docker store":                {in(keptIn, `{"type":"DockerConfig/v1","dockerConfig":{"credsStore":"desktop"}}`), "credsStore"},
		"mounted secret":              {in(keptIn, `{"type":"KubernetesSecret/v1","path":"/secret"}`), "KubernetesSecret"},
		"npm":                         {in(keptIn, `{"type":"NPMConfig/v1","npmrcFile":"/npmrc"}`), "NPMConfig"},
		"npm of the user":             {in(keptIn, `{"type":"NPMConfig"}`), "NPMConfig"},
		"npm by name":                 {in(credentialsOf, `{"type":"NPMConfig/v1","credentialsName":"h"}`), "NPMConfig"},
		"variables":                   {in(keptIn, `{"type":"Environment/v1","consumers":[{"identity":{"type":"OCIRegistry","hostname":"h"},"properties":{"username":"HOME"}}]}`), "Environment"},
		"key file":                    {property("RSACredentials/v1", "publicKeyPEMFile"), "publicKeyPEMFile"},
		"older key file":              {property("RSACredentials/v1", "private_key_pem_file"), "private_key_pem_file"},
		"authority file":              {direct("caCertPEMFile"), "caCertPEMFile"},
		"time stamp authority file":   {direct("tsaCertPEMFile"), "tsaCertPEMFile"},
		"OpenPGP key file":            {property("GPGCredentials", "privateKeyPGPFile"), "privateKeyPGPFile"},
		"trusted root file":           {property("TrustedRoot", "trustedRootJSONFile"), "trustedRootJSONFile"},
		"token file":                  {property("OIDCIdentityToken", "tokenFile"), "tokenFile"},
		"certificate file":            {property("HelmHTTPCredentials", "certFile"), "certFile"},
		"client key file":             {direct("keyFile"), "keyFile"},
		"server authority file":       {direct("caFile"), "caFile"},
		"set in memory":               {`{"type":"memory.credentials.config.ocm.software","repoName":"r","credentials":[{"credentialsName":"c","credentials":{"caFile":"/x"}}]}`, "caFile"},
		"vault with token file":       {in(vaultOf, `"tokenFile":"/var/run/secrets/kubernetes.io/serviceaccount/token"`), "tokenFile"},
		"vault with service account":  {in(vaultOf, `"authmeth":"kubernetes","role":"r"`), "service account"},
		"vault, by its role":          {in(vaultOf, `"role":"r"`), "service account"},
		"vault with a consumer": {`{"type":"credentials.config.ocm.software","repositories":[{"repository":{"type":"HashiCorpVault/v1alpha1","serverURL":"https://vault.example.org"}}],
			"consumers":[{"identity":{"type":"HashiCorpVault","hostname":"vault.example.org"},"credentials":[{"type":"Credentials","properties":{"role":"r"}}]}]}`, "service account"},
		"vault that is the cloud": {in(keptIn, `{"type":"HashiCorpVault/v1alpha1","serverURL":"http://169.254.169.254"}`), "serverURL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, text := range []string{c.config, `{"type":"generic.config.ocm.software/v1","configurations":[` + c.config + `]}`} {
				parsed, err := config.Parse([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				if err := Check(parsed); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), c.text) {
					t.Errorf("expected it to be refused because of %q, found %v", c.text, err)
				}
			}
		})
	}
}

func TestConfinedAllows(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing":       `{"type":"generic.config.ocm.software/v1"}`,
		"texts":         strings.Replace(credentialsOf, "%", `{"type":"Credentials/v1","properties":{"username":"u","password":"p","certificateAuthority":"x"}}`, 1),
		"Docker":        strings.Replace(keptIn, "%", `{"type":"DockerConfig/v1","dockerConfig":{"auths":{"ghcr.io":{"auth":"dTpw"}},"credsStore":"","credHelpers":{}}}`, 1),
		"vault":         strings.Replace(vaultOf, "%", `"token":"t"`, 1),
		"vault and jwt": strings.Replace(vaultOf, "%", `"authmeth":"kubernetes","role":"r","jwt":"x"`, 1),
		"http":          strings.Replace(httpOf, "%", `"timeout":"3s","hosts":{"h":{"insecureSkipVerify":true}}`, 1),
		"authorities":   `{"type":"rootcerts.config.ocm.software","rootCertificates":[{"stringdata":"x"}]}`,
		"other entries": `{"type":"logging.config.ocm.software"}`,
	} {
		parsed, err := config.Parse([]byte(text))
		if err == nil {
			err = Check(parsed)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestConfinedUsesNoFilesOfTheUser: what "docker login" wrote for the user of the process is for nobody else.
func TestConfinedUsesNoFilesOfTheUser(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "config.json"), []byte(`{"auths":{"ghcr.io":{"auth":"`+base64.StdEncoding.EncodeToString([]byte("u:p"))+`"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", home)
	id := ocm.Identity{"type": "OCIRegistry", "hostname": "ghcr.io"}
	for _, confined := range []bool{false, true} {
		s, err := New(Options{Kit: builtin.Kit(), Env: &ocm.Env{}, Confined: confined})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Env.Resolve(t.Context(), id); errors.Is(err, ocm.ErrNotFound) != confined {
			t.Errorf("confined %v: %v", confined, err)
		}
		if s.Env.Confined != confined {
			t.Error("the environment does not say so")
		}
	}
}

// TestConfinedSecretsOfAVault: a vault of a tenant answers with names of files, too.
func TestConfinedSecretsOfAVault(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"data": map[string]string{"caFile": "/etc/passwd", "username": "u"}, "metadata": map[string]any{}}})
	}))
	defer server.Close()
	text := `{"type":"credentials.config.ocm.software","consumers":[{"identity":{"type":"OCIRegistry","hostname":"h"},
		"credentials":[{"type":"HashiCorpVault/v1alpha1","serverURL":"` + server.URL + `","path":"team","credentialsName":"x"}]},
		{"identity":{"type":"HashiCorpVault","hostname":"127.0.0.1","scheme":"http","port":"` + server.URL[strings.LastIndexByte(server.URL, ':')+1:] + `"},
		"credentials":[{"type":"Credentials","properties":{"token":"t"}}]}]}`
	parsed, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, confined := range []bool{false, true} {
		s, err := New(Options{Env: &ocm.Env{}, Config: parsed, Confined: confined})
		if err != nil {
			t.Fatal(err)
		}
		secret, err := s.Env.Resolve(t.Context(), ocm.Identity{"type": "OCIRegistry", "hostname": "h"})
		if confined && (!errors.Is(err, ocm.ErrInvalid) || secret != nil) || !confined && (err != nil || secret["caFile"] == "") {
			t.Errorf("confined %v: %v", confined, err)
		}
	}
}
