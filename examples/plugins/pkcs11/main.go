// SPDX-License-Identifier: Apache-2.0

// Pkcs11 is a plugin that signs with a key that never leaves its token: a smart card, a hardware security module, or anything else with a
// PKCS#11 module. What it makes are RSASSA-PSS, ECDSA-P256 and ECDSA-P384 signatures, which everybody verifies without the plugin.
//
// The module is what the variable PKCS11_MODULE of the plugin's environment names, by an absolute path. The configuration of the signer
// names the token and the key, by their labels:
//
//	type: signing.config.ocm.software
//	signer: {type: PKCS11SigningConfiguration/v1alpha1, token: release, key: component-key}
//
// Without "key" it is the key that is called like the signature. The PIN is that of the token:
//
//	type: credentials.config.ocm.software
//	consumers:
//	- identity: {type: PKCS11/v1alpha1, token: release}
//	  credentials: [{type: Credentials/v1, properties: {pin: "271828"}}]
//
// It is tried once: tokens count.
//
// Each signature is verified with the token's public key, which lies beside the private one under the same label, before it is handed
// out. Keys that want to be unlocked for each use of theirs (CKA_ALWAYS_AUTHENTICATE) are not supported.
package main

import (
	"os"

	"ocm"
	"ocm/plugin"
	"ocm/sign/ec"
	"ocm/sign/rsa"
)

func main() {
	plugin.Main(plugin.About{Name: "pkcs11", Version: "1.0.0", About: "Signs with keys in PKCS#11 tokens."}, kit(newModule(os.Getenv("PKCS11_MODULE"))))
}

func kit(t token) *ocm.Kit {
	kit := ocm.NewKit()
	kit.Signers.Register(&signer{t}, ocm.Type{
		Names:      configTypes,
		About:      "Signatures with an RSA or elliptic curve key that stays in a PKCS#11 token.",
		Fields:     ocm.FieldsOf(config{}),
		Algorithms: []string{rsa.PSS, ec.P256, ec.P384},
		Notes:      []string{"The PIN is the property pin of the consumer " + identityType + ".", "The module is the plugin's variable PKCS11_MODULE."},
	})
	return kit
}
