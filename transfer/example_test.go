// SPDX-License-Identifier: Apache-2.0

package transfer_test

import (
	"context"
	"fmt"

	"ocm"
	"ocm/builtin"
	"ocm/ctf"
	"ocm/graph"
	"ocm/oci"
	"ocm/oci/memory"
	"ocm/transfer"
)

func Example() {
	ctx := context.Background()
	env := &ocm.Env{Job: ocm.NewJob(4)}
	archive, err := ctf.Open("../ctf/testdata/golden/v1-copied.tgz")
	if err != nil {
		fmt.Println(err)
		return
	}
	source, target := oci.NewRepository(archive, env), oci.NewRepository(memory.New(), env)
	defer source.Close()
	find := func(ctx context.Context, name, version string) (ocm.Version, error) {
		return source.Open(ctx, name, version)
	}

	v, err := source.Open(ctx, "golden.example/app", "1.0.0")
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := graph.Walk(ctx, env.Job, find, []ocm.Version{v}, graph.Options{Recursive: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := transfer.NewPlan(ctx, builtin.Kit(), env, g, target, transfer.Options{CopyResources: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range plan.Versions {
		fmt.Println(v.Component, v.State)
	}
	summary, err := plan.Run(ctx)
	fmt.Println(summary.Written, "written,", summary.Contents, "contents,", err)
	// Output:
	// golden.example/lib:1.0.0 absent
	// golden.example/app:1.0.0 absent
	// 2 written, 8 contents, <nil>
}
