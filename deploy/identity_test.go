// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"ocm/deploy/apply"
)

// kro CVE-2025-48710: a controller that applies what others wrote with its own rights lends these to them.
func TestCVE202548710(t *testing.T) {
	t.Parallel()
	own := &rest.Config{Host: "https://127.0.0.1:1", BearerToken: "of the controller"}
	c := identity{Namespace: "team", Name: "deployer"}.config(own)
	if c.Impersonate.UserName != "system:serviceaccount:team:deployer" || len(c.Impersonate.Groups) > 0 || own.Impersonate.UserName != "" {
		t.Errorf("%+v", c.Impersonate)
	}
	// Without an account and without one of the installation nobody deploys, least of all the controller.
	d := testDeployer()
	d.Spec.ServiceAccountName = ""
	if i, err := identify(d, types.NamespacedName{}); err == nil {
		t.Error("expected an error, found", i)
	}
	if i, err := identify(d, types.NamespacedName{Namespace: "system", Name: "nobody"}); err != nil || i != (identity{Namespace: "system", Name: "nobody"}) {
		t.Error(i, err)
	}
}

// Flux CVE-2021-41254: an identity that is named by text must not become another one.
func TestCVE202141254(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"team", "system:admin"}, {"team", "../x"}, {"team", "a b"}, {"team:x", "a"}, {"", "a"}, {"Team", "a"}, {"kube-system:default", "a"}} {
		d := testDeployer()
		d.Spec.ResourceRef.Namespace, d.Spec.ServiceAccountName = c[0], c[1]
		if i, err := identify(d, types.NamespacedName{Namespace: "system", Name: "nobody"}); err == nil {
			t.Errorf("%q: %v", c, i)
		}
	}
}

// Argo CVE-2022-24768 and CVE-2023-22736: the namespace of what is deployed says nothing about who deploys it.
func TestCVE202224768(t *testing.T) {
	t.Parallel()
	d := testDeployer()
	d.Spec.TargetNamespace = "kube-system"
	if i, err := identify(d, types.NamespacedName{}); err != nil || i.Namespace != "team" {
		t.Error(i, err)
	}
}

func TestConnectionsAreKeptAndBounded(t *testing.T) {
	t.Parallel()
	n := 0
	s := deputies{known: map[identity]*deputy{}, connect: func(i identity) (*deputy, error) { n++; return &deputy{as: i}, nil }}
	for i := range 2 * maxDeputies {
		id := identity{Namespace: "team", Name: fmt.Sprint(i)}
		for range 2 {
			if d, err := s.get(id); err != nil || d.as != id {
				t.Fatal(d, err)
			}
		}
	}
	if n != 2*maxDeputies || len(s.known) > maxDeputies {
		t.Error(n, len(s.known))
	}
}

func TestLabelValue(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"1.0.0+build": "1.0.0_build", "a/b": "a_b", "--a--": "a", "ü": "", "<script>": "script"} {
		if got := labelValue(in); got != want {
			t.Errorf("%q: expected %q, found %q", in, want, got)
		}
	}
}

func TestOnly(t *testing.T) {
	t.Parallel()
	r := chartResult()
	if got := only(r.Objects, []apply.Ref{{APIVersion: "v1", Kind: "ConfigMap", Namespace: "team", Name: "one"}}); len(got) != 1 {
		t.Error(got)
	}
	if got := only(r.Objects, []apply.Ref{{APIVersion: "v1", Kind: "Secret", Namespace: "team", Name: "one"}}); len(got) != 0 {
		t.Error(got)
	}
}
