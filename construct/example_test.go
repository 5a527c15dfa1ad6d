// SPDX-License-Identifier: Apache-2.0

package construct_test

import (
	"context"
	"fmt"

	"ocm"
	"ocm/builtin"
	"ocm/construct"
	"ocm/oci"
	"ocm/oci/memory"
)

func Example() {
	ctx := context.Background()
	env := &ocm.Env{Job: ocm.NewJob(4)}
	repo := oci.NewRepository(memory.New(), env)
	defer repo.Close()

	file, err := construct.Parse([]byte(`
name: acme.org/app
version: ${VERSION}
provider: acme.org
resources:
- name: greeting
  type: plainText
  input: {type: utf8, text: "costs 5 $$"}
`), func(name string) (string, bool) { return "1.0.0", name == "VERSION" }, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	versions, err := construct.Run(ctx, builtin.Kit(), env, repo, file, construct.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := versions[0].Descriptor().Component
	fmt.Println(c.Name, c.Version, c.Resources[0].Digest)
	// Output:
	// acme.org/app 1.0.0 SHA-256:96fb00eaaa1cb34a637af06bac53888ed906622ff2d37cb6e1c0d4cb355e9704 (genericBlobDigest/v1)
}
