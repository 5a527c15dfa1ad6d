// SPDX-License-Identifier: Apache-2.0

// Package remote makes a registry an [oci.Store], after the OCI distribution specification 1.1.
//
// [Open] gives access to the repositories below an address, [OpenArtifact] to the one artifact
// of an image reference. Manifests, tags, referrers and downloads go through oras-go; uploads
// and authentication are written here, because both need more than it offers: content whose
// digest is not known before it has streamed through, and a rule about where secrets may go.
//
// # A registry is not trusted
//
//   - Requests go to the registry's own scheme, host and port and nowhere else. Upload
//     locations and next links that name another place are errors.
//   - Redirects are followed by reads only, without credentials once they leave the registry,
//     never from https to http, and not to loopback or link-local addresses.
//   - A token service gets credentials only if it is on the registry's host or in its domain,
//     or was allowed by [Options.TokenHosts].
//   - Whatever was asked for by digest must come with that digest; the bytes themselves are
//     checked by package blob, in the hands of whoever reads them.
//   - Pages, tags, manifests, error texts and the time without progress are bounded by the
//     constants of this package.
//   - No secret, and no query of a URL, gets into an error or a log record.
//
// # What it costs
//
// A blob that is not there yet costs two requests (POST, PUT), one that is there costs one, see
// [oci.Placer]; reading a blob or manifest costs one. Large blobs go in parts. An upload holds 1 MiB
// in memory, whatever the size of its content; hashing overlaps with sending.
//
// # What may be repeated
//
// Requests without body, and manifests, are repeated on 429, 502, 503, 504 and on connections
// that are refused or broken. A registry that answers 429, or 503 with Retry-After, gets fewer
// requests at once, none before the time that it asked for, and is waited for as long as it serves
// any. Downloads go on where they broke off, if the registry can do that. An upload is continued
// where the registry keeps what has arrived, in the next process too if [ocm.Env.Cache] is
// set, otherwise begun again; both need a source that can be read again.
package remote
