// SPDX-License-Identifier: Apache-2.0

package input_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"ocm"
	"ocm/input"
)

func Example() {
	kit := ocm.NewRegistry[ocm.Opener]("input")
	for _, in := range input.All() {
		kit.Register(in, in.Type)
	}

	spec, err := ocm.NewSpec(map[string]any{"type": "utf8", "json": map[string]any{"b": true, "a": 1}})
	if err != nil {
		log.Fatal(err)
	}
	opener, err := kit.For(spec.Type)
	if err != nil {
		log.Fatal(err)
	}
	content, err := opener.Open(context.Background(), &ocm.Env{}, spec)
	if err != nil {
		log.Fatal(err)
	}
	r, err := content.Open(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	fmt.Println(content.Root.MediaType, string(b), err)
	// Output: application/json {"a":1,"b":true} <nil>
}
