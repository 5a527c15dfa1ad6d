// SPDX-License-Identifier: Apache-2.0

package descriptor_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ocm"
	"ocm/descriptor"
)

func TestCheckVersion(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"1.2.3", "v1.2.3", "1.2.3-foo+bar", "1.2", "1", "v1", "v1-foo+bar", "0.0.0", "1.0.0-0.a.-", "1.0.0--", "1.0.0+001", "1.0.0-0a"} {
		if err := descriptor.CheckVersion(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "v", "01.2.3", "1.02", "1.2.3.4", "1.0.0-", "1.0.0-01", "1.0.0-a..b", "1.0.0+", "1.0.0+a+b", "V1", " 1", "1\n", "1.0.0/x", "1.0.0-ä", "latest"} {
		if err := descriptor.CheckVersion(s); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"acme.org/app", "a.b-c.org/x_y/z.w-1", "acme.org/" + strings.Repeat("a", 246)} {
		if err := descriptor.CheckName(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "acme.org", "acme/app", "Acme.org/app", "acme.org/App", "acme.org/1app", "acme.org/", "acme.org//app", "acme.o/app", "acme.org/../app",
		"/acme.org/app", "acme.org/app\n", "acme.org/app:1", "acme.org/" + strings.Repeat("a", 247)} {
		if err := descriptor.CheckName(s); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func valid() *ocm.Descriptor {
	digest := func() *ocm.Digest {
		return &ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: ocm.GenericBlobDigest, Value: strings.Repeat("ab", 32)}
	}
	access := ocm.Spec{Type: "localBlob/v1", Raw: ocm.RawJSON(`{"type":"localBlob/v1"}`)}
	element := ocm.Element{Name: "res", Version: "1.0.0", Labels: []ocm.Label{{Name: "l", Value: ocm.RawJSON("1"), Version: "v1"}}}
	signed := ocm.Signature{Name: "s", Digest: *digest(), Signature: ocm.SignatureValue{Algorithm: "a", MediaType: "m", Value: "v"}}
	return &ocm.Descriptor{
		Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2},
		Component: ocm.Component{
			Name: "acme.org/app", Version: "1.0.0", Provider: "acme", CreationTime: "2026-01-02T03:04:05Z",
			RepositoryContexts: []ocm.Spec{{Type: "OCIRegistry"}},
			Resources: []ocm.Resource{
				{Element: element, Type: "blob", Relation: ocm.RelationLocal, Access: access, Digest: digest()},
				{Element: ocm.Element{Name: "res", Version: "2.0.0"}, Type: "blob", Relation: ocm.RelationExternal, Access: access},
				{Element: ocm.Element{Name: "res", Version: "1.0.0", ExtraIdentity: ocm.Identity{"os": "linux"}}, Type: "blob", Relation: ocm.RelationLocal, Access: access,
					Digest: &ocm.Digest{HashAlgorithm: ocm.NoDigest, NormalisationAlgorithm: ocm.ExcludeFromSignature, Value: ocm.NoDigest}},
			},
			Sources:    []ocm.Source{{Element: element, Type: "git", Access: access}},
			References: []ocm.Reference{{Element: element, ComponentName: "acme.org/lib", Digest: digest()}},
		},
		Signatures: []ocm.Signature{signed},
		NestedDigests: []ocm.NestedDigest{{Name: "acme.org/lib", Version: "1.0.0", Digest: digest(),
			ResourceDigests: []ocm.NestedResourceDigest{{Name: "res", Digest: *digest()}}}},
	}
}

// breaches are changes that break one rule each, by a part of the message.
var breaches = map[string]func(*ocm.Descriptor){
	`meta.schemaVersion: expected "v2"`: func(d *ocm.Descriptor) { d.Meta.SchemaVersion = "v1" },
	"component.name: ":                  func(d *ocm.Descriptor) { d.Component.Name = "app" },
	"component.version: ":               func(d *ocm.Descriptor) { d.Component.Version = "latest" },
	"component.creationTime: ":          func(d *ocm.Descriptor) { d.Component.CreationTime = "2026-01-02" },
	"component.provider: is missing":    func(d *ocm.Descriptor) { d.Component.Provider = "" },
	"component.provider: component.provider looks like a JSON object": func(d *ocm.Descriptor) { d.Component.Provider = "{" },
	"component.provider: Name: ":                                      func(d *ocm.Descriptor) { d.Component.Provider = `{"name":"a","Name":"b"}` },
	"component.provider.labels[1].name: label \"a\" is there already as entry 0": func(d *ocm.Descriptor) {
		d.Component.Provider = `{"name":"x","labels":[{"name":"a","value":1},{"name":"a","value":2}]}`
	},
	"component.repositoryContexts[0].type: is missing": func(d *ocm.Descriptor) { d.Component.RepositoryContexts[0].Type = "" },
	"component.labels[0].name: is missing":             func(d *ocm.Descriptor) { d.Component.Labels = []ocm.Label{{Value: ocm.RawJSON("1")}} },
	"component.labels[0].value: is missing":            func(d *ocm.Descriptor) { d.Component.Labels = []ocm.Label{{Name: "l"}} },
	"component.resources[0].labels[0].version: \"v1alpha1\" does not match": func(d *ocm.Descriptor) {
		d.Component.Resources[0].Labels[0].Version = "v1alpha1"
	},
	"component.resources[0].labels[0].merge.algorithm: ": func(d *ocm.Descriptor) {
		d.Component.Resources[0].Labels[0].Merge = &ocm.MergeSpec{Algorithm: "X"}
	},
	"component.resources[0].name: ":              func(d *ocm.Descriptor) { d.Component.Resources[0].Name = "R" },
	"component.resources[0].version: ":           func(d *ocm.Descriptor) { d.Component.Resources[0].Version = "" },
	"component.resources[0].type: is missing":    func(d *ocm.Descriptor) { d.Component.Resources[0].Type = "" },
	"component.resources[0].relation: expected ": func(d *ocm.Descriptor) { d.Component.Resources[0].Relation = "" },
	"component.resources[0].access.type: ":       func(d *ocm.Descriptor) { d.Component.Resources[0].Access = ocm.Spec{} },
	"component.resources[0].extraIdentity: key \"name\"": func(d *ocm.Descriptor) {
		d.Component.Resources[0].ExtraIdentity = ocm.Identity{"name": "x"}
	},
	"component.resources[0].extraIdentity: \"OS\"": func(d *ocm.Descriptor) { d.Component.Resources[0].ExtraIdentity = ocm.Identity{"OS": "x"} },
	"component.resources[1]: identity name=res,version=1.0.0 is there already as entry 0": func(d *ocm.Descriptor) {
		d.Component.Resources[1].Version = "1.0.0"
	},
	"component.resources[0].srcRefs[0].labels[0].name: ": func(d *ocm.Descriptor) {
		d.Component.Resources[0].SrcRefs = []ocm.SourceRef{{Labels: []ocm.Label{{Value: ocm.RawJSON("1")}}}}
	},
	"component.resources[0].digest.normalisationAlgorithm: is missing":                        func(d *ocm.Descriptor) { d.Component.Resources[0].Digest.NormalisationAlgorithm = "" },
	"component.resources[0].digest.hashAlgorithm: expected SHA-256 or SHA-512, found \"MD5\"": func(d *ocm.Descriptor) { d.Component.Resources[0].Digest.HashAlgorithm = "MD5" },
	"component.resources[0].digest.value: expected 128":                                       func(d *ocm.Descriptor) { d.Component.Resources[0].Digest.HashAlgorithm = ocm.SHA512 },
	"component.resources[0].digest.value: expected 64": func(d *ocm.Descriptor) {
		d.Component.Resources[0].Digest.Value = strings.Repeat("AB", 32)
	},
	"component.resources[0].digest: \"NO-DIGEST\" is allowed only together": func(d *ocm.Descriptor) {
		d.Component.Resources[0].Digest.Value = ocm.NoDigest
	},
	"component.sources[0].type: is missing":            func(d *ocm.Descriptor) { d.Component.Sources[0].Type = "" },
	"component.sources[0].access.type: ":               func(d *ocm.Descriptor) { d.Component.Sources[0].Access = ocm.Spec{} },
	"component.componentReferences[0].componentName: ": func(d *ocm.Descriptor) { d.Component.References[0].ComponentName = "x" },
	"component.componentReferences[0].digest: a component version cannot be excluded": func(d *ocm.Descriptor) {
		d.Component.References[0].Digest = d.Component.Resources[2].Digest
	},
	"component.componentReferences[1]: identity": func(d *ocm.Descriptor) {
		d.Component.References = append(d.Component.References, d.Component.References[0])
	},
	"signatures[0].name: is missing":                       func(d *ocm.Descriptor) { d.Signatures[0].Name = "" },
	"signatures[1].name: signature \"s\" is there already": func(d *ocm.Descriptor) { d.Signatures = append(d.Signatures, d.Signatures[0]) },
	"signatures[0].digest.hashAlgorithm: ":                 func(d *ocm.Descriptor) { d.Signatures[0].Digest = ocm.Digest{} },
	"signatures[0].digest: a signature needs":              func(d *ocm.Descriptor) { d.Signatures[0].Digest = *d.Component.Resources[2].Digest },
	"signatures[0].signature.algorithm: ":                  func(d *ocm.Descriptor) { d.Signatures[0].Signature.Algorithm = "" },
	"signatures[0].signature.mediaType: ":                  func(d *ocm.Descriptor) { d.Signatures[0].Signature.MediaType = "" },
	"signatures[0].signature.value: ":                      func(d *ocm.Descriptor) { d.Signatures[0].Signature.Value = "" },
	"nestedDigests[0].name: ":                              func(d *ocm.Descriptor) { d.NestedDigests[0].Name = "" },
	"nestedDigests[0].resourceDigests[0].digest.hash": func(d *ocm.Descriptor) {
		d.NestedDigests[0].ResourceDigests[0].Digest = ocm.Digest{}
	},
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := descriptor.Validate(valid()); err != nil {
		t.Fatal(err)
	}
	for want, breach := range breaches {
		d := valid()
		breach(d)
		err := descriptor.Validate(d)
		if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("expected %q, found %v", want, err)
		}
	}
}

// All that is wrong is reported at once.
func TestValidateJoins(t *testing.T) {
	t.Parallel()
	err := descriptor.Validate(&ocm.Descriptor{Component: ocm.Component{Resources: make([]ocm.Resource, 2)}})
	for _, path := range []string{"component.name", "component.version", "component.provider", "component.resources[0].name", "component.resources[1].access.type"} {
		if !strings.Contains(fmt.Sprint(err), path+": ") {
			t.Errorf("%s is missing in %v", path, err)
		}
	}
}

// Identities are compared as sets of pairs, not as texts that could be forged.
func TestIdentitiesAreNotConfused(t *testing.T) {
	t.Parallel()
	d := valid()
	d.Component.Resources[0].ExtraIdentity = ocm.Identity{"aa": "1,bb=2"}
	d.Component.Resources[1].Element = ocm.Element{Name: "res", Version: "1.0.0", ExtraIdentity: ocm.Identity{"aa": "1", "bb": "2"}}
	if err := descriptor.Validate(d); err != nil {
		t.Error(err)
	}
}
