// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"ocm"
	"ocm/graph"
	"ocm/normalise"
)

// sign signs a version, with r.recursive also all that it references, and returns what was signed. It is stored
// unless r.dryRun.
func (s *session) sign(ctx context.Context, r signRequest) ([]graph.Signed, error) {
	o, err := s.signer(r.signerOptions)
	if err != nil {
		return nil, err
	}
	if r.dryRun && isSigstore(o.Spec.Type) {
		return nil, usagef("--dry-run: the signer that is configured would publish the signature all the same; \"ocm hash cv\" shows what would be signed")
	}
	o.Hash, o.Normalisation = r.hash, r.normalisation
	o.Recursive, o.Force, o.DryRun = r.recursive, r.force, r.dryRun
	repo, v, err := s.openVersion(ctx, r.at)
	if err != nil {
		return nil, err
	}
	if o.Normalisation == normalise.V3 {
		for _, q := range normalise.Quirks(v.Descriptor()) {
			s.env.Log.Warn("existing tools will not agree on this signature: " + q)
		}
	}
	list, err := graph.SignVersion(ctx, s.kit, s.env, graph.Locate(s.Locator(repo, r.at.Component, nil)), repo, v, o)
	return list, errors.Join(s.keyError(err), finishAll(ctx, list))
}

// attach stores a signature that was made on another machine.
func (s *session) attach(ctx context.Context, r signRequest) ([]graph.Signed, error) {
	var sig ocm.Signature
	if err := s.readDocument(r.attach, &sig); err != nil {
		return nil, fmt.Errorf("--attach %w", err)
	}
	if r.signature != "" && r.signature != sig.Name {
		return nil, usagef("--signature %s: the signature in %s is named %q", r.signature, r.attach, sig.Name)
	}
	r.signature = sig.Name
	o, err := s.signer(r.signerOptions)
	if err != nil {
		return nil, err
	}
	o.Force, o.DryRun, o.Check = r.force, r.dryRun, r.publicKey+r.caCert != ""
	repo, v, err := s.openVersion(ctx, r.at)
	if err != nil {
		return nil, err
	}
	stored, judged, err := graph.Attach(ctx, s.kit, s.env, graph.Locate(s.Locator(repo, r.at.Component, nil)), repo, v, sig, o)
	if err != nil {
		return nil, s.keyError(fmt.Errorf("%s: %w", r.attach, err))
	}
	if !judged {
		s.env.Log.Warn("the signature is of this version; who made it was not checked, because no key for it is known here", "signature", sig.Name)
	}
	list := []graph.Signed{stored}
	return list, finishAll(ctx, list)
}

// finishAll makes what was signed visible, also if not everything was.
func finishAll(ctx context.Context, list []graph.Signed) error {
	done := map[ocm.Repository]bool{}
	for _, signed := range list {
		if wrote := signed.State == graph.StateSigned || signed.State == graph.StateReplaced; !wrote || done[signed.In] {
			continue
		}
		done[signed.In] = true
		if err := finish(context.WithoutCancel(ctx), signed.In); err != nil {
			return err
		}
	}
	return nil
}
