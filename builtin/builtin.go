// SPDX-License-Identifier: Apache-2.0

// Package builtin is the one list of what is compiled in: repository types, access methods,
// inputs and signature algorithms, each with all names by which descriptors, constructor
// files and configurations may call it.
package builtin

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"ocm"
	"ocm/access"
	"ocm/ctf"
	"ocm/input"
	"ocm/oci"
	"ocm/oci/remote"
	"ocm/sign/timestamp"
)

// Kit returns everything that is compiled in.
func Kit() *ocm.Kit {
	k := &ocm.Kit{
		Repositories: ocm.NewRegistry[ocm.RepositoryOpener]("repository"),
		Access:       ocm.NewRegistry[ocm.Opener]("access"),
		Inputs:       ocm.NewRegistry[ocm.Opener]("input"),
		Signers:      ocm.NewRegistry[ocm.Signer]("signer"),
		Verifiers:    ocm.NewRegistry[ocm.Verifier]("signature algorithm"),
	}
	k.Repositories.Add(openRegistry, ocm.Versioned("v1", "OCIRepository", "OCI", "oci", "OCIRegistry", "ociRegistry")...)
	k.Repositories.Add(openCTF, ocm.Versioned("v1", "CommonTransportFormat", "CTF", "ctf", "commonTransportFormat")...)

	for _, m := range access.All() {
		k.Access.Register(m, m.Type)
	}
	for _, m := range input.All() {
		k.Inputs.Register(m, m.Type)
	}

	for _, s := range signatures() {
		if s.sign != nil {
			k.Signers.Register(s.sign, s.signer)
		}
		if s.verify != nil {
			k.Verifiers.Register(s.verify, s.verifier)
		}
	}
	return k
}

// timeOf judges the timestamp of a signature with certificates.
func timeOf(ts *ocm.Timestamp, d ocm.Digest, roots []*x509.Certificate) (at time.Time, by string, err error) {
	r, err := timestamp.Check(ts, d, roots)
	if err != nil {
		return at, "", err
	}
	return r.Time, r.Signer.Subject.String(), nil
}

// OpenRepository opens a repository by its specification.
func OpenRepository(ctx context.Context, kit *ocm.Kit, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
	open, err := kit.Repositories.For(s.Type)
	if err != nil {
		return nil, err
	}
	return open(ctx, env, s)
}

func openRegistry(_ context.Context, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
	var r struct {
		BaseURL string `json:"baseUrl"`
		SubPath string `json:"subPath"`
		Mapping string `json:"componentNameMapping"`
	}
	if err := s.Decode(&r); err != nil {
		return nil, err
	}
	if r.BaseURL == "" {
		return nil, fmt.Errorf("repository %s: baseUrl is missing: %w", s.Type, ocm.ErrInvalid)
	}
	// Another mapping means other repositories: reading would find nothing, writing would hide.
	if r.Mapping != "" && r.Mapping != "urlPath" {
		return nil, fmt.Errorf("repository %s: componentNameMapping %q, known is urlPath: %w", s.Type, r.Mapping, errors.ErrUnsupported)
	}
	store, err := remote.Open(env, r.BaseURL, r.SubPath, remote.Options{})
	if err != nil {
		return nil, err
	}
	return oci.NewRepository(store, env), nil
}

func openCTF(_ context.Context, env *ocm.Env, s ocm.Spec) (ocm.Repository, error) {
	var c struct {
		FilePath string `json:"filePath"`
	}
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	if c.FilePath == "" {
		return nil, fmt.Errorf("repository %s: filePath is missing: %w", s.Type, ocm.ErrInvalid)
	}
	if c.FilePath == "-" { // who asks here does not say whether it is to be read or written
		return nil, fmt.Errorf("repository %s: filePath \"-\": a pipe cannot be named here, and a file of this name is ./-: %w", s.Type, ocm.ErrInvalid)
	}
	store, err := ctf.Open(c.FilePath)
	if err != nil {
		return nil, err
	}
	if env != nil && env.Durable {
		store.Durable()
	}
	return oci.NewRepository(store, env), nil
}
