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

// wait waits for a condition of an object; what it says instead is told.
func (s *site) wait(t *testing.T, condition, object, ns string) {
	t.Helper()
	args := []string{"wait", "--for=condition=" + condition, object, "--timeout=90s"}
	if ns != "" {
		args = append(args, "--namespace="+ns)
	}
	if _, err := s.Run(t.Context(), "", args...); err != nil {
		get := []string{"get", object, "-o", "yaml"}
		if ns != "" {
			get = append(get, "--namespace="+ns)
		}
		t.Fatalf("%v\n%s\n%s", err, s.Kubectl(t, get...), s.controller.Log())
	}
}

// rights of a service account that deploys into its namespace.
func (s *site) account(t *testing.T, ns, name string) {
	t.Helper()
	s.Kubectl(t, "create", "serviceaccount", name, "--namespace="+ns)
	s.Kubectl(t, "create", "rolebinding", name, "--clusterrole=admin", "--serviceaccount="+ns+":"+name, "--namespace="+ns)
}

func TestProductByTheDeployerAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := newProduct(t, "alone")
	p.release(t, "1.0.0", true)
	s.Kubectl(t, "create", "namespace", "alone")
	s.account(t, "alone", "deployer")
	s.subscribe(t, p, "alone", "1.0.0")
	s.wait(t, "Ready", "component/product", "alone")
	s.Apply(t, `apiVersion: delivery.ocm.software/v1alpha1
kind: Resource
metadata: {name: manifests}
spec:
  componentRef: {name: product}
  resource: {byReference: {resource: {name: manifests}}}
---
apiVersion: delivery.ocm.software/v1alpha1
kind: Resource
metadata: {name: chart}
spec:
  componentRef: {name: product}
  resource: {byReference: {resource: {name: helm-chart}, referencePath: [{name: notes}]}}
`, "--namespace=alone")
	s.wait(t, "Ready", "resource/manifests", "alone")
	s.wait(t, "Ready", "resource/chart", "alone")
	const image = "{resource: {name: image}, referencePath: [{name: notes}]}"
	s.Apply(t, `apiVersion: delivery.ocm.software/v1alpha1
kind: Deployer
metadata: {name: alone-plain}
spec:
  resourceRef: {name: manifests, namespace: alone}
  serviceAccountName: deployer
  localization: [{name: notes, resource: `+image+`, replaces: [registry.example.org/acme/notes]}]
  healthGate: {timeout: 60s}
---
apiVersion: delivery.ocm.software/v1alpha1
kind: Deployer
metadata: {name: alone-chart}
spec:
  resourceRef: {name: chart, namespace: alone}
  serviceAccountName: deployer
  releaseName: notes
  values: {replicaCount: 2}
  localization:
  - name: notes
    resource: `+image+`
    values: [{path: image.repository, part: Repository}, {path: image.digest, part: Digest}]
  dependsOn: [{name: alone-plain}]
  healthGate: {timeout: 60s, onFailure: Rollback}
`)
	s.wait(t, "Ready", "deployer/alone-plain", "")
	s.wait(t, "Ready", "deployer/alone-chart", "")
	images := s.Kubectl(t, "get", "deployments", "-n", "alone", "-o", "jsonpath={.items[*].spec.template.spec.containers[*].image}")
	if want := p.host + "/component-descriptors/acme.org/sovereign/notes@sha256:"; strings.Count(images, want) != 2 {
		t.Errorf("expected two images of %s…, found %s", want, images)
	}

	// An upgrade, and one that does not work and is rolled back by itself.
	p.release(t, "1.1.0", true)
	s.Kubectl(t, "patch", "component", "product", "-n", "alone", "--type=merge", "-p", `{"spec":{"semver":"1.1.0"}}`)
	s.becomes(t, "1.1.0", "deployer/alone-chart", "jsonpath={.status.history[0].version}")
	s.wait(t, "Ready", "deployer/alone-chart", "")
	p.release(t, "1.2.0", false)
	s.Kubectl(t, "patch", "component", "product", "-n", "alone", "--type=merge", "-p", `{"spec":{"semver":"1.2.0"}}`)
	s.becomes(t, "RolledBack", "deployer/alone-chart", `jsonpath={.status.conditions[?(@.type=="Ready")].reason}`)
	if v := s.Kubectl(t, "get", "deployer/alone-chart", "-o", "jsonpath={.status.history[0].version}"); v != "1.1.0" {
		t.Errorf("expected 1.1.0 again, found %s", v)
	}
	revision := s.Kubectl(t, "get", "deployer/alone-chart", "-o", "jsonpath={.status.revision}")
	if of := s.Kubectl(t, "get", "secrets", "-n", "alone", "-l", "owner=helm,name=notes,status=deployed", "-o", `jsonpath={.items[*].metadata.labels.delivery\.ocm\.software/revision}`); of != revision {
		t.Errorf("helm takes revision %q for deployed, that is %s", of, revision)
	}
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

// The bootstrap that users of the existing controllers have: a definition for kro comes in the component, Flux installs its chart.
func TestProductByKroAndFlux(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Kro(t)
	s.Flux(t)
	p := newProduct(t, "bykro")
	p.release(t, "1.0.0", true)
	s.Kubectl(t, "create", "namespace", "bykro")
	s.Kubectl(t, "create", "clusterrole", "definitions", "--verb=*", "--resource=resourcegraphdefinitions.kro.run")
	s.Kubectl(t, "create", "clusterrolebinding", "definitions", "--clusterrole=definitions", "--serviceaccount="+system+":"+nobody)
	s.subscribe(t, p, "bykro", "1.0.0")
	s.Apply(t, `apiVersion: delivery.ocm.software/v1alpha1
kind: Resource
metadata: {name: definition, namespace: bykro}
spec:
  componentRef: {name: product}
  resource: {byReference: {resource: {name: product-rgd}}}
---
apiVersion: delivery.ocm.software/v1alpha1
kind: Deployer
metadata: {name: bykro}
spec:
  resourceRef: {name: definition, namespace: bykro}
`)
	s.wait(t, "Ready", "deployer/bykro", "")
	s.wait(t, "Ready", "resourcegraphdefinition/bykro", "")
	s.Apply(t, "{apiVersion: kro.run/v1alpha1, kind: Bykro, metadata: {name: instance, namespace: bykro}, spec: {replicas: 2}}")
	s.wait(t, "Ready", "bykro/instance", "bykro")
	image := s.Kubectl(t, "get", "deployment", "notes", "-n", "bykro", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	if want := p.host + "/component-descriptors/acme.org/sovereign/notes@sha256:"; !strings.HasPrefix(image, want) {
		t.Errorf("expected an image of %s…, found %s", want, image)
	}
}
