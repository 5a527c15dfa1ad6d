// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"slices"
	"strings"

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
			describe(k.Repositories.Types(), func(t ocm.Type) []string { return abilities[key(t)].can })},
		{"access", "Where the content of a resource or source is. Accesses of other types are carried as they are, and their content stays where it is.",
			append(local, access...)},
		{"input", "Where the content of a resource or source comes from when it is packed, as constructor files name it.",
			describe(k.Inputs.Types(), func(t ocm.Type) []string { return inputSupport(k, t) })},
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

// ability is what cannot be found out by asking the implementation.
type ability struct {
	can       []string // in place of what is found out
	pins      string   // what packing replaces by what stays the same
	consumers []string // types of the consumers whose secrets are asked for
}

// abilities are found by the name of a type, in small letters and without version. A test demands one for each
// access and each repository.
var abilities = map[string]ability{
	"ocirepository":         {can: []string{"read", "write"}, consumers: []string{"OCIRegistry"}},
	"commontransportformat": {can: []string{"read", "write", "list components"}},
	"componentarchive":      {can: []string{"read", "list components"}},
	"memory":                {can: []string{"read", "write", "list components"}},

	"ociartifact": {pins: "tag to digest", consumers: []string{"OCIRegistry"}},
	"ociblob":     {consumers: []string{"OCIRegistry"}},
	"helm":        {pins: "to the version, or digest", consumers: []string{"HelmChartRepository", "OCIRegistry"}},
	"git":         {pins: "ref to commit", consumers: []string{"Git"}},
	"github":      {pins: "ref to commit", consumers: []string{"GitHubRepository"}},
	"wget":        {consumers: []string{"Wget"}},
	"s3bucket":    {pins: "object to version", consumers: []string{"S3Bucket"}},
	"s3":          {pins: "object to version", consumers: []string{"S3Bucket"}},
	"npm":         {pins: "tag to version", consumers: []string{"NpmRegistry"}},
	"maven":       {pins: "to the version", consumers: []string{"MavenRepository"}},
	"ocm":         {consumers: []string{"OCIRegistry"}},
	"file":        {can: []string{"pack as input", "refused in descriptors"}},
	"none":        {},
}

// key is the name of a type in abilities.
func key(t ocm.Type) string {
	name, _, _ := strings.Cut(t.Names[0], "/")
	return strings.ToLower(name)
}

func accessSupport(k *ocm.Kit, t ocm.Type) []string {
	if can := abilities[key(t)].can; can != nil {
		return can
	}
	if !graph.HasContent(t.Names[0]) {
		return []string{"transfer as it is"}
	}
	list := []string{"transfer by value", "download", "verify"}
	if packs(k, t) {
		list = append(list, "pack as input")
	}
	return append(list, more(t)...)
}

func inputSupport(k *ocm.Kit, t ocm.Type) []string {
	if _, err := k.Access.For(t.Names[0]); err != nil || abilities[key(t)].can != nil {
		return []string{"pack"}
	}
	list := []string{"pack", "also an access"}
	for _, consumer := range abilities[key(t)].consumers {
		list = append(list, "credentials of "+consumer)
	}
	return list
}

func packs(k *ocm.Kit, t ocm.Type) bool {
	_, err := k.Inputs.For(t.Names[0])
	return err == nil
}

// more is what a method can do besides.
func more(t ocm.Type) (list []string) {
	a := abilities[key(t)]
	if a.pins != "" {
		list = append(list, "pinned ("+a.pins+")")
	}
	for _, consumer := range a.consumers {
		list = append(list, "credentials of "+consumer)
	}
	return list
}

func signingSupport(k *ocm.Kit, t ocm.Type) (list []string) {
	if slices.ContainsFunc(t.Names, func(name string) bool { _, err := k.Signers.For(name); return err == nil }) {
		list = append(list, "sign")
	}
	if slices.ContainsFunc(t.Names, func(name string) bool { _, err := k.Verifiers.For(name); return err == nil }) || key(t) == "sigstoreverificationconfiguration" {
		list = append(list, "verify")
	}
	return list
}

func sigstoreVerification() ocm.Type {
	const name = "SigstoreVerificationConfiguration"
	return ocm.Type{
		Names: []string{name + "/v1alpha1", name}, About: "Whom to trust to have signed with the tools of the Sigstore project.", Fields: ocm.FieldsOf(sigstore.VerificationConfig{}),
		Notes: []string{"A keyless signature needs one of the issuer members and one of the identity members, a signature with a key needs the key."},
	}
}
