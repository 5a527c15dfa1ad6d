// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"ocm/deploy"
	"ocm/deploy/v1alpha1"
)

func TestCVE_2025_59823_PrintedNamesDoNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	var out strings.Builder
	err := printReport(&out, &deploy.Report{Images: []deploy.RunningImage{
		{Image: "reg.local/a@" + digest, Digest: digest, Containers: []string{"n/p/c", "n/q/c"}, Origins: []deploy.Origin{
			{Component: "acme.org/a\x1b]0;x\x07", Version: "1.0.0", Resource: "im\nage", Verdict: v1alpha1.Verified, By: "Resource n/a"}}},
		{Image: "reg.local/b:1", Containers: []string{"n/p/d"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"IMAGE DIGEST RUNS COMPONENT VERSION RESOURCE VERDICT BY",
		"reg.local/a sha256:e3b0c44298fc 2 acme.org/a]0;x:1.0.0 image Verified Resource n/a", "reg.local/b:1 unknown 1 none"}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("found\n%s", strings.Join(got, "\n"))
	}
}
