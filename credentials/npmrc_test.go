// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"ocm"
)

const npmrcText = `registry=https://registry.npmjs.org/
; comment = x
//registry.npmjs.org/:_authToken=hunter2
//npm.example.org:4873/team/:_auth = "dTpodW50ZXIy"
//npm.example.org:4873/:username=me
//npm.example.org:4873/:_password=aHVudGVyMg==
//npm.example.org:4873/:always-auth=true
//ci.example.org/:_authToken=${NPM_TOKEN}
//unset.example.org/:_authToken=${NO_TOKEN}
//bad.example.org/:_auth=hunter2!
//nothing.example.org/:always-auth=true
`

func TestNpmrc(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	write(t, home+"/.npmrc", npmrcText, 0o600)
	c, err := New([]ocm.Spec{spec(t, "repositories: [{repository: {type: NPMConfig/v1}}]\nconsumers: [{identity: {type: Named}, credentials: [{type: NPMConfig, npmrcFile: ~/.npmrc, credentialsName: //registry.npmjs.org/}]}]")},
		Options{Home: home, Getenv: func(k string) string { return map[string]string{"NPM_TOKEN": "from CI"}[k] }})
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]ocm.Secret{
		"NpmRegistry scheme=https hostname=registry.npmjs.org path=left-pad":      {"token": "hunter2"},
		"Registry.npmjs.com hostname=registry.npmjs.org":                          {"token": "hunter2"},
		"NpmRegistry scheme=http hostname=npm.example.org port=4873 path=team/x":  {"username": "u", "password": "hunter2"},
		"NpmRegistry scheme=http hostname=npm.example.org port=4873 path=teams/x": {"username": "me", "password": "hunter2"},
		"NpmRegistry hostname=ci.example.org":                                     {"token": "from CI"},
		"NpmRegistry hostname=nothing.example.org":                                nil,
		"NpmRegistry hostname=npm.example.org":                                    nil,
		"Wget hostname=registry.npmjs.org":                                        nil,
		"Named":                                                                   {"token": "hunter2"},
	} {
		got, err := c.Resolve(t.Context(), identity(request))
		if !maps.Equal(got, want) || (want == nil) != errors.Is(err, ocm.ErrNotFound) {
			t.Errorf("%s: %v %v, expected %v", request, got, err, want)
		}
	}
	for host, text := range map[string]string{"unset.example.org": "NO_TOKEN", "bad.example.org": "not base64"} {
		_, err := c.Resolve(t.Context(), ocm.Identity{"type": "NpmRegistry", "hostname": host})
		if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", host, err)
		}
	}
	none := of(t, "repositories: [{repository: {type: NPMConfig, npmrcFile: /nowhere/x}}]")
	gets(t, none, "NpmRegistry hostname=registry.npmjs.org", "")
}

func FuzzNpmrc(f *testing.F) {
	f.Add(npmrcText)
	f.Add("//[::1]:80/a:_auth='${A}${B}'\n//:=\n//a:b")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := parseNpmrc(text)
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.id["type"] != npmConsumer {
				t.Errorf("%v", e.id)
			}
			_, _ = e.secret(func(string) string { return "x" }) // must not panic
		}
	})
}
