// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
	"ocm/oci/remote"
)

// A blob whose digest nobody knows yet is stored, and read back by the digest it turned out
// to have.
func Example() {
	registry := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
	defer registry.Close()
	srv := httptest.NewServer(registry)
	defer srv.Close()

	ctx := context.Background()
	store, err := remote.Open(&ocm.Env{}, srv.URL, "acme", remote.Options{})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	repo := store.Repo("component-descriptors/acme.org/app")
	d, err := repo.Push(ctx, ociv1.Descriptor{MediaType: "text/plain", Size: -1}, strings.NewReader("hello"))
	if err != nil {
		panic(err)
	}
	text, err := blob.ReadAll(ctx, repo, d, 100)
	fmt.Println(d.Digest, d.Size, string(text), err)
	// Output: sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 5 hello <nil>
}

func ExampleParseReference() {
	ref, err := remote.ParseReference("alpine:3.20")
	fmt.Println(ref, err)
	// Output: docker.io/library/alpine:3.20 <nil>
}
