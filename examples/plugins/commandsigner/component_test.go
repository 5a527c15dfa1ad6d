// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocm"
	"ocm/builtin"
	"ocm/construct"
	"ocm/graph"
	"ocm/internal/plugintest"
	"ocm/internal/signtest"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/plugin/host"
)

// shop is a repository with a component that references another one, and all that is built in.
type shop struct {
	repo ocm.Repository
	kit  *ocm.Kit
	env  *ocm.Env
}

func newShop(t *testing.T, dir string) *shop {
	t.Helper()
	s := &shop{kit: builtin.Kit(), env: &ocm.Env{Job: ocm.NewJob(4)}}
	h := host.New(host.Options{Dirs: []string{dir}})
	h.Attach(s.kit)
	s.repo = oci.NewRepository(memory.New(), s.env)
	t.Cleanup(func() { _, _ = s.repo.Close(), h.Close() })
	file, err := construct.Parse([]byte(`
components:
- {name: acme.org/shop, version: 1.0.0, provider: acme.org, componentReferences: [{name: api, componentName: acme.org/api, version: 2.0.0}]}
- {name: acme.org/api, version: 2.0.0, provider: acme.org, resources: [{name: text, type: plainText, input: {type: utf8, text: hello}}]}
`), nil, "")
	if err == nil {
		_, err = construct.Run(t.Context(), s.kit, s.env, s.repo, file, construct.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shop) open(t *testing.T, name, version string) ocm.Version {
	t.Helper()
	v, err := s.repo.Open(t.Context(), name, version)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (s *shop) sign(t *testing.T, o graph.SignOptions) ([]graph.Signed, error) {
	t.Helper()
	locate := func(ctx context.Context, name, version string) (ocm.Repository, ocm.Version, error) {
		v, err := s.repo.Open(ctx, name, version)
		return s.repo, v, err
	}
	return graph.SignVersion(t.Context(), s.kit, s.env, locate, s.repo, s.open(t, "acme.org/shop", "1.0.0"), o)
}

func (s *shop) verify(t *testing.T, kit *ocm.Kit) *graph.Report {
	t.Helper()
	report, err := graph.Verify(t.Context(), kit, s.env, s.repo.Open, s.open(t, "acme.org/shop", "1.0.0"), graph.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// Components are signed, with all that they reference, and verified by a plugin as by what is built in. Without the plugin nobody
// takes its signatures for good.
func TestComponent(t *testing.T) {
	t.Parallel()
	dir := plugintest.Dir(t, "commandsigner")
	c, _ := openssl(t, dir)
	configure(t, dir, c)
	s := newShop(t, dir)
	o := graph.SignOptions{Name: "one", Recursive: true, Check: true, Spec: ocm.Spec{Type: "CommandSigningConfiguration/v1"}}
	list, err := s.sign(t, o)
	if err != nil || len(list) != 2 || list[0].State != graph.StateSigned || list[1].Signature.Signature.Algorithm != "OPENSSL-RSA" {
		t.Fatalf("%+v %v", list, err)
	}
	report := s.verify(t, s.kit)
	if err := report.Err(); err != nil || !strings.Contains(report.Signatures[0].Signer, "key of one") {
		t.Errorf("%+v %v", report.Signatures, err)
	}
	if err := s.verify(t, builtin.Kit()).Err(); !errors.Is(err, ocm.ErrSignature) {
		t.Errorf("without the plugin: %v", err)
	}
	// What has a good signature is left alone; the algorithm's name is configuration enough.
	o.Name, o.Spec, o.Algorithm = "other", ocm.Spec{}, "OPENSSL-RSA"
	if list, err = s.sign(t, o); err != nil || list[0].State != graph.StateSigned {
		t.Errorf("%+v %v", list, err)
	}
	o.DryRun, o.Force = true, false
	if _, err := s.sign(t, o); !errors.Is(err, ocm.ErrExists) {
		t.Errorf("the same name again: %v", err)
	}
	d := signtest.Digest(ocm.SHA256, "a hash")
	sig, err := graph.SignDigest(t.Context(), s.kit, s.env, d, graph.SignOptions{Name: "one", Algorithm: "OPENSSL-RSA", Check: true})
	if err != nil || sig.Digest.Value != d.Value || sig.Signature.Value == "" {
		t.Errorf("a digest alone: %+v %v", sig, err)
	}
	// Whoever changes the key has no longer signed what was signed.
	for _, ending := range []string{".pem", ".pub"} {
		if err := os.Rename(filepath.Join(dir, "key of other"+ending), filepath.Join(dir, "key of one"+ending)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.verify(t, s.kit).Err(); !errors.Is(err, ocm.ErrSignature) {
		t.Errorf("with another key: %v", err)
	}
}

// A signature of a plugin that does not verify is not stored where that is demanded.
func TestBadSignatureIsNotStored(t *testing.T) {
	t.Parallel()
	dir := plugintest.Dir(t, "commandsigner")
	c, _ := openssl(t, dir)
	c.Sign = []string{path(t, "echo"), "signed"}
	configure(t, dir, c)
	s := newShop(t, dir)
	list, err := s.sign(t, graph.SignOptions{Name: "one", Check: true, Recursive: true, Spec: ocm.Spec{Type: "CommandSigningConfiguration/v1"}})
	if !errors.Is(err, ocm.ErrSignature) || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	if all := s.open(t, "acme.org/api", "2.0.0").Descriptor().Signatures; len(all) != 0 {
		t.Errorf("stored: %+v", all)
	}
}
