// SPDX-License-Identifier: Apache-2.0

// Package builtin is the one list of what is compiled in: repository types, access methods,
// inputs, transformers and signature algorithms, each with all names by which descriptors, constructor
// files and configurations may call it.
package builtin

import (
	"context"
	"crypto/x509"
	"time"

	"ocm"
	"ocm/access"
	"ocm/access/chart"
	"ocm/input"
	"ocm/sign/timestamp"
)

// Kit returns everything that is compiled in.
func Kit() *ocm.Kit {
	k := ocm.NewKit()
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
	k.Transformers.Register(chart.Extract{}, ocm.Type{Names: ocm.Versioned("v1", "helm"),
		About: "The archive of a Helm chart, made of an OCI artifact that holds one, with its provenance file if there is one."})

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
