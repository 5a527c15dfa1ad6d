// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"ocm"
)

// What the commands ask of the packages below. Each method is one verb: it gets checked
// options and returns what is to be printed.

// newKit is what this program was built with.
func newKit() *ocm.Kit {
	return &ocm.Kit{
		Repositories: ocm.NewRegistry[ocm.RepositoryOpener]("repository"),
		Access:       ocm.NewRegistry[ocm.Opener]("access"),
		Inputs:       ocm.NewRegistry[ocm.Opener]("input"),
		Signers:      ocm.NewRegistry[ocm.Signer]("signer"),
		Verifiers:    ocm.NewRegistry[ocm.Verifier]("verifier"),
	}
}

// configure reads the configuration files and completes the environment.
func (s *session) configure(context.Context) error { return nil }

// add constructs component versions and returns their descriptors in the order of the file.
func (s *session) add(context.Context, addRequest) ([]*ocm.Descriptor, error) {
	return nil, notBuiltIn("add")
}

// load opens the version that c names with all versions that it references.
func (s *session) load(context.Context, ocm.Coordinates) (*node, error) {
	return nil, notBuiltIn("following references")
}

// sign signs a version and returns the signature; it is stored unless r.dryRun.
func (s *session) sign(context.Context, signRequest) (ocm.Signature, error) {
	return ocm.Signature{}, notBuiltIn("sign")
}

// verify verifies signatures and what they cover. It returns every check that was made, and
// an error unless everything that was asked for is good.
func (s *session) verify(context.Context, verifyRequest) ([]check, error) {
	return nil, notBuiltIn("verify")
}

// transfer copies versions, or only plans to with r.dryRun, and returns what was or would
// be done, referenced versions first.
func (s *session) transfer(context.Context, transferRequest) ([]moved, error) {
	return nil, notBuiltIn("transfer")
}

// hash normalises a version, with r.recursive also what it references.
func (s *session) hash(context.Context, hashRequest) ([]hashed, error) {
	return nil, notBuiltIn("hash")
}

// download writes the content of a resource to r.output ("-": stdout of the app) and
// returns the path that was written. Nothing stays there unless the digest is right.
func (s *session) download(context.Context, ocm.Version, ocm.Resource, downloadRequest) (string, error) {
	return "", notBuiltIn("download")
}

// errNoKey is in the errors of sign and verify where no key was configured.
var errNoKey = errors.New("no key")

func notBuiltIn(what string) error {
	return fmt.Errorf("%s is not built into this program: %w", what, errors.ErrUnsupported)
}
