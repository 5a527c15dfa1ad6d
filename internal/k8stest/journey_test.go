// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ocm/internal/cluster"
)

// site is a cluster with the controllers, as one that takes deliveries has it.
type site struct {
	*cluster.Cluster
	controller *cluster.Process
}

// newSite starts a cluster with workloads and the controllers, which run with the rights of their service account.
func newSite(t *testing.T) *site {
	t.Helper()
	c := cluster.Start(t, cluster.Options{Workloads: true})
	if out, err := c.Run(t.Context(), manifests(t), "apply", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return &site{Cluster: c, controller: controller(t, c, program(t, "ocm-controller"))}
}

// subscribe lets a namespace follow the product: repository, key and component.
func (s *site) subscribe(t *testing.T, p *product, ns, semver string) {
	t.Helper()
	s.Apply(t, fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: acme-signing-key}
stringData:
  default: |
%s
---
apiVersion: delivery.ocm.software/v1alpha1
kind: Repository
metadata: {name: site}
spec: {repositorySpec: {type: OCIRegistry, baseUrl: "http://%s"}, interval: 10m}
---
apiVersion: delivery.ocm.software/v1alpha1
kind: Component
metadata: {name: product}
spec:
  repositoryRef: {name: site}
  component: %s
  semver: %q
  interval: 1m
  verify: [{signature: default, secretRef: {name: acme-signing-key}}]
`, indent(p.publicKey(t)), p.host, productName, semver), "--namespace="+ns)
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}

// wait waits for an object, which somebody else may still have to make, and for a condition of it; what it says instead is told.
func (s *site) wait(t *testing.T, condition, object, ns string) {
	t.Helper()
	about := []string{object}
	if ns != "" {
		about = append(about, "--namespace="+ns)
	}
	for _, what := range []string{"create", "condition=" + condition} {
		if _, err := s.Run(t.Context(), "", append([]string{"wait", "--for=" + what, "--timeout=90s"}, about...)...); err != nil {
			found, _ := s.Run(t.Context(), "", append([]string{"get", "-o", "yaml"}, about...)...)
			t.Fatalf("%v\n%s\n%s", err, found, s.controller.Log())
		}
	}
}

// rights of a service account that deploys into its namespace.
func (s *site) account(t *testing.T, ns, name string) {
	t.Helper()
	s.Kubectl(t, "create", "serviceaccount", name, "--namespace="+ns)
	s.Kubectl(t, "create", "rolebinding", name, "--clusterrole=admin", "--serviceaccount="+ns+":"+name, "--namespace="+ns)
}

// becomes waits until a part of an object is as expected.
func (s *site) becomes(t *testing.T, want, object, path string, args ...string) {
	t.Helper()
	cluster.Eventually(t, 90*time.Second, func() error {
		if got := s.Kubectl(t, append([]string{"get", object, "-o", path}, args...)...); got != want {
			return fmt.Errorf("%s %s: expected %s, found %s\n%s", object, path, want, got, s.Kubectl(t, append([]string{"get", object, "-o", "yaml"}, args...)...))
		}
		return nil
	})
}
