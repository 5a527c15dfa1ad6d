// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"strings"
	"sync/atomic"
	"testing"

	"ocm"
	"ocm/internal/fixture"
)

func TestCopy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	folder := t.TempDir()
	b.Resolver = newResolver(t, Options{Archives: folder})
	var events atomic.Int64
	for name, target := range map[string]Place{
		"registry": {specOf(t, `{"type":"OCIRegistry","baseUrl":%q,"subPath":"copies"}`, fixture.Registry(t)), nil},
		"docker":   {specOf(t, `{"type":"OCIRegistry","baseUrl":%q}`, fixture.DockerRegistry(t)), nil},
		"folder":   archive(t, "copy"),
		"archive":  archive(t, "copy.tgz"),
	} {
		t.Run(name, func(t *testing.T) {
			c := Copy{Source: b.place(), Question: app(by(rsaKey())), Target: target, Recursive: true, Report: func(ocm.Event) { events.Add(1) }}
			first, err := b.Copy(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if first.Version != "1.0.0" || first.Versions != 2 || first.Moved == 0 || first.Digest.Value == "" {
				t.Errorf("%+v", first)
			}
			again, err := b.Copy(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if again.Moved != 0 || again.Digest.Value != first.Digest.Value {
				t.Errorf("it was moved again: %+v", again)
			}
			q := app(by(rsaKey()))
			q.Content, q.Digest = true, &first.Digest
			if _, err := b.Version(t.Context(), target, q); err != nil {
				t.Errorf("the copy: %v", err)
			}
		})
	}
	if events.Load() == 0 {
		t.Error("nobody was told")
	}
}

func TestCopyOfWhatIsNotSigned(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.product("1.0.0")
	target := Place{specOf(t, `{"type":"OCIRegistry","baseUrl":%q}`, fixture.Registry(t)), nil}
	_, err := b.Copy(t.Context(), Copy{Source: b.place(), Question: app(by(otherRSA())), Target: target, Recursive: true})
	fixture.WantErr(t, err, ocm.ErrSignature, "source")
	_, err = b.Version(t.Context(), target, app(nil))
	fixture.WantErr(t, err, ocm.ErrNotFound)
}

func TestCopyKeys(t *testing.T) {
	t.Parallel()
	p := Place{Repository: specOf(t, `{"type":"x"}`)}
	keys := map[string]bool{}
	for _, c := range []Copy{
		{Source: p, Target: p}, {Source: p, Target: p, Recursive: true}, {Source: p, Target: p, CopyResources: true}, {Source: p, Target: p, UploadAs: "x"},
		{Source: p, Target: Place{Repository: specOf(t, `{"type":"y"}`)}}, {Source: p, Target: p, Question: app(nil)}, {Source: p, Target: p, Question: app(by(rsaKey()))},
		{Source: p, Target: p, Question: Question{Component: "acme.org/app", Version: "1.0.0", Digest: &ocm.Digest{Value: strings.Repeat("0", 64)}}},
	} {
		keys[c.Key()] = true
		if c.Report = func(ocm.Event) {}; !keys[c.Key()] {
			t.Error("who listens makes no difference")
		}
	}
	if len(keys) != 8 {
		t.Errorf("%d keys of 8 copies", len(keys))
	}
}
