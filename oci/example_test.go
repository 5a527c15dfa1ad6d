// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"context"
	"fmt"
	"log"

	"ocm"
	"ocm/blob"
	"ocm/oci"
	"ocm/oci/memory"
)

// A component version is written through a draft, and visible after Commit.
func Example() {
	ctx := context.Background()
	repo := oci.NewRepository(memory.New(), &ocm.Env{})
	defer repo.Close()

	draft, err := repo.Draft(ctx, "acme.org/hello", "1.0.0", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer draft.Close()
	stored, err := draft.Add(ctx, blob.Bytes("text/plain", []byte("Hello, world.")), "")
	if err != nil {
		log.Fatal(err)
	}
	_, err = draft.Commit(ctx, &ocm.Descriptor{
		Meta: ocm.Meta{SchemaVersion: ocm.SchemaV2},
		Component: ocm.Component{
			Name: "acme.org/hello", Version: "1.0.0", Provider: "acme.org",
			Resources: []ocm.Resource{{
				Element: ocm.Element{Name: "text", Version: "1.0.0"}, Type: "plainText", Relation: ocm.RelationLocal, Access: stored.Access,
			}},
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	version, err := repo.Open(ctx, "acme.org/hello", "1.0.0")
	if err != nil {
		log.Fatal(err)
	}
	content, err := version.Blob(ctx, version.Descriptor().Component.Resources[0].Access)
	if err != nil {
		log.Fatal(err)
	}
	text, err := blob.ReadAll(ctx, content.From, content.Root, 1<<10)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(content.Root.MediaType, string(text))
	// Output: text/plain Hello, world.
}
