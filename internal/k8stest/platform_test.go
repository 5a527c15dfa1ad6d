// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"ocm/blob"
	"ocm/internal/cluster"
	"ocm/internal/fixture"
)

const (
	sovereign    = "../../conformance/sovereign"
	platformName = "acme.org/sovereign/platform"
)

// packPlatform makes the component of the platform from its own files, and carries it into a registry. Nodes of this cluster run nothing, so
// that its images need not either: each has a text in it.
func packPlatform(t *testing.T) *product {
	t.Helper()
	p := &product{dir: t.TempDir(), host: strings.TrimPrefix(fixture.Registry(t), "http://")}
	if err := os.CopyFS(p.dir, os.DirFS(filepath.Join(sovereign, "platform"))); err != nil {
		t.Fatal(err)
	}
	bin, err := cluster.Binaries()
	if err != nil {
		t.Fatal(err)
	}
	for _, whose := range []string{"kro/*", "flux/source.*", "flux/helm.*"} {
		for _, from := range fixture.Must[[]string](t)(filepath.Glob(filepath.Join(bin, "crds", whose))) {
			definition(t, from, filepath.Join(p.dir, "manifests", "crds", filepath.Base(from)))
		}
	}
	if err := os.Mkdir(filepath.Join(p.dir, "images"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pause", "kro", "source-controller", "helm-controller"} {
		f := fixture.Must[*os.File](t)(os.Create(filepath.Join(p.dir, "images", name+".tar")))
		if err := blob.WriteLayout(t.Context(), f, fixture.Image(name), ""); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	p.ocm(t, "create", "rsakeypair", "--bits", "2048", "acme")
	p.ocm(t, "add", "cv", "VERSION=1.0.0", "--repository", "./build")
	p.ocm(t, "sign", "cv", "./build//"+platformName+":1.0.0", "--private-key", "acme")
	p.ocm(t, "transfer", "cv", "--copy-resources", "./build//"+platformName+":1.0.0", "./platform.tar")
	p.ocm(t, "transfer", "cv", "--copy-resources", "--upload-as", "ociArtifact", "./platform.tar//"+platformName+":1.0.0", "http://"+p.host)
	return p
}

func definition(t *testing.T, from, to string) {
	t.Helper()
	text := fixture.Must[[]byte](t)(os.ReadFile(from))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The Deployer brings kro and Flux from the component that was carried, with what an administrator applies; and what it brings is what the
// real programs take: they run with the arguments, the environment and the rights of their pods, and do their work.
func TestPlatform(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := packPlatform(t)
	text := string(fixture.Must[[]byte](t)(os.ReadFile(filepath.Join(sovereign, "site", "platform.yaml"))))
	s.Apply(t, strings.ReplaceAll(text, "http://registry:5000", "http://"+p.host))
	s.Kubectl(t, "create", "secret", "generic", "acme-signing-key", "-n", "sovereign-platform", "--from-literal=default="+p.publicKey(t))
	s.wait(t, "Ready", "deployer/sovereign-platform", "")

	if out := p.ocm(t, "get", "resources", "http://"+p.host+"//"+platformName+":1.0.0", "-o", "json"); !strings.Contains(out, p.host+"/sovereign/pause:1.0.0@sha256:") {
		t.Errorf("a node cannot find its pause image by name: %s", out)
	}
	for _, program := range []struct{ ns, name, more string }{
		{"kro", "kro", "--leader-election-namespace=kro"},
		{"flux-system", "source-controller", ""},
		{"flux-system", "helm-controller", ""},
	} {
		c := s.container(t, program.ns, program.name)
		if want := p.host + "/sovereign/" + program.name + "@sha256:"; !strings.HasPrefix(c.Image, want) {
			t.Errorf("expected %s…, found %s", want, c.Image)
		}
		s.runAsPod(t, program.ns, program.name, c, program.more)
	}
	s.platformWorks(t)
}

// container is the one of a Deployment.
func (s *site) container(t *testing.T, ns, name string) *corev1.Container {
	t.Helper()
	var d appsv1.Deployment
	if err := json.Unmarshal([]byte(s.Kubectl(t, "get", "deployment", "-n", ns, name, "-o", "json")), &d); err != nil {
		t.Fatal(err)
	}
	return &d.Spec.Template.Spec.Containers[0]
}

// runAsPod runs a program as its pod would: with a token of its service account, and with the arguments and the environment of its container.
// Addresses and folders are others, because it is in no pod. It is ready when its probes say so.
func (s *site) runAsPod(t *testing.T, ns, name string, c *corev1.Container, more string) {
	t.Helper()
	dir := t.TempDir()
	env := []string{"RUNTIME_NAMESPACE=" + ns, "KUBECONFIG=" + s.ServiceAccountKubeconfig(t, ns, name)}
	for _, v := range c.Env {
		if v.ValueFrom == nil {
			env = append(env, v.Name+"="+strings.Replace(v.Value, "/tmp", dir, 1))
		}
	}
	change, addresses := []string{"=/data", "=" + dir}, map[string]string{}
	for _, port := range c.Ports {
		addresses[port.Name] = cluster.FreeAddress(t)
		change = append(change, fmt.Sprintf("=:%d", port.ContainerPort), "="+addresses[port.Name])
	}
	change = append(change, "source-controller.$(RUNTIME_NAMESPACE).svc", addresses["http"]) // the Service leads to this port
	var args []string
	for _, arg := range append(c.Args, more) {
		if arg != "" && arg != "--enable-leader-election" { // Flux looks for the place of its lease where only pods have files
			args = append(args, strings.NewReplacer(change...).Replace(arg))
		}
	}
	process := s.Program(t, filepath.Join(fixture.Must[string](t)(cluster.Binaries()), name), env, args...)
	for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
		if err := process.Await(http.DefaultClient, "http://"+addresses[probe.HTTPGet.Port.StrVal]+probe.HTTPGet.Path); err != nil {
			t.Fatal(err)
		}
	}
}

// platformWorks: a definition of kro makes a release of Flux, of a chart in a registry.
func (s *site) platformWorks(t *testing.T) {
	t.Helper()
	registry := fixture.Registry(t)
	d := pushChart(t, registry, "charts/hello", "0.1.0", deployment("hello", ""))
	s.Kubectl(t, "create", "namespace", "works")
	s.Apply(t, fmt.Sprintf(`apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: works}
spec:
  schema:
    apiVersion: v1alpha1
    kind: Works
    spec: {digest: string}
  resources:
  - id: chart
    readyWhen: ["${chart.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')}"]
    template:
      apiVersion: source.toolkit.fluxcd.io/v1
      kind: OCIRepository
      metadata: {name: hello, namespace: works}
      spec:
        interval: 1m
        url: oci://%s/charts/hello
        insecure: true
        ref: {digest: "${schema.spec.digest}"}
        layerSelector: {mediaType: application/vnd.cncf.helm.chart.content.v1.tar+gzip, operation: copy}
  - id: release
    readyWhen: ["${release.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')}"]
    template:
      apiVersion: helm.toolkit.fluxcd.io/v2
      kind: HelmRelease
      metadata: {name: hello, namespace: works}
      spec:
        interval: 1m
        chartRef: {kind: OCIRepository, name: "${chart.metadata.name}"}
`, strings.TrimPrefix(registry, "http://")))
	s.Kubectl(t, "wait", "--for=condition=Ready", "resourcegraphdefinition/works", "--timeout=60s")
	s.Apply(t, fmt.Sprintf("{apiVersion: kro.run/v1alpha1, kind: Works, metadata: {name: demo, namespace: works}, spec: {digest: %q}}", d))
	cluster.Eventually(t, 90*time.Second, func() error {
		if ready := s.Kubectl(t, "get", "works/demo", "-n", "works", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); ready != "True" {
			return fmt.Errorf("the instance is not ready: %q\n%s", ready, s.Kubectl(t, "get", "ocirepositories,helmreleases,events", "-n", "works"))
		}
		return nil
	})
	if ready := s.Kubectl(t, "get", "deployment", "hello", "-n", "works", "-o", "jsonpath={.status.readyReplicas}"); ready != "2" {
		t.Errorf("expected two ready pods of the chart, found %q", ready)
	}
}
