// SPDX-License-Identifier: Apache-2.0

// Package cert is what all signature algorithms with X.509-style keys have in common: how keys and
// certificates are configured and read, whose certificates are trusted and at which time they are
// judged, and how a signature and its certificates are written into one value. An algorithm adds an
// [Algorithm], a group of them that shares configuration and keys is a [Family].
//
// What is signed is the hash value of the normalised descriptor: the hex text in the digest, decoded.
//
// # Encodings
//
// A plain signature is hex text; its media type tells the algorithm or its family. A PEM signature is a
// SIGNATURE block followed by the signer's certificate and the intermediates that lead to a trust
// anchor; the anchor itself is not embedded. The SIGNATURE block may stand anywhere, but only once, and
// its "Signature Algorithm" header, if present, names the algorithm. Between the blocks there is
// only white space. All places that name an algorithm must agree, and the key must be of the kind that the
// algorithm needs, with exactly its curve.
//
// # Keys
//
// Keys are asked for with the consumer identity {type, algorithm, signature}, where the type is the family's.
// Properties of the secret, each with a ...File variant that names a file (relative to the current
// directory), where inline text wins:
//
//   - privateKeyPEM: PKCS#1, SEC 1 or PKCS#8, not encrypted. Without a public key, it is derived from here.
//   - publicKeyPEM: PKCS#1, PKIX or certificates, the signer's first.
//   - caCertPEM: certificates that PEM signatures must lead to.
//   - tsaCertPEM: certificates that timestamps must lead to.
//   - issuer (no file): distinguished name, each attribute of which the signer's
//     certificate must have in its subject.
//
// The snake case names of older configurations (private_key_pem_file and so on)
// are understood. PEM files may hold several blocks, the first usable one counts; of several
// certificates only the first one's key.
//
// # Trust in PEM signatures
//
// A chain must be valid for code signing and
// end, in this order of preference, in one of the caCertPEM certificates, in the
// one self-signed certificate at the end of publicKeyPEM, or in a root of the
// operating system. The last is only as good as all of these roots together, so it
// counts only where issuer names whose certificate is meant. The signer's certificate must not be that of an
// authority, unless it is itself the anchor.
//
// If what is configured is a bare public key, there is nothing to judge a chain
// against: the signer's certificate must then hold exactly that key, nothing
// else of the chain is looked at, and no name in it counts. Likewise, a certificate in publicKeyPEM is for
// plain signatures just a container of a key, whatever its validity.
//
// # Time
//
// A chain is judged at the time of [ocm.Env.Time], unless the signature has a timestamp and there are roots for
// it: tsaCertPEM, or else caCertPEM. Then the timestamp must be good, and every certificate must have been
// valid at its time. Without roots a timestamp is not looked at, and the finding about the time says so. The text
// beside the token decides nothing; it must not contradict the token.
//
// A timestamp is over the digest that was signed, as existing tools make it, and not over the signature: it
// proves that the digest was known at that time. Who gets hold of an expired key can therefore still sign
// what was given a timestamp while the certificate was valid.
package cert
