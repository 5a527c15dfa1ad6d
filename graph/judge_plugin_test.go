// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"strings"
	"testing"

	"ocm"
	"ocm/graph"
)

// A plugin may call the signer as it likes: the report says whose word that is.
func TestReportNamesThePluginThatJudged(t *testing.T) {
	l := lenient(t, func(*lab, *ocm.Descriptor) {})
	forged := func(ocm.Signature) ([]ocm.Finding, error) {
		return []ocm.Finding{{Check: ocm.FoundSigner, Detail: "the key in release.pub"}}, nil
	}
	const origin = "plugin mine (/plugins/mine)"
	for _, want := range []string{"", origin} {
		l.kit.Verifiers = ocm.NewRegistry[ocm.Verifier]("signature algorithm")
		l.kit.Verifiers.Register(judgeFunc(forged), ocm.Type{Names: []string{"test"}, Origin: want})
		rep, err := l.verify(graph.VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := rep.Signatures[0].Verifier; got != want {
			t.Errorf("expected %q, found %q", want, got)
		}
		told := false
		for _, s := range rep.Steps {
			told = told || strings.Contains(s.Detail, origin)
		}
		if told != (want != "") {
			t.Errorf("%+v", rep.Steps)
		}
	}
}
