// SPDX-License-Identifier: Apache-2.0

// Package ocm holds the nouns of the Open Component Model and the few
// interfaces between them; it contains no implementation of any of these.
//
// A component version is a [Descriptor]: a name, a version, and lists of
// resources, sources and references to other component versions. Each
// resource says by an access [Spec] where its bytes live and by a [Digest]
// what they must be. A signature over the normalised descriptor therefore
// covers everything below it, wherever it is stored.
//
// # How the parts fit
//
// A [Repository] holds component versions. [Repository.Open] returns a
// [Version], pinned to one immutable state; [Repository.Draft] begins a new
// state, which becomes visible in one moment, at [Draft.Commit].
//
// Everything that can be moved is a [Content]: an OCI descriptor plus a
// [Fetcher] that delivers the bytes. A plain file is a graph of one node, an
// image is a graph of many; nobody needs to care which.
//
// What is extensible is found by the "type" member of a [Spec] in a
// [Registry]: access methods and inputs are [Opener] values, signature
// algorithms are [Signer] and [Verifier] values. A [Kit] is the set of
// registries that one program was built with; package builtin has the list.
//
// An [Env] carries what every implementation needs from its surroundings:
// credentials, HTTP transport, temporary space, clock, log and the [Job] that
// bounds the work.
//
// # Rules that hold everywhere
//
//   - Errors wrap one of the sentinels of this package where one fits, and say
//     what, where, expected and found.
//   - Sizes are bytes. Digests are OCI digests ("sha256:<hex>"), except in
//     [Digest], which is the descriptor's own triple.
//   - A size or count that comes from outside has a limit.
//   - Values returned by an interface may be used concurrently unless the
//     method says otherwise.
package ocm
