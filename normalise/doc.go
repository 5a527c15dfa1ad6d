// SPDX-License-Identifier: Apache-2.0

// Package normalise makes the canonical bytes of a component descriptor: what a
// signature covers, and what the digest of a referenced version is taken of.
//
// Canonical bytes hold what a component version is, not where it is stored: no
// accesses, no repository contexts, no signatures, and of labels only those marked
// for signing. They are built from the model, so that members that the model does
// not know are never part of them.
//
// Four algorithms are in use. [V1] and [V2] are legacy. [V3] and [V4] select the
// same members, but the two tools that write them treat a few corner cases
// differently; [Quirks] lists the places of a descriptor where they do.
//
//	name                        serialisation   written by
//	jsonNormalisation/v1        entry lists     the older tool, once
//	jsonNormalisation/v2        RFC 8785        the older tool, once
//	jsonNormalisation/v3        RFC 8785        the older tool
//	jsonNormalisation/v4alpha1  RFC 8785        the next-generation tool
//
// Whoever compares digests uses [Matches]. It accepts, besides the canonical form,
// the forms of [Candidates], none of which covers less than the canonical form of
// the same name.
package normalise

// Algorithm names on the wire.
const (
	V1 = "jsonNormalisation/v1"
	V2 = "jsonNormalisation/v2"
	V3 = "jsonNormalisation/v3"
	V4 = "jsonNormalisation/v4alpha1"
)

// MaxDepth bounds the nesting of a label's value; deeper ones are [ocm.ErrLimit].
const MaxDepth = 64
