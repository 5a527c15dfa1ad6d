// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"context"
	"fmt"
	"log"

	"ocm"
	"ocm/builtin"
	"ocm/construct"
	"ocm/credentials"
	"ocm/graph"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/sign/rsa"
)

// Pack a component that references another one, sign it, and verify everything that the
// signature covers.
func Example() {
	ctx := context.Background()
	private, public, err := rsa.GenerateKeyPair(rsa.MinKeyBits)
	if err != nil {
		log.Fatal(err)
	}
	kit, env := builtin.Kit(), &ocm.Env{Job: ocm.NewJob(4), Credentials: credentials.Static(credentials.Entry{
		Identity: ocm.Identity{"type": rsa.IdentityType},
		Secret:   ocm.Secret{"privateKeyPEM": string(private), "publicKeyPEM": string(public)},
	})}
	repo := oci.NewRepository(memory.New(), env)
	defer repo.Close()

	file, err := construct.Parse([]byte(`
components:
- name: acme.org/shop
  version: 1.0.0
  provider: acme.org
  componentReferences: [{name: api, componentName: acme.org/api, version: 2.0.0}]
- name: acme.org/api
  version: 2.0.0
  provider: acme.org
  resources: [{name: text, type: plainText, input: {type: utf8, text: hello}}]
`), nil, "")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := construct.Run(ctx, kit, env, repo, file, construct.Options{}); err != nil {
		log.Fatal(err)
	}
	if _, err := graph.Sign(ctx, kit, env, repo.Open, repo, "acme.org/shop", "1.0.0", graph.SignOptions{}); err != nil {
		log.Fatal(err)
	}

	version, err := repo.Open(ctx, "acme.org/shop", "1.0.0")
	if err != nil {
		log.Fatal(err)
	}
	report, err := graph.Verify(ctx, kit, env, repo.Open, version, graph.VerifyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range report.Steps {
		fmt.Printf("%s: %s: %s: %s\n", s.Component, s.Object, s.Check, s.Verdict)
	}
	fmt.Println(report.Err())
	// Output:
	// acme.org/shop:1.0.0: component version: manifest digest: ok
	// acme.org/shop:1.0.0: signature default: descriptor digest: ok
	// acme.org/shop:1.0.0: signature default: signature value: ok
	// acme.org/shop:1.0.0: signature default: signature: ok
	// acme.org/shop:1.0.0: reference api: reference digest: ok
	// acme.org/api:2.0.0: component version: manifest digest: ok
	// acme.org/api:2.0.0: resource text: content digest: ok
	// <nil>
}
