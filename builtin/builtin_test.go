// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"

	"ocm"
	"ocm/builtin"
	"ocm/internal/repotest"
)

func spec(t testing.TB, raw string) ocm.Spec {
	t.Helper()
	var s ocm.Spec
	if err := s.UnmarshalJSON([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	return s
}

// Every name that descriptors, constructor files and configurations of existing tools use.
func TestNames(t *testing.T) {
	t.Parallel()
	k := builtin.Kit()
	for what, c := range map[string]struct{ known, want []string }{
		"repository": {k.Repositories.Names(), []string{
			"OCIRepository/v1", "OCIRepository", "OCI", "OCI/v1", "oci", "oci/v1", "OCIRegistry", "OCIRegistry/v1", "ociRegistry", "ociRegistry/v1",
			"CommonTransportFormat/v1", "CommonTransportFormat", "CTF", "CTF/v1", "ctf", "ctf/v1",
			"ComponentArchive", "ComponentArchive/v1", "componentArchive", "componentArchive/v1", "ca", "ca/v1", "Memory", "Memory/v1", "memory", "memory/v1",
		}},
		"access": {k.Access.Names(), []string{"ociArtifact", "ociArtifact/v1", "OCIImage", "OCIImage/v1", "ociImage", "ociRegistry", "none", "None", "none/v1"}},
		"input": {k.Inputs.Names(), []string{
			"file", "File", "file/v1", "File/v1", "dir", "Dir", "dir/v1", "utf8", "UTF8", "UTF8/v1", "binary",
		}},
		"signer": {k.Signers.Names(), []string{"RSASSA-PSS", "RSASSA-PKCS1-V1_5", "RSASigningConfiguration", "RSASigningConfiguration/v1alpha1", "GPGSigningConfiguration/v1alpha1",
			"ECDSA-P256", "ECDSA-P384", "Ed25519", "ECSigningConfiguration", "ECSigningConfiguration/v1alpha1",
			"Sigstore/v1alpha1", "SigstoreSigningConfiguration/v1alpha1", "SigstoreSigningConfiguration"}},
		"verifier": {k.Verifiers.Names(), []string{"RSASSA-PSS", "RSASSA-PKCS1-V1_5", "ECDSA-P256", "ECDSA-P384", "Ed25519", "Sigstore/v1alpha1", "sigstore", "sigstore-v2"}},
	} {
		for _, name := range c.want {
			if !slices.Contains(c.known, name) {
				t.Errorf("%s %s is missing in %q", what, name, c.known)
			}
		}
	}
	// local accesses are the repository's business: the kit must not open them
	for _, name := range []string{"localBlob", "localBlob/v1", "LocalBlob/v1", "relativeOciReference", ""} {
		if _, err := k.Access.For(name); !errors.Is(err, ocm.ErrUnknownType) {
			t.Errorf("access %q is open to the kit: %v", name, err)
		}
	}
}

// Two kits share nothing: what a program adds to one is not in the next.
func TestKitsAreSeparate(t *testing.T) {
	t.Parallel()
	builtin.Kit().Access.Add(nil, "mine")
	if _, err := builtin.Kit().Access.For("mine"); !errors.Is(err, ocm.ErrUnknownType) {
		t.Errorf("found %v", err)
	}
}

func TestOpenRepository(t *testing.T) {
	t.Parallel()
	h := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
	srv := httptest.NewServer(h)
	t.Cleanup(func() { srv.Close(); h.Close() })
	n := 0
	for name, make := range map[string]func(t *testing.T) string{
		"CTF": func(t *testing.T) string {
			return `{"type":"CommonTransportFormat/v1","filePath":"` + t.TempDir() + `/ctf","accessMode":"readwrite|create"}`
		},
		"registry": func(*testing.T) string {
			n++
			return fmt.Sprintf(`{"type":"OCIRepository/v1","baseUrl":%q,"subPath":"/sub/%d"}`, srv.URL, n)
		},
		"memory": func(*testing.T) string { n++; return fmt.Sprintf(`{"type":"Memory/v1","name":"m%d"}`, n) },
		"format": func(t *testing.T) string {
			return `{"type":"CTF","filePath":"` + t.TempDir() + `/a","accessMode":"readwrite","fileFormat":"directory"}`
		},
		"path": func(*testing.T) string { n++; return fmt.Sprintf(`{"type":"oci","baseUrl":"%s/path/%d"}`, srv.URL, n) },
	} {
		t.Run(name, func(t *testing.T) {
			repotest.Run(t, func(t *testing.T) ocm.Repository {
				r, err := builtin.OpenRepository(t.Context(), builtin.Kit(), &ocm.Env{Job: ocm.NewJob(2)}, spec(t, make(t)))
				if err != nil {
					t.Fatal(err)
				}
				return r
			})
		})
	}
}

func TestOpenRepositoryErrors(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]error{
		`{"type":"wiki","filePath":"x"}`:                                      ocm.ErrUnknownType,
		`{"type":"CTF/v1"}`:                                                   ocm.ErrInvalid,
		`{"type":"CTF/v1","filePath":7}`:                                      ocm.ErrInvalid,
		`{"type":"CTF/v1","filePath":"` + file + `"}`:                         ocm.ErrInvalid,
		`{"type":"OCI/v1"}`:                                                   ocm.ErrInvalid,
		`{"type":"OCI/v1","baseUrl":"https://a:b@acme.org"}`:                  ocm.ErrInvalid,
		`{"type":"OCI/v1","baseUrl":"acme.org","subPath":"../x"}`:             ocm.ErrInvalid,
		`{"type":"OCI/v1","baseUrl":"acme.org","componentNameMapping":"md5"}`: errors.ErrUnsupported,
		`{"type":"Memory/v1"}`:                                                ocm.ErrInvalid,
		`{"type":"ComponentArchive/v1"}`:                                      ocm.ErrInvalid,
		`{"type":"ca","filePath":"` + file + `"}`:                             ocm.ErrInvalid,
		`{"type":"ca","filePath":"` + file + `.not"}`:                         ocm.ErrNotFound,
		`{"type":"CTF","filePath":"x","accessMode":"append"}`:                 ocm.ErrInvalid,
		`{"type":"CTF","filePath":"x","accessMode":["readonly"]}`:             ocm.ErrInvalid,
		`{"type":"CTF","filePath":"x","fileFormat":"zip"}`:                    ocm.ErrInvalid,
	} {
		if _, err := builtin.OpenRepository(t.Context(), builtin.Kit(), &ocm.Env{}, spec(t, raw)); !errors.Is(err, want) {
			t.Errorf("%s: expected %q, found %v", raw, want, err)
		}
	}
}

func Example() {
	ctx, env, kit := context.Background(), &ocm.Env{}, builtin.Kit()
	typ, location, err := ocm.ParseRepository("../ctf/testdata/golden/v2")
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := ocm.Coordinates{Type: typ, Repository: location}.Spec()
	if err != nil {
		fmt.Println(err)
		return
	}
	repo, err := builtin.OpenRepository(ctx, kit, env, s)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer repo.Close()
	for version, err := range repo.Versions(ctx, "golden.example/app") {
		fmt.Println(version, err)
	}
	// Output: 1.0.0 <nil>
}
