// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"strings"

	"ocm"
)

// credentialTypes are the types of secrets for a consumer. Their members are the properties of the secret.
func credentialTypes() []ocm.Type {
	login := []string{"username: name of the user", "password: password of the user"}
	return []ocm.Type{
		{Names: ocm.Versioned("v1", "Credentials", "DirectCredentials"), About: "Properties for any consumer; several are merged.",
			Fields: []ocm.Field{{Name: "properties", Kind: "map of text", About: "the properties, under the names that the consumer's own type has", Needed: true}}},
		secret("OCICredentials/v1", "For registries.", append(login, "accessToken: token to be sent as it is; it wins", "refreshToken: token to get such tokens with")...),
		secret("HelmHTTPCredentials/v1", "For chart repositories.", append(login, "certFile: client certificate", "keyFile: its key")...),
		secret("WgetCredentials/v1", "For web servers.", append(login, "identityToken: bearer token; it wins", "certificate: client certificate, PEM", "privateKey: its key, PEM", "certificateAuthority: certificate of the authority, PEM")...),
		secret("GitHubCredentials/v1", "For GitHub.", "token: access token"),
		secret("S3Credentials/v1", "For object stores.", "accessKeyId: name of the key", "secretAccessKey: the key", "sessionToken: token of a session"),
		secret("RSACredentials/v1", "Keys of RSA and elliptic curve signatures; each also as a file, with File at the end of the name.",
			"privateKeyPEM: key to sign with", "publicKeyPEM: key to verify with", "caCertPEM: trust anchors", "tsaCertPEM: trust anchors of timestamps", "issuer: distinguished name that a certificate must have"),
		secret("GPGCredentials/v1alpha1", "Keys of OpenPGP signatures; each also as a file, with File at the end of the name.",
			"privateKeyPGP: key to sign with", "publicKeyPGP: keys to verify with", "passphrase: of the key to sign with"),
		secret("OIDCIdentityToken/v1alpha1", "Who signs without a key.", "token: identity token", "tokenFile: file that holds it"),
		secret("TrustedRoot/v1alpha1", "Whom to trust for signatures without a key.", "trustedRootJSON: Sigstore's trusted_root.json", "trustedRootJSONFile: file that holds it"),
	}
}

// secret describes a type of secrets by "name: meaning" of its members.
func secret(name, about string, members ...string) ocm.Type {
	base, _, _ := strings.Cut(name, "/")
	t := ocm.Type{Names: []string{name, base}, About: about}
	for _, m := range members {
		field, meaning, _ := strings.Cut(m, ": ")
		t.Fields = append(t.Fields, ocm.Field{Name: field, Kind: "text", About: meaning})
	}
	return t
}
