// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"ocm"
)

const pullSecret = `
apiVersion: v1
kind: ConfigMap
data: {x: y}
---
apiVersion: v1
kind: Secret
type: kubernetes.io/dockerconfigjson
data:
  .dockerconfigjson: BASE64
---
apiVersion: v1
kind: List
items:
- kind: Secret
  type: kubernetes.io/dockercfg
  stringData: {.dockercfg: '{"older.io":{"auth":"YTpi"}}'}
- kind: Secret
  type: Opaque
  stringData: {.dockerconfigjson: '{"auths":{"opaque.io":{"auth":"YTpi"}}}'}
`

func manifest(config string) string {
	return strings.ReplaceAll(pullSecret, "BASE64", base64.StdEncoding.EncodeToString([]byte(config)))
}

func TestKubernetesSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const inner = `{"auths":{"new.io":{"auth":"YTpi"}}}`
	write(t, dir+"/pull.yaml", manifest(inner), 0o600)
	write(t, dir+"/pull.json", `{"kind":"Secret","type":"kubernetes.io/dockerconfigjson","stringData":{".dockerconfigjson":"{\"auths\":{\"new.io\":{\"auth\":\"YTpi\"}}}"}}`, 0o600)
	write(t, dir+"/mounted/.dockerconfigjson", inner, 0o600)
	write(t, dir+"/older/.dockercfg", `{"older.io":{"auth":"YTpi"}}`, 0o600)
	for path, hosts := range map[string]string{
		"pull.yaml": "new.io older.io", "pull.json": "new.io", "mounted": "new.io", "mounted/.dockerconfigjson": "new.io", "older": "older.io",
	} {
		c := of(t, "repositories: [{repository: {type: KubernetesSecret/v1, path: '"+dir+"/"+path+"'}}]")
		var found []string
		for _, host := range []string{"new.io", "older.io", "opaque.io"} {
			got, err := c.Resolve(t.Context(), ocm.Identity{"type": "OCIRegistry", "hostname": host})
			if err == nil && maps.Equal(got, ocm.Secret{"username": "a", "password": "b"}) {
				found = append(found, host)
			} else if !errors.Is(err, ocm.ErrNotFound) {
				t.Errorf("%s: %s: %v", path, host, err)
			}
		}
		if got := strings.Join(found, " "); got != hosts {
			t.Errorf("%s: found %q, expected %q", path, got, hosts)
		}
	}
	for name, tc := range map[string]struct {
		text string
		kind error
	}{
		"no-yaml":     {"hunter2: [", ocm.ErrInvalid},
		"no-secret":   {"kind: ConfigMap", ocm.ErrInvalid},
		"no-base64":   {"kind: Secret\ntype: kubernetes.io/dockerconfigjson\ndata: {.dockerconfigjson: hunter2!}", ocm.ErrInvalid},
		"not-there":   {"kind: Secret\ntype: kubernetes.io/dockerconfigjson\ndata: {}", ocm.ErrInvalid},
		"shape":       {"kind: Secret\ntype: kubernetes.io/dockerconfigjson\ndata: [hunter2]", ocm.ErrInvalid},
		"broken":      {manifest(`{"auths":hunter2`), ocm.ErrInvalid},
		"large":       {strings.Repeat("#", MaxDockerConfigSize+1), ocm.ErrLimit},
		"many":        {strings.Repeat("---\nkind: Secret\ntype: kubernetes.io/dockercfg\nstringData: {.dockercfg: '{}'}\n", MaxSecrets+1), ocm.ErrLimit},
		"empty/x":     {"", fs.ErrNotExist},
		"two-members": {manifest(`{"auths":{"hunter2":{}},"auths":{}}`), ocm.ErrInvalid},
	} {
		path := filepath.Join(dir, "bad", name)
		write(t, path, tc.text, 0o600)
		if tc.kind == fs.ErrNotExist { //nolint:errorlint // a mark, not an error
			path += "y"
		}
		_, err := New([]ocm.Spec{spec(t, "repositories: [{repository: {type: KubernetesSecret, path: '"+path+"'}}]")}, Options{})
		if !errors.Is(err, tc.kind) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New([]ocm.Spec{spec(t, "repositories: [{repository: {type: KubernetesSecret, path: '"+dir+"'}}]")}, Options{}); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("a folder without: %v", err)
	}
}

// A secret from elsewhere must not choose which program is run here.
func TestCredentialHelperInjection_secret_names_no_program(t *testing.T) {
	bin := t.TempDir()
	writeProgram(t, bin+"/docker-credential-planted", "#!/bin/sh\ntouch "+bin+"/ran\necho '{\"Username\":\"u\",\"Secret\":\"s\"}'\n")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	write(t, bin+"/pull.yaml", manifest(`{"credsStore":"planted","credHelpers":{"x.io":"planted"}}`), 0o600)
	c := of(t, "repositories: [{repository: {type: KubernetesSecret, path: '"+bin+"/pull.yaml'}}]")
	for _, host := range []string{"x.io", "y.io"} {
		if _, err := c.Resolve(t.Context(), ocm.Identity{"type": "OCIRegistry", "hostname": host}); !errors.Is(err, ocm.ErrDenied) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := os.Stat(bin + "/ran"); err == nil {
		t.Error("the program was run")
	}
	own := of(t, "repositories: [{repository: {type: DockerConfig, dockerConfig: {credsStore: planted}}}]")
	if _, err := own.Resolve(t.Context(), identity("OCIRegistry hostname=x.io")); err != nil {
		t.Errorf("the same in a configuration of one's own: %v", err)
	}
}

// Names and servers that would be more than a name and a server.
func TestCredentialHelperInjection(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "../x", "/bin/sh", "a b", "a;b", "a\x00b", "$(x)", `a\b`, strings.Repeat("a", maxHelper+1), "ä"} {
		if _, err := runHelper(t.Context(), name, "get", "h", "h"); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	// CVE-2020-5260 of git and its relatives: a line break in the server's name asks a second question.
	for _, server := range []string{"good.io\nevil.io", "good.io\revil.io", "good.io\x00"} {
		c := of(t, "repositories: [{repository: {type: DockerConfig, dockerConfig: {credsStore: 'true'}}}]")
		if _, err := c.Resolve(t.Context(), ocm.Identity{"type": "OCIRegistry", "hostname": server}); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%q: %v", server, err)
		}
	}
}

// What a helper prints is bounded, and is asked for once.
func TestHelperOutput(t *testing.T) {
	bin := t.TempDir()
	writeProgram(t, bin+"/docker-credential-endless", "#!/bin/sh\nexec yes hunter2\n")
	writeProgram(t, bin+"/docker-credential-background", "#!/bin/sh\nsleep 1000 &\necho $! > "+bin+"/pid\necho '{\"Username\":\"u\",\"Secret\":\"s\"}'\n")
	writeProgram(t, bin+"/docker-credential-counting", "#!/bin/sh\necho >> "+bin+"/count\necho '{\"Username\":\"u\",\"Secret\":\"s\"}'\n")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	resolve := func(helper string) error {
		c := of(t, "repositories: [{repository: {type: DockerConfig, dockerConfig: {credsStore: "+helper+"}}}]")
		_, err := c.Resolve(t.Context(), identity("OCIRegistry hostname=h"))
		if err == nil {
			_, err = c.Resolve(t.Context(), identity("OCIRegistry hostname=h"))
		}
		return err
	}
	if err := resolve("endless"); !errors.Is(err, ocm.ErrLimit) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("endless: %v", err)
	}
	if err := resolve("counting"); err != nil {
		t.Errorf("counting: %v", err)
	}
	if raw, err := os.ReadFile(bin + "/count"); err != nil || len(raw) != 1 {
		t.Errorf("asked %d times (%v), expected once", len(raw), err)
	}
	if err := resolve("background"); err != nil {
		t.Errorf("a helper that leaves an agent behind: %v", err)
	}
	if raw, err := os.ReadFile(bin + "/pid"); err == nil {
		var pid int
		if json.Unmarshal(raw, &pid) == nil {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	env := map[string]string{"USER_NAME": "u", "PASS": "hunter2", "TOKEN": "t"}
	c, err := New([]ocm.Spec{spec(t, `
repositories:
- repository:
    type: Environment/v1
    consumers:
    - {identity: {type: OCIRegistry, hostname: h}, properties: {username: USER_NAME, password: PASS}}
    - {identities: [{type: OCIRegistry, hostname: h, path: a/*}, {type: Github, hostname: g}], properties: {accessToken: TOKEN}}
    - {identity: {type: A}, properties: {x: PASS, y: MISSING}}
    - {identity: {type: B}, properties: {x: MISSING}}
`)}, Options{Getenv: func(k string) string { return env[k] }})
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]ocm.Secret{
		"OCIRegistry hostname=h":          {"username": "u", "password": "hunter2"},
		"OCIRegistry hostname=h path=a/b": {"accessToken": "t"},
		"GitHubRepository hostname=g":     {"accessToken": "t"},
		"B":                               nil,
		"C":                               nil,
	} {
		got, err := c.Resolve(t.Context(), identity(request))
		if !maps.Equal(got, want) || (want == nil) != errors.Is(err, ocm.ErrNotFound) {
			t.Errorf("%s: %v %v", request, got, err)
		}
	}
	if _, err := c.Resolve(t.Context(), identity("A")); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "MISSING") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("some are missing: %v", err)
	}
	for _, text := range []string{"", "consumers: []", "consumers: [{properties: {a: B}}]", "consumers: [{identity: {type: A}}]", "consumers: [{identity: {type: A}, properties: {a: 'hunter2!'}}]", "consumers: [{identity: {type: A}, properties: {a: 1B}}]"} {
		if _, err := New([]ocm.Spec{spec(t, "repositories: [{repository: {type: Environment, "+text+"}}]")}, Options{}); !errors.Is(err, ocm.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := New([]ocm.Spec{spec(t, "consumers: [{identity: {type: A}, credentials: [{type: Environment, credentialsName: x, consumers: [{identity: {type: A}, properties: {a: B}}]}]}]")}, Options{}); err != nil {
		t.Errorf("by name: %v", err)
	}
}

func TestLoginFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := dir + "/real.json"
	write(t, file, `{"unknown":{"z":1,"a":[2]},"auths":{"https://H.io/v1/":{"auth":"YTpi"},"h.io/team":{"auth":"YTpi"},"other.io":{"auth":"YTpi","email":"e"}}}`, 0o644)
	link := dir + "/link.json"
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	secret := ocm.Secret{"username": "u", "password": "p:q"}
	for _, server := range []string{"h.io", "h.io:443", "docker.io", "[::1]:5000"} {
		if where, err := Login(t.Context(), link, server, secret); err != nil || where != link {
			t.Fatal(server, where, err)
		}
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	auths := got["auths"].(map[string]any) //nolint:errcheck // the test ends here if not
	for _, key := range []string{"h.io:443", "h.io/team", "other.io", "https://index.docker.io/v1/", "[::1]:5000"} {
		if auths[key] == nil {
			t.Errorf("%s is not there: %s", key, raw)
		}
	}
	if len(auths) != 5 || !strings.Contains(string(raw), `"email": "e"`) || !strings.Contains(string(raw), `"unknown"`) {
		t.Errorf("unexpected:\n%s", raw)
	}
	c := of(t, "repositories: [{repository: {type: DockerConfig, dockerConfigFile: '"+link+"'}}]")
	for _, request := range []string{"OCIRegistry hostname=h.io", "OCIRegistry hostname=docker.io", "OCIRegistry hostname=::1 port=5000"} {
		if got, err := c.Resolve(t.Context(), identity(request)); err != nil || !maps.Equal(got, secret) {
			t.Errorf("%s: %v %v", request, got, err)
		}
	}
	for _, server := range []string{"h.io", "index.docker.io", "[::1]:5000"} {
		if _, err := Logout(t.Context(), link, server); err != nil {
			t.Errorf("%s: %v", server, err)
		}
		if _, err := Logout(t.Context(), link, server); !errors.Is(err, ocm.ErrNotFound) {
			t.Errorf("%s again: %v", server, err)
		}
	}
	if left, err := filepath.Glob(dir + "/.config-*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	write(t, dir+"/broken.json", `{"auths":hunter2`, 0o600)
	if _, err := Login(t.Context(), dir+"/broken.json", "h.io", secret); !errors.Is(err, ocm.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("broken: %v", err)
	}
	for _, s := range []ocm.Secret{{}, {"username": "u"}, {"username": "a:b", "password": "p"}} {
		if _, err := Login(t.Context(), file, "h.io", s); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%d properties: %v", len(s), err)
		}
	}
}

// Of logins at the same time all count, also of logouts in between; each leaves a file that is whole.
func TestLoginAtTheSameTime(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/new/config.json"
	const n = 16
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			server := fmt.Sprintf("h%d.example", i)
			if _, err := Login(t.Context(), file, server, ocm.Secret{"username": "u", "password": "p"}); err != nil {
				t.Error(err)
			}
			if i%4 == 0 {
				if _, err := Logout(t.Context(), file, server); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	text, err := readBounded(file)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := parseDocker(text)
	if want := n - n/4; err != nil || len(conf.Auths) != want {
		t.Errorf("expected %d entries, found %d: %v", want, len(conf.Auths), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f, err := openDockerFile(ctx, file, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.unlock()
	cancel()
	if _, err := Login(ctx, file, "h.example", ocm.Secret{"username": "u", "password": "p"}); runtime.GOOS != "windows" && !errors.Is(err, context.Canceled) {
		t.Errorf("while somebody else writes: %v", err)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	places := []string{"/one: configurations[7]."}
	entries := []ocm.Spec{
		spec(t, "consumers: [{identity: {type: T, hostname: h}, credentials: [{type: Credentials, properties: {b: hunter2, a: hunter2}}]}, {identity: {type: T, hostname: h, path: 'a/*'}, credentials: [{type: Credentials, properties: {c: hunter2}}]}, {identity: {type: U}, credentials: [{type: Credentials}]}]"),
		spec(t, "consumers: [{identity: {type: T/v1, hostname: h}, credentials: [{type: Credentials, properties: {a: x}}]}]\nrepositories: [{repository: {type: DockerConfig, dockerConfig: {auths: {d: {username: u}}}}}]"),
	}
	s, err := New(entries, Options{Places: places, Home: "/nowhere", Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]string{
		"T hostname=h path=a/b": `{"consumer":{"hostname":"h","path":"a/b","type":"T"},"considered":[{"place":"/one: configurations[7].consumers[0], credentials.config.ocm.software: consumers[0]","identity":{"hostname":"h","type":"T"},"matches":true,"wins":false,"why":"matches; a better one wins: its path is longer"},{"place":"/one: configurations[7].consumers[1]","identity":{"hostname":"h","path":"a/*","type":"T"},"matches":true,"wins":true,"why":"wins: its path is longer"}],"otherTypes":1,"source":"/one: configurations[7].consumers[1]","properties":["c"]}`,
		"T hostname=d":          `{"consumer":{"hostname":"d","type":"T"},"considered":[{"place":"/one: configurations[7].consumers[0], credentials.config.ocm.software: consumers[0]","identity":{"hostname":"h","type":"T"},"matches":false,"wins":false,"why":"hostname is h, asked for d"},{"place":"/one: configurations[7].consumers[1]","identity":{"hostname":"h","path":"a/*","type":"T"},"matches":false,"wins":false,"why":"hostname is h, asked for d"}],"otherTypes":1,"asked":["inline Docker configuration: has username"],"source":"inline Docker configuration","properties":["username"]}`,
		"V hostname=x":          `{"consumer":{"hostname":"x","type":"V"},"considered":[],"otherTypes":3,"asked":["inline Docker configuration: has nothing"]}`,
	} {
		x, err := s.Explain(t.Context(), identity(request))
		if err != nil {
			t.Errorf("%s: %v", request, err)
		}
		raw, err := json.Marshal(x)
		if err != nil || string(raw) != want {
			t.Errorf("%s:\n%s, expected\n%s", request, raw, want)
		}
	}
	if _, err := s.Explain(context.Background(), ocm.Identity{}); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("no type: %v", err)
	}
}

func FuzzDocker(f *testing.F) {
	f.Add([]byte(dockerJSON), "ghcr.io", "acme/app")
	f.Add([]byte(`{"auths":{"https://h/v1/":{"auth":"YTpi"}},"credHelpers":{"h":"../x"}}`), "h", "")
	f.Add([]byte(`{"AUTHS":{"[::1]:5000/a":{"identitytoken":"t"}}}`), "::1", "a/b")
	f.Fuzz(func(t *testing.T, raw []byte, host, path string) {
		d := &docker{inline: raw, where: "x", passive: true}
		secret, err := d.find(t.Context(), normal(ocm.Identity{"type": "T", "hostname": host, "path": path}), nil)
		if (len(secret) == 0) == (err == nil) {
			t.Errorf("secret and error, or none: %v", err)
		}
		if id := serverIdentity(host + "/" + path); id["type"] != "OCIRegistry" {
			t.Errorf("%v", id)
		}
	})
}

func FuzzHelper(f *testing.F) {
	f.Add([]byte(`{"ServerURL":"h","Username":"<token>","Secret":"s"}`))
	f.Add([]byte(`{"username":"u","secret":"s"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		secret, err := readHelper("x", "h", raw)
		if secret != nil && err != nil {
			t.Error("both")
		}
	})
}

func FuzzSecrets(f *testing.F) {
	f.Add([]byte(manifest(dockerJSON)))
	f.Add([]byte(`{"kind":"Secret","type":"kubernetes.io/dockercfg","data":{".dockercfg":"e30="}}`))
	f.Add([]byte("kind: List\nitems: [{kind: List, items: [{kind: Secret}]}]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		found, err := parseSecrets(raw)
		if (len(found) == 0) == (err == nil) || len(found) > MaxSecrets {
			t.Errorf("%d secrets: %v", len(found), err)
		}
		for _, text := range found {
			_, _ = parseDocker(text) // must not panic
		}
	})
}

func FuzzVaultAnswers(f *testing.F) {
	f.Add([]byte(`{"data":{"data":{"a":"b"},"metadata":{"custom_metadata":{"consumerId":"{\"type\":\"T\"}","secrets":"a, b/c"}}}}`))
	f.Add([]byte(`{"data":{"data":{"a":1},"metadata":{"custom_metadata":{"type":"Github","hostname":"H"}}}}`))
	f.Add([]byte(`{"data":{"keys":["a","b/"]}}`))
	f.Add([]byte(`{"auth":{"client_token":"t"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := parseVaultSecret(raw); err == nil {
			for _, name := range s.listed {
				if checkVaultPath(name) != nil {
					t.Errorf("name %q", name)
				}
			}
			if s.id != nil && s.id["type"] == "" {
				t.Errorf("identity without type: %v", s.id)
			}
		}
		if list, err := parseVaultList(raw); err == nil && len(list) > MaxVaultSecrets {
			t.Errorf("%d names", len(list))
		}
		if token, err := parseVaultLogin(raw); (token == "") == (err == nil) {
			t.Errorf("token and error, or none: %v", err)
		}
	})
}
