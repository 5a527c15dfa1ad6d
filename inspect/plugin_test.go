// SPDX-License-Identifier: Apache-2.0

package inspect_test

import (
	"errors"
	"strings"
	"testing"

	"ocm"
	"ocm/inspect"
	"ocm/internal/fixture"
)

// onlyDescriptor is a version of which only the descriptor counts.
type onlyDescriptor struct {
	ocm.Version
	d *ocm.Descriptor
}

func (d onlyDescriptor) Descriptor() *ocm.Descriptor { return d.d }

func withResources(list ...ocm.Resource) ocm.Version {
	return onlyDescriptor{d: &ocm.Descriptor{Component: ocm.Component{Name: "acme.org/p", Version: "1.0.0", Resources: list}}}
}

// program is a plugin whose extra identity is written as key=value,….
func program(t *testing.T, name, extra string) ocm.Resource {
	t.Helper()
	r := ocm.Resource{Element: ocm.Element{Name: name, Version: "1.0.0"}, Type: inspect.PluginType}
	if extra != "" {
		r.ExtraIdentity = fixture.Must[ocm.Identity](t)(ocm.ParseIdentity(extra))
	}
	return r
}

func TestFindPlugin(t *testing.T) {
	t.Parallel()
	linux := ocm.Identity{"os": "linux", "architecture": "amd64"}
	for _, c := range []struct {
		extra []string // of the resources, which are named 0, 1, …
		want  ocm.Identity
		found string
		err   error
		text  string
	}{
		{extra: []string{"os=darwin,architecture=amd64", "os=linux,architecture=amd64"}, found: "1"},
		{extra: []string{"os=linux,arch=arm64", "os=linux,arch=amd64"}, found: "1"},
		{extra: []string{"os=Linux,architecture=x86_64"}, found: "0"},
		{extra: []string{"os=linux,architecture=amd64,arch=arm64"}, found: "0"}, // the key that the specification has counts
		{extra: []string{"os=linux,architecture=arm64,arch=amd64"}, err: ocm.ErrNotFound},
		{extra: []string{"", "os=linux", "os=linux,architecture=amd64"}, found: "2"},
		{extra: []string{"", "os=linux"}, found: "1"},
		{extra: []string{""}, found: "0"},
		{extra: []string{"os=linux,architecture=amd64,variant=x"}, found: "0"},
		{extra: []string{"os=linux,architecture=amd64,variant=x", "os=linux,architecture=amd64,variant=y"}, err: ocm.ErrInvalid, text: "variant=x"},
		{extra: []string{"os=linux,architecture=amd64,variant=x", "os=linux,architecture=amd64,variant=y"}, want: ocm.Identity{"os": "linux", "architecture": "amd64", "variant": "y"}, found: "1"},
		{extra: []string{"os=linux,architecture=amd64"}, want: ocm.Identity{"os": "linux", "architecture": "amd64", "variant": "y"}, err: ocm.ErrNotFound},
		{extra: []string{"os=linux,architecture=amd64", "os=linux,architecture=amd64"}, want: ocm.Identity{"name": "1", "os": "linux", "architecture": "amd64"}, found: "1"},
		{extra: []string{"os=linux,architecture=amd64"}, want: ocm.Identity{"version": "2.0.0"}, err: ocm.ErrNotFound},
		{extra: []string{"os=plan9,architecture=386", "os=darwin"}, err: ocm.ErrNotFound, text: "architecture=386,name=0,os=plan9,version=1.0.0; name=1,os=darwin"},
		{err: ocm.ErrNotFound, text: "no resource of type ocmPlugin"},
	} {
		var list []ocm.Resource
		for i, extra := range c.extra {
			list = append(list, program(t, string(rune('0'+i)), extra))
		}
		list = append(list, ocm.Resource{Element: ocm.Element{Name: "other"}, Type: "executable"})
		want := c.want
		if want == nil {
			want = linux
		}
		r, err := inspect.FindPlugin(withResources(list...), inspect.PluginType, want)
		if !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.text) || err == nil && r.Name != c.found {
			t.Errorf("%q with %s: %v %v", c.extra, want, r, err)
		}
	}
}

func withLabel(value string) ocm.Version {
	return onlyDescriptor{d: &ocm.Descriptor{Component: ocm.Component{Name: "acme.org/plugins", Version: "1.0.0", References: []ocm.Reference{{
		Element:       ocm.Element{Name: "hello", Version: "2.0.0", Labels: []ocm.Label{{Name: "x", Value: ocm.RawJSON("1")}, {Name: "ocm.software/pluginInfo", Value: ocm.RawJSON(value)}}},
		ComponentName: "acme.org/hello"}}}}}
}

func TestPlugins(t *testing.T) {
	t.Parallel()
	// Who a plugin is says the reference, which is what a digest covers.
	list, err := inspect.Plugins(withLabel(`{"name":"evil","version":"9","component":"evil.org/x","registry":"evil.org/y","description":"Says hello","platforms":["linux/amd64"],"more":1}`))
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	p := list[0]
	if p.Name != "hello" || p.Version != "2.0.0" || p.Component != "acme.org/hello" || p.Registry != "acme.org/plugins:1.0.0" || p.Description != "Says hello" || len(p.Platforms) != 1 {
		t.Errorf("%+v", p)
	}
	for _, wrong := range []string{`1`, `{"platforms":"all"}`, `{"description":[]}`, `{`, `{"description":"a","description":"b"}`} {
		_, err := inspect.Plugins(withLabel(wrong))
		fixture.WantErr(t, err, ocm.ErrInvalid, "acme.org/plugins:1.0.0: reference hello: label ocm.software/pluginInfo")
	}
	_, err = inspect.Plugins(withLabel(`"` + strings.Repeat("x", 64<<10) + `"`))
	fixture.WantErr(t, err, ocm.ErrLimit)
}

func FuzzPlugins(f *testing.F) {
	for _, seed := range []string{``, `null`, `{}`, `[]`, `{"description":"x","platforms":["linux/amd64",null]}`, `{"platforms":{}}`, `{"name":"x"}`, "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		list, err := inspect.Plugins(withLabel(value))
		if err != nil {
			if !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) {
				t.Error(err)
			}
			return
		}
		if len(list) != 1 || list[0].Name != "hello" || list[0].Version != "2.0.0" || list[0].Component != "acme.org/hello" {
			t.Error(list)
		}
	})
}
