// SPDX-License-Identifier: Apache-2.0

// Package builtin is the one list of what is compiled in: repository types, access methods,
// inputs and signature algorithms, each with all names by which descriptors, constructor
// files and configurations may call it.
package builtin

import (
	"context"
	"crypto/x509"
	"os"
	"time"

	"ocm"
	"ocm/access"
	"ocm/input"
	"ocm/sign/ec"
	"ocm/sign/pgp"
	"ocm/sign/rsa"
	"ocm/sign/server"
	"ocm/sign/sigstore"
	"ocm/sign/timestamp"
)

// The types to write of repositories.
const (
	registryType = "OCIRegistry"
	archiveType  = "CommonTransportFormat"
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
	for _, r := range repositories() {
		k.Repositories.Register(r.open, r.Type)
	}
	for _, m := range access.All() {
		k.Access.Register(m, m.Type)
	}
	for _, m := range input.All() {
		k.Inputs.Register(m, m.Type)
	}
	registerOCM(k)

	rsaHandler := rsa.Handler{Time: timeOf}
	k.Signers.Add(rsaHandler, append(ocm.Versioned("v1alpha1", "RSASigningConfiguration"), rsa.Algorithms...)...)
	k.Verifiers.Add(rsaHandler, rsa.Algorithms...)
	ecHandler := ec.Handler{Time: timeOf}
	k.Signers.Add(ecHandler, append(ocm.Versioned("v1alpha1", "ECSigningConfiguration"), ec.Algorithms...)...)
	k.Verifiers.Add(ecHandler, ec.Algorithms...)
	k.Signers.Add(server.Handler{}, server.ConfigTypes...) // its signatures are RSA's
	pgpHandler := pgp.Handler{Time: timeOf}
	k.Signers.Add(pgpHandler, append([]string{pgp.Algorithm}, ocm.Versioned("v1alpha1", "GPGSigningConfiguration")...)...)
	k.Verifiers.Add(pgpHandler, pgp.Algorithm)
	sigstoreHandler := sigstore.Handler{Getenv: os.Getenv}
	k.Signers.Add(sigstoreHandler, sigstore.SignerNames...)
	k.Verifiers.Add(sigstoreHandler, sigstore.VerifierNames...)
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
