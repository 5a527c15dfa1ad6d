// SPDX-License-Identifier: Apache-2.0

// Commandsigner is a plugin that lets a command of yours sign, and verify: one that asks a key server, or openssl.
//
// Which command that is stands in a file beside the plugin, with the name of the plugin and .json behind it, which nobody but its owner
// may write. Nothing that is signed or verified can change it, and no signer's configuration either; it is started without a shell:
//
//	{
//	  "algorithm": "OPENSSL-RSA",
//	  "keys":   {"release": "keys/release"},
//	  "sign":   ["/usr/bin/openssl", "pkeyutl", "-sign", "-inkey", "{key}.pem", "-pkeyopt", "digest:{hash}"],
//	  "verify": ["/usr/bin/openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "{key}.pub", "-pkeyopt", "digest:{hash}", "-sigfile", "{signature}"]
//	}
//
// The command runs in the folder of that file with PATH as its only variable. It reads the digest, as bytes, from its standard input. One
// that signs writes the signature, as bytes, to its standard output; one that verifies ends with status 0 if the signature, in the file
// {signature}, is good, and with any other one if it is not. {key} is what "keys" has for the name of the signature: there are no other
// keys. {hash} is sha256, sha384 or sha512.
//
// Without "verify" somebody else must know the algorithm: one that is built in, such as RSASSA-PKCS1-V1_5, if the command makes what that
// needs, and "mediaType" says so.
package main

import (
	"fmt"
	"os"

	"ocm"
	"ocm/plugin"
)

func main() {
	plugin.Main(plugin.About{Name: "commandsigner", Version: "1.0.0", About: "Lets a command sign and verify."}, kit())
}

// kit has what the file beside the plugin describes; without a good one the plugin ends.
func kit() *ocm.Kit {
	self, err := os.Executable()
	var s *signer
	if err == nil {
		s, err = load(self + ".json")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "commandsigner:", err)
		os.Exit(1)
	}
	return s.kit()
}

func (s *signer) kit() *ocm.Kit {
	kit := ocm.NewKit()
	t := ocm.Type{Names: []string{s.c.Type}, About: "Signatures that a command makes, which is configured beside the plugin.",
		Notes: []string{"Keys are those that the plugin's own file has for the name of the signature."}}
	if len(s.c.Verify) == 0 {
		t.Algorithms = []string{s.c.Algorithm}
		kit.Signers.Register(s, t)
		return kit
	}
	t.Names = append(t.Names, s.c.Algorithm)
	kit.Signers.Register(s, t)
	kit.Verifiers.Register(verifier{s}, ocm.Type{Names: []string{s.c.Algorithm}, About: "A signature that a command judges.", Notes: t.Notes})
	return kit
}
