// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/internal/fixture"
)

// base64: u:p and so on
const dockerJSON = `{"auths":{
	"https://index.docker.io/v1/": {"auth":"aHViOnA="},
	"ghcr.io": {"auth":"Z2hjcjpwYTpzcw==","email":"x"},
	"ghcr.io/acme": {"username":"acme","password":"p"},
	"https://Quay.io/v2/": {"identitytoken":"t"},
	"localhost:5000": {"username":"local","password":"p"},
	"gcr.io:443": {"registrytoken":"r"},
	"empty.io": {}
}}`

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func writeProgram(t *testing.T, path, text string) {
	t.Helper()
	if err := fixture.Program(path, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestDockerConfig(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	write(t, filepath.Join(home, ".docker", "config.json"), dockerJSON, 0o600)
	write(t, filepath.Join(home, "other.json"), dockerJSON, 0o600)
	inline, err := ocm.NewSpec(map[string]any{"type": "x", "repositories": []any{map[string]any{"repository": map[string]any{"type": "DockerConfig/v1", "dockerConfig": dockerJSON}}}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]ocm.Secret{
		"OCIRegistry hostname=docker.io":                         {"username": "hub", "password": "p"},
		"OCIRegistry hostname=registry-1.docker.io scheme=https": {"username": "hub", "password": "p"},
		"OCIRegistry hostname=index.docker.io path=library/x":    {"username": "hub", "password": "p"},
		"OCIRegistry hostname=ghcr.io":                           {"username": "ghcr", "password": "pa:ss"},
		"OCIRegistry/v1 hostname=GHCR.io port=443":               {"username": "ghcr", "password": "pa:ss"},
		"OCIRegistry hostname=ghcr.io path=acme/app/x":           {"username": "acme", "password": "p"},
		"OCIRegistry hostname=ghcr.io path=acmex":                {"username": "ghcr", "password": "pa:ss"},
		"OCIRegistry hostname=quay.io":                           {"refreshToken": "t"},
		"OCIRegistry hostname=gcr.io":                            {"accessToken": "r"},
		"OCIRegistry hostname=localhost port=5000 scheme=http":   {"username": "local", "password": "p"},
		"HelmChartRepository hostname=ghcr.io":                   {"username": "ghcr", "password": "pa:ss"},
		"OCIRegistry hostname=localhost":                         nil,
		"OCIRegistry hostname=localhost port=5001":               nil,
		"OCIRegistry hostname=ghcr.io port=80":                   nil,
		"OCIRegistry hostname=empty.io":                          nil,
		"OCIRegistry hostname=evil.io":                           nil,
		"RSA/v1alpha1 algorithm=RSASSA-PSS signature=default":    nil,
	}
	none := func(string) string { return "" }
	for name, tc := range map[string]struct {
		specs  []ocm.Spec
		getenv func(string) string
	}{
		"nothing configured":  {nil, none},
		"DOCKER_CONFIG":       {nil, func(k string) string { return map[string]string{"DOCKER_CONFIG": filepath.Join(home, ".docker")}[k] }},
		"usual place":         {[]ocm.Spec{spec(t, "repositories: [{repository: {type: DockerConfig}}]")}, none},
		"home":                {[]ocm.Spec{spec(t, "repositories: [{repository: {type: DockerConfig/v1, dockerConfigFile: ~/other.json, propagateConsumerIdentity: true}}]")}, none},
		"path":                {[]ocm.Spec{spec(t, "repositories: [{repository: {type: DockerConfig/v1, dockerConfigFile: "+home+"/other.json}}]")}, none},
		"inline text":         {[]ocm.Spec{inline}, none},
		"inline object":       {[]ocm.Spec{spec(t, "repositories: [{repository: {type: DockerConfig/v1, dockerConfig: "+strings.ReplaceAll(dockerJSON, "\t", " ")+"}}]")}, none},
		"second repository":   {[]ocm.Spec{spec(t, "repositories: [{repository: {type: Unknown}}, {repository: {type: DockerConfig/v1, dockerConfig: {}}}, {repository: {type: DockerConfig}}]")}, none},
		"missing file before": {[]ocm.Spec{spec(t, "repositories: [{repository: {type: DockerConfig, dockerConfigFile: /nowhere/x}}, {repository: {type: DockerConfig}}]")}, none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := New(tc.specs, Options{Home: home, Getenv: tc.getenv})
			if err != nil {
				t.Fatal(err)
			}
			for request, secret := range want {
				got, err := c.Resolve(t.Context(), identity(request))
				if !maps.Equal(got, secret) || (secret == nil) != errors.Is(err, ocm.ErrNotFound) {
					t.Errorf("%s: %v %v, expected %v", request, got, err, secret)
				}
			}
		})
	}
}

// Docker's file is not read if there is something else, or if it is not wanted.
func TestDockerNotConsulted(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	write(t, filepath.Join(home, ".docker", "config.json"), dockerJSON, 0o600)
	env := func(v string) func(string) string {
		return func(k string) string { return map[string]string{"OCM_DISABLE_AUTO_CONFIG": v}[k] }
	}
	for name, tc := range map[string]struct {
		specs []ocm.Spec
		o     Options
		found bool
	}{
		"consulted":         {nil, Options{Getenv: env("")}, true},
		"not disabled":      {nil, Options{Getenv: env("false")}, true},
		"disabled":          {nil, Options{Getenv: env("1")}, false},
		"disabled somehow":  {nil, Options{Getenv: env("please")}, false},
		"not wanted":        {nil, Options{Getenv: env(""), NoDocker: true}, false},
		"other credentials": {[]ocm.Spec{spec(t, "consumers: []")}, Options{Getenv: env("")}, false},
	} {
		tc.o.Home = home
		c, err := New(tc.specs, tc.o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Resolve(t.Context(), identity("OCIRegistry hostname=ghcr.io")); (err == nil) != tc.found {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A consumer that matches wins over repositories.
func TestConsumersBeforeRepositories(t *testing.T) {
	t.Parallel()
	c := of(t, "consumers: [{identity: {type: OCIRegistry, hostname: ghcr.io}, credentials: [{type: Credentials/v1, properties: {id: mine}}]}]\nrepositories: [{repository: {type: DockerConfig, dockerConfig: "+strings.ReplaceAll(dockerJSON, "\t", " ")+"}}]")
	gets(t, c, "OCIRegistry hostname=ghcr.io", "mine")
	if s, err := c.Resolve(t.Context(), identity("OCIRegistry hostname=quay.io")); err != nil || s["refreshToken"] != "t" {
		t.Errorf("%v %v", s, err)
	}
}

func TestDockerFaults(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	for name, text := range map[string]string{
		"broken":    `{"auths":`,
		"shape":     `{"auths":["hunter2"]}`,
		"duplicate": `{"auths":{},"auths":{}}`,
		"base64":    `{"auths":{"ghcr.io":{"auth":"hunter2!"}}}`,
		"no colon":  `{"auths":{"ghcr.io":{"auth":"aHVudGVyMg=="}}}`,
		"large":     strings.Repeat(" ", MaxDockerConfigSize+1),
		"helper":    `{"credsStore":"../../hunter2"}`,
		"helper 2":  `{"credHelpers":{"ghcr.io":"/bin/sh"}}`,
		"helper 3":  `{"credHelpers":{"ghcr.io":"a b"}}`,
		"helper 4":  `{"credHelpers":{"ghcr.io":"a\\b"}}`,
		"missing":   `{"credsStore":"not-installed-anywhere"}`,
	} {
		file := filepath.Join(home, name, "config.json")
		write(t, file, text, 0o600)
		c := of(t, "repositories: [{repository: {type: DockerConfig, dockerConfigFile: '"+file+"'}}]")
		_, err := c.Resolve(t.Context(), identity("OCIRegistry hostname=ghcr.io"))
		if err == nil || errors.Is(err, ocm.ErrNotFound) {
			t.Errorf("%s: %v, expected a fault that is reported", name, err)
			continue
		}
		if !strings.HasPrefix(name, "helper") && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows a value: %v", name, err)
		}
		// Nobody asked for the file: its faults are logged.
		var log bytes.Buffer
		c, err = New(nil, Options{Home: home, Getenv: func(k string) string { return map[string]string{"DOCKER_CONFIG": filepath.Dir(file)}[k] }, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Resolve(t.Context(), identity("OCIRegistry hostname=ghcr.io")); !errors.Is(err, ocm.ErrNotFound) || !strings.Contains(log.String(), "cannot be used") {
			t.Errorf("%s: %v, log %q", name, err, &log)
		}
	}
}

// Helpers are programs in PATH, so this test sets it.
func TestCredentialHelper(t *testing.T) {
	bin := t.TempDir()
	writeProgram(t, filepath.Join(bin, "docker-credential-fake"), `#!/bin/sh
read server
case "$1 $server" in
"get https://index.docker.io/v1/") echo '{"ServerURL":"x","Username":"hub","Secret":"s"}';;
"get ghcr.io") echo '{"ServerURL":"x","Username":"<token>","Secret":"s"}';;
"get slow.io") exec sleep 60;;
"get bad.io") echo "hunter2 is wrong"; exit 1;;
"get odd.io") echo "hunter2";;
*) echo "credentials not found in native keychain"; exit 1;;
esac
`)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	c := of(t, `repositories: [{repository: {type: DockerConfig, dockerConfig: {credHelpers: {docker.io: fake, ghcr.io: fake, slow.io: fake, bad.io: fake, odd.io: fake, none.io: fake}, auths: {none.io: {username: file}, bad.io: {}, other.io: {username: other}}}}}]`)
	for request, want := range map[string]ocm.Secret{
		"OCIRegistry hostname=docker.io": {"username": "hub", "password": "s"},
		"OCIRegistry hostname=ghcr.io":   {"refreshToken": "s"},
		"OCIRegistry hostname=none.io":   {"username": "file"},
		"OCIRegistry hostname=other.io":  {"username": "other"},
	} {
		if got, err := c.Resolve(t.Context(), identity(request)); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v %v, expected %v", request, got, err, want)
		}
	}
	for _, host := range []string{"bad.io", "odd.io"} {
		_, err := c.Resolve(t.Context(), identity("OCIRegistry hostname="+host))
		if err == nil || errors.Is(err, ocm.ErrNotFound) || !strings.Contains(err.Error(), "docker-credential-fake failed") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", host, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Resolve(ctx, identity("OCIRegistry hostname=slow.io")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow helper: %v", err)
	}
	store := of(t, `repositories: [{repository: {type: DockerConfig, dockerConfig: {credsStore: fake}}}]`)
	if got, err := store.Resolve(t.Context(), identity("OCIRegistry hostname=ghcr.io")); err != nil || got["refreshToken"] != "s" {
		t.Errorf("store for all: %v %v", got, err)
	}
	gets(t, store, "OCIRegistry hostname=none.io", "")
}

// What is kept for one path of a host is not for another one that servers find by way of it.
func TestDockerPathLeadsAway(t *testing.T) {
	t.Parallel()
	auth := func(text string) dockerAuth {
		return dockerAuth{Auth: base64.StdEncoding.EncodeToString([]byte(text))}
	}
	c := dockerConfig{Auths: map[string]dockerAuth{"h.example": auth("all:1"), "h.example/team": auth("team:2")}}
	for path, want := range map[string]string{"team/app": "team", "team/../evil": "all", `team/..\evil`: "all", "team/..;/evil": "all", "teams": "all"} {
		secret, err := (&docker{}).search(t.Context(), c, normal(ocm.Identity{"type": "Wget", "hostname": "h.example", "path": path}), nil)
		if err != nil || secret["username"] != want {
			t.Errorf("%s: expected what is for %s, found %v, %v", path, want, secret["username"], err)
		}
	}
}
