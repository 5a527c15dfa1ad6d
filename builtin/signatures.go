// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"os"

	"ocm"
	"ocm/sign/cert"
	"ocm/sign/ec"
	"ocm/sign/pgp"
	"ocm/sign/rsa"
	"ocm/sign/server"
	"ocm/sign/sigstore"
)

// signature is a family of signature algorithms.
type signature struct {
	sign     ocm.Signer   // nil: it only verifies
	signer   ocm.Type     // the configuration of signers; the algorithms are names of it too
	verify   ocm.Verifier // nil: its signatures are those of another family
	verifier ocm.Type     // the algorithms, as they stand in signatures
}

// signatures are the families of signature algorithms.
func signatures() []signature {
	rsaHandler, ecHandler, pgpHandler := rsa.Handler{Time: timeOf}, ec.Handler{Time: timeOf}, pgp.Handler{Time: timeOf}
	sigstoreHandler := sigstore.Handler{Getenv: os.Getenv}
	return []signature{
		{rsaHandler, configured("RSASigningConfiguration", "Signatures with an RSA key, as RSASSA-PSS (default) or RSASSA-PKCS1-V1_5.", cert.Config{}, rsa.Algorithms...),
			rsaHandler, algorithm("A signature with an RSA key.", rsa.IdentityType, rsa.Algorithms...)},
		{ecHandler, configured("ECSigningConfiguration", "Signatures with an elliptic curve key; the algorithm follows from the key.", cert.Config{}, ec.Algorithms...),
			ecHandler, algorithm("A signature with an elliptic curve key.", ec.IdentityType, ec.Algorithms...)},
		{pgpHandler, configured("GPGSigningConfiguration", "Signatures with an OpenPGP key.", pgp.Config{}, pgp.Algorithm),
			pgpHandler, algorithm("An OpenPGP signature.", pgp.IdentityType, pgp.Algorithm)},
		{server.Handler{}, signingServer(), nil, ocm.Type{}},
		{sigstoreHandler, configured("SigstoreSigningConfiguration", "Keyless signatures: with a certificate for whoever is logged in, and an entry in a transparency log.", sigstore.SigningConfig{}, sigstore.Algorithm, sigstore.LegacyAlgorithm),
			sigstoreHandler, algorithm("A signature of the Sigstore project, keyless or with a key.", sigstore.VerifierIdentityType, sigstore.VerifierNames...)},
	}
}

// configured describes the configuration of a signer. The name of an algorithm in its place configures nothing else.
func configured(name, about string, fields any, algorithms ...string) ocm.Type {
	return ocm.Type{Names: append([]string{name + "/v1alpha1", name}, algorithms...), About: about, Fields: ocm.FieldsOf(fields)}
}

func algorithm(about, consumer string, names ...string) ocm.Type {
	return ocm.Type{Names: names, About: about, Notes: []string{"Keys, or who is trusted, are those of the consumer " + consumer + "."}}
}

func signingServer() ocm.Type {
	return ocm.Type{
		Names:  server.ConfigTypes,
		About:  "Signatures that a server makes, which keeps the RSA key: as RSASSA-PKCS1-V1_5 or, by the second name, RSASSA-PSS.",
		Fields: ocm.FieldsOf(server.Config{}),
		Notes:  []string{"The certificate for the server is that of the consumer " + server.IdentityType + "."},
	}
}
