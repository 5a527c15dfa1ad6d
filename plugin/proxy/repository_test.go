// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	json "github.com/go-json-experiment/json"

	"ocm"
	"ocm/plugin/proxy"
	"ocm/plugin/wire"
)

// said are the answers of a plugin, by the path of the question.
type said map[string]string

func (s said) Call(context.Context, *ocm.Env) (proxy.Call, error) { return s, nil }

func (s said) Offer(c ocm.Content, handle string) wire.Content { return wire.Describe(c, handle) }

func (s said) Ask(path string, _, answer any, _ bool) error {
	text, ok := s[path]
	if !ok {
		return fmt.Errorf("%s: %w", path, errors.ErrUnsupported)
	}
	if err := json.Unmarshal([]byte(text), answer); err != nil {
		return fmt.Errorf("%s: %w: %w", path, err, ocm.ErrInvalid)
	}
	return nil
}

func (s said) Stream(string, any) (io.ReadCloser, int64, error) {
	return nil, 0, errors.ErrUnsupported
}

func (s said) End() {}

const (
	goodPlace    = `{"handle":"r","name":"a\u001b[2J\nplace"}`
	goodManifest = `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5}`
	// {"meta":{"schemaVersion":"v2"},"component":{"name":"acme.org/a","version":"1.0.0","provider":"p","repositoryContexts":[],"resources":[],"sources":[],"componentReferences":[]}}
	goodDocument = `{"mediaType":"","bytes":"eyJtZXRhIjp7InNjaGVtYVZlcnNpb24iOiJ2MiJ9LCJjb21wb25lbnQiOnsibmFtZSI6ImFjbWUub3JnL2EiLCJ2ZXJzaW9uIjoiMS4wLjAiLCJwcm92aWRlciI6InAiLCJyZXBvc2l0b3J5Q29udGV4dHMiOltdLCJyZXNvdXJjZXMiOltdLCJzb3VyY2VzIjpbXSwiY29tcG9uZW50UmVmZXJlbmNlcyI6W119fQ=="}`
	goodVersion  = `{"handle":"v","manifest":` + goodManifest + `,"descriptor":` + goodDocument + `}`
)

func openAt(ctx context.Context, s said) (ocm.Repository, error) {
	return proxy.Repository(s, "plugin x")(ctx, nil, ocm.Spec{Type: "X"})
}

// Nonsense in answers is an error that names the plugin.
func TestRepositoryAnswers(t *testing.T) {
	t.Parallel()
	for _, place := range []string{`{}`, `{"handle":"","name":"x"}`, `{"handle":"` + strings.Repeat("h", 1001) + `"}`, `[]`} {
		if _, err := openAt(t.Context(), said{wire.RepositoryPath: place}); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%.50s: %v", place, err)
		}
	}
	r, err := openAt(t.Context(), said{wire.RepositoryPath: goodPlace, wire.VersionPath: goodVersion, wire.DraftPath: `{"handle":""}`})
	if err != nil || r.String() != "a�[2J place" {
		t.Fatal(r, err)
	}
	if _, ok := r.(ocm.Lister); ok {
		t.Error("it can what it did not announce")
	}
	v, err := r.Open(t.Context(), "acme.org/a", "1.0.0")
	if err != nil || v.Descriptor().Component.Provider != "p" {
		t.Fatal(err)
	}
	if _, err := r.Draft(t.Context(), "acme.org/a", "2.0.0", nil); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "plugin x") {
		t.Errorf("draft without a handle: %v", err)
	}
	other, err := openAt(t.Context(), said{wire.RepositoryPath: goodPlace})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Draft(t.Context(), "acme.org/a", "1.0.0", v); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("draft with a base from elsewhere: %v", err)
	}
	for _, bad := range []string{
		`{}`, strings.Replace(goodVersion, `"v"`, `""`, 1), strings.Replace(goodVersion, `"size":5`, `"size":-1`, 1), strings.Replace(goodVersion, "sha256:2", "md5:2", 1),
		strings.Replace(goodVersion, "application/vnd.oci.image.manifest.v1+json", "", 1), strings.Replace(goodVersion, "eyJt", "AAAA", 1),
	} {
		r, err := openAt(t.Context(), said{wire.RepositoryPath: goodPlace, wire.VersionPath: bad})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Open(t.Context(), "acme.org/a", "1.0.0"); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "plugin x") {
			t.Errorf("%.100s: %v", bad, err)
		}
	}
}

// Whatever a plugin answers, what is opened is what was asked for.
func FuzzVersionAnswer(f *testing.F) {
	f.Add(goodVersion)
	f.Add(`{"handle":"v","manifest":{"digest":"sha256:x"},"descriptor":{"mediaType":"text/x","bytes":"e30="}}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, answer string) {
		r, err := openAt(t.Context(), said{wire.RepositoryPath: goodPlace, wire.VersionPath: answer})
		if err != nil {
			t.Fatal(err)
		}
		v, err := r.Open(t.Context(), "acme.org/a", "1.0.0")
		if err != nil {
			return
		}
		if c := &v.Descriptor().Component; c.Name != "acme.org/a" || c.Version != "1.0.0" || v.Manifest().Digest.Validate() != nil || v.Manifest().Size < 0 {
			t.Fatalf("%s: %+v", answer, v.Manifest())
		}
	})
}
