// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"slices"

	"ocm"
	"ocm/config"
	"ocm/credentials"
	"ocm/graph"
	"ocm/oci"
	"ocm/sign/sigstore"
)

// Kind is a kind of things that are chosen by a type name.
type Kind struct {
	Name  string      `json:"name"`
	About string      `json:"about"`
	Types []Described `json:"types"`
}

// Described is a type with what this program can do with it.
type Described struct {
	ocm.Type
	Supports []string `json:"supports,omitempty"` // few words each
}

// Types lists all types that a kit has, and those of configurations. Help, completion and docs/types.md are made
// of it.
func Types(k *ocm.Kit) []Kind {
	access := describe(k.Access.Types(), func(t ocm.Type) []string { return accessSupport(k, t) })
	local := describe(oci.Types(), func(ocm.Type) []string { return []string{"transfer by value", "download", "verify"} })
	return []Kind{
		{"ocm-repository", "Where component versions are kept.",
			describe(k.Repositories.Types(), func(t ocm.Type) []string { return t.Can })},
		{"access", "Where the content of a resource or source is. Accesses of other types are carried as they are, and their content stays where it is.",
			append(local, access...)},
		{"input", "Where the content of a resource or source comes from when it is packed, as constructor files name it.",
			describe(k.Inputs.Types(), func(t ocm.Type) []string { return inputSupport(k, t) })},
		{"uploader", "Places that are no OCM repository, into which a transfer stores the content of resources.", describe(k.Uploaders.Types(), nil)},
		{"transformer", "What makes other content of content, when it is downloaded, packed or transferred.", describe(k.Transformers.Types(), nil)},
		{"credential-repository", "Where secrets are kept, as the entries of credentials name it.", describe(credentials.Repositories(), nil)},
		{"credentials", "Secrets in the configuration, for a consumer.", describe(credentialTypes(), nil)},
		{"signing", "How signatures are made and verified, as the configuration names it.",
			describe(append(k.Signers.Types(), sigstoreVerification()), func(t ocm.Type) []string { return signingSupport(k, t) })},
		{"signature", "Algorithms, as they stand in signatures.",
			describe(k.Verifiers.Types(), func(t ocm.Type) []string { return signingSupport(k, t) })},
		{"config", "Entries of configuration files. Entries of other types are passed over.", describe(config.Types(), nil)},
	}
}

func describe(types []ocm.Type, supports func(ocm.Type) []string) []Described {
	list := make([]Described, len(types))
	for i, t := range types {
		if list[i].Type = t; supports != nil {
			list[i].Supports = supports(t)
		}
	}
	return list
}

func accessSupport(k *ocm.Kit, t ocm.Type) []string {
	if t.Can != nil {
		return t.Can
	}
	if !graph.HasContent(t.Names[0]) {
		return []string{"transfer as it is"}
	}
	list := []string{"transfer by value", "download", "verify"}
	if _, err := k.Inputs.For(t.Names[0]); err == nil {
		list = append(list, "pack as input")
	}
	if t.Pins != "" {
		list = append(list, "pinned ("+t.Pins+")")
	}
	return append(list, secretsOf(t)...)
}

func inputSupport(k *ocm.Kit, t ocm.Type) []string {
	all := k.Access.Types()
	i := slices.IndexFunc(all, func(a ocm.Type) bool { return slices.Contains(a.Names, t.Names[0]) })
	if i < 0 || all[i].Can != nil {
		return []string{"pack"}
	}
	return append([]string{"pack", "also an access"}, secretsOf(all[i])...)
}

func secretsOf(t ocm.Type) (list []string) {
	for _, consumer := range t.Consumers {
		list = append(list, "credentials of "+consumer)
	}
	return list
}

func signingSupport(k *ocm.Kit, t ocm.Type) (list []string) {
	if slices.ContainsFunc(t.Names, func(name string) bool { _, err := k.Signers.For(name); return err == nil }) {
		list = append(list, "sign")
	}
	if slices.ContainsFunc(t.Names, func(name string) bool { _, err := k.Verifiers.For(name); return err == nil }) || slices.Contains(t.Names, sigstoreVerificationType) {
		list = append(list, "verify")
	}
	return list
}

const sigstoreVerificationType = "SigstoreVerificationConfiguration"

func sigstoreVerification() ocm.Type {
	const name = sigstoreVerificationType
	return ocm.Type{
		Names: []string{name + "/v1alpha1", name}, About: "Whom to trust to have signed with the tools of the Sigstore project.", Fields: ocm.FieldsOf(sigstore.VerificationConfig{}),
		Notes: []string{"A keyless signature needs one of the issuer members and one of the identity members, a signature with a key needs the key."},
	}
}
