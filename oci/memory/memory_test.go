// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/internal/storetest"
	"ocm/oci"
	"ocm/oci/memory"
)

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) oci.Store { return memory.New() })
}

// A blob of one repository is not a blob of another one, as in a registry.
func TestBlobsBelongToOneRepository(t *testing.T) {
	t.Parallel()
	s := memory.New()
	d, err := s.Repo("a").Push(t.Context(), ociv1.Descriptor{}, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if there, err := s.Repo("b").Exists(t.Context(), d); there || err != nil {
		t.Fatalf("expected the blob in repository a only, found %v, %v", there, err)
	}
}

func TestCloseForgets(t *testing.T) {
	t.Parallel()
	s := memory.New()
	d, _ := s.Repo("a").Push(t.Context(), ociv1.Descriptor{}, strings.NewReader("x"))
	s.Close()
	if there, _ := s.Repo("a").Exists(t.Context(), d); there {
		t.Fatal("the blob is still there")
	}
}

func Example() {
	s := memory.New()
	d, err := s.Repo("acme.org/app").Push(context.Background(), ociv1.Descriptor{MediaType: "text/plain"}, strings.NewReader("hello"))
	fmt.Println(d.Digest, d.Size, err)
	// Output: sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 5 <nil>
}
