// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"reflect"
	"testing"

	"ocm/descriptor"
)

func TestRecordTellsWhatADescriptorSays(t *testing.T) {
	t.Parallel()
	d, err := descriptor.Decode("", []byte(`{"meta": {"schemaVersion": "v2"}, "component": {"name": "acme.org/x", "version": "1.0.0",
"provider": "{\"name\":\"acme.org\",\"labels\":[{\"name\":\"a\",\"value\":1}]}", "repositoryContexts": [], "sources": [],
"resources": [{"name": "a", "version": "1", "type": "blob", "relation": "local", "access": {"type": "none"}},
{"name": "b", "version": "2", "type": "ociImage", "relation": "local", "access": {"type": "localBlob", "localReference": "sha256:00", "mediaType": "x"},
"digest": {"hashAlgorithm": "SHA-256", "normalisationAlgorithm": "ociArtifactDigest/v1", "value": "0b"}}],
"componentReferences": [{"name": "y", "componentName": "acme.org/y", "version": "3.0.0"}]},
"signatures": [{"name": "s", "digest": {"hashAlgorithm": "SHA-256", "normalisationAlgorithm": "jsonNormalisation/v4alpha1", "value": "0c"},
"signature": {"algorithm": "RSASSA-PSS", "value": "00", "mediaType": "m"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := component{
		Name: "acme.org/x", Version: "1.0.0", Provider: "acme.org",
		Resources:  []resource{{Name: "a", Version: "1", Type: "blob"}, {Name: "b", Version: "2", Type: "ociImage", Digest: "SHA-256:0b"}},
		References: []reference{{Component: "acme.org/y", Version: "3.0.0"}},
		Signatures: []signature{{Name: "s", Algorithm: "RSASSA-PSS", Digest: "SHA-256:0c"}},
	}
	if got := recorded(d); !reflect.DeepEqual(got, want) {
		t.Errorf("expected %+v, found %+v", want, got)
	}
}
