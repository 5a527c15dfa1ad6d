// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
)

// scriptAttachAll attaches a referrer to a manifest in a registry, another one to the first entry if that is an index, and a signature as
// cosign does it. It sets $REFERRER, $ENTRYREFERRER and $COSIGN to their digests:
//
//	attach-all HOST:PORT/REPOSITORY:TAG
func scriptAttachAll(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: attach-all REFERENCE")
	}
	repo, err := remote.NewRepository(args[0])
	ts.Check(err)
	repo.PlainHTTP = true
	push := func(text string, subject *ociv1.Descriptor) ociv1.Descriptor {
		layer := content.NewDescriptorFromBytes("text/plain", []byte(text))
		ts.Check(repo.Push(context.Background(), layer, strings.NewReader(text)))
		ts.Check(repo.Push(context.Background(), ociv1.DescriptorEmptyJSON, strings.NewReader("{}")))
		raw, err := json.Marshal(ociv1.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ociv1.MediaTypeImageManifest, ArtifactType: "application/vnd.example.signature",
			Config: ociv1.DescriptorEmptyJSON, Layers: []ociv1.Descriptor{layer}, Subject: subject,
		})
		ts.Check(err)
		d := content.NewDescriptorFromBytes(ociv1.MediaTypeImageManifest, raw)
		ts.Check(repo.Push(context.Background(), d, bytes.NewReader(raw)))
		return d
	}
	root, rc, err := repo.FetchReference(context.Background(), repo.Reference.Reference)
	ts.Check(err)
	defer rc.Close()
	raw, err := content.ReadAll(rc, root)
	ts.Check(err)
	var index ociv1.Index
	ts.Check(json.Unmarshal(raw, &index))
	ts.Setenv("REFERRER", push("a referrer", &root).Digest.String())
	if len(index.Manifests) > 0 {
		entry := index.Manifests[0]
		entry.Platform = nil
		ts.Setenv("ENTRYREFERRER", push("a referrer of an entry", &entry).Digest.String())
	}
	cosign := push("a signature of cosign", nil)
	ts.Check(repo.Tag(context.Background(), cosign, strings.Replace(root.Digest.String(), ":", "-", 1)+".sig"))
	ts.Setenv("COSIGN", cosign.Digest.String())
}
