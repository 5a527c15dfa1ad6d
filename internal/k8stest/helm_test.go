// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/render"
	"ocm/deploy/v1alpha1"
	"ocm/internal/cluster"
	"ocm/internal/fixture"
)

// person is somebody with the helm that is built from its release, and a kubeconfig.
type person struct{ namespace, kubeconfig string }

func (p person) helm(t *testing.T, args ...string) string {
	t.Helper()
	program := fixture.Must[string](t)(filepath.Abs("../../bin/helm"))
	cmd := exec.CommandContext(t.Context(), program, append(args, "--namespace="+p.namespace, "--kubeconfig="+p.kubeconfig)...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// seesTheCluster is a chart that asks for an object, and for what the cluster can do.
const seesTheCluster = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {seen: {{ (lookup "v1" "ConfigMap" .Release.Namespace "seen").data.text | quote }}}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "{{ .Values.image }}"}]}
{{- if not (.Capabilities.APIVersions.Has "apps/v1/Deployment") }}{{ fail "no deployments" }}{{ end }}
{{- if .Capabilities.APIVersions.Has "example.org/v1/Nothing" }}{{ fail "too much" }}{{ end }}
{{- if semverCompare "<1.30-0" .Capabilities.KubeVersion.Version }}{{ fail .Capabilities.KubeVersion.Version }}{{ end }}
`

// helmed is a namespace with releases of a chart.
type helmed struct {
	*cluster.Cluster
	ns    string
	chart []byte
}

// deploy renders the chart, records the release, and applies it, as the administrator.
func (h *helmed) deploy(t *testing.T, revision, replicas int) {
	t.Helper()
	cfg := h.Config()
	r, err := render.Render(t.Context(), render.Source{Name: "chart", Content: bytes.NewReader(h.chart)}, render.Options{ReleaseName: "rel", Namespace: h.ns,
		Revision: revision, Install: revision == 1, Cluster: cfg, Values: map[string]any{"replicas": replicas}})
	if err != nil {
		t.Fatal(err)
	}
	if seen := r.Objects[0].GetLabels()["seen"]; seen != "it" {
		t.Errorf("lookup found %q", seen)
	}
	err = render.Localize(r.Objects, map[string]render.Image{"web": {Registry: "r.example", Path: "p", Digest: "sha256:1"}}, []v1alpha1.Localization{{Name: "web", Replaces: []string{"nginx"}}})
	if err != nil {
		t.Fatal(err)
	}
	record := func(state string) {
		t.Helper()
		if err := render.Record(t.Context(), cfg, r.Release, state, "for a test"); err != nil {
			t.Fatal(err)
		}
	}
	record(render.StatePending)
	u := r.Objects[0].DeepCopy()
	u.SetNamespace(h.ns)
	c := fixture.Must[client.Client](t)(client.New(cfg, client.Options{}))
	if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("delivery.ocm.software/applyset"), client.ForceOwnership); err != nil {
		t.Fatal(err)
	}
	record(render.StateDeployed)
}

// A release that was recorded here is one of helm's: it is listed, has a history, can be upgraded and uninstalled by a person.
func TestHelmKnowsOurReleases(t *testing.T) {
	t.Parallel()
	h := &helmed{Cluster: shared.Get(t)}
	h.ns = h.Namespace(t)
	h.chart = fixture.Tgz(map[string]string{"web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.2.3\nappVersion: 4.5.6\n", "web/templates/d.yaml": seesTheCluster,
		"web/values.yaml": "replicas: 1\nimage: nginx:1\n", "web/templates/NOTES.txt": "Hello {{ .Release.Name }}"})
	h.Kubectl(t, "create", "configmap", "seen", "--from-literal=text=it", "-n", h.ns)
	packed := filepath.Join(t.TempDir(), "web.tgz")
	if err := os.WriteFile(packed, h.chart, 0o600); err != nil {
		t.Fatal(err)
	}
	p := person{h.ns, h.AdminKubeconfig()}
	expect := func(out string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("expected %q in:\n%s", part, out)
			}
		}
	}
	h.deploy(t, 1, 1)
	h.deploy(t, 2, 2)
	expect(p.helm(t, "list"), "rel", "deployed", "web-1.2.3", "4.5.6")
	expect(p.helm(t, "history", "rel"), "superseded", "deployed", "for a test")
	expect(p.helm(t, "get", "manifest", "rel"), "r.example/p@sha256:1", "replicas: 2")
	expect(p.helm(t, "get", "notes", "rel"), "Hello rel")
	expect(p.helm(t, "status", "rel"), "STATUS: deployed", "REVISION: 2")
	expect(p.helm(t, "upgrade", "rel", packed, "--set", "replicas=3", "--force-conflicts"), "REVISION: 3")
	p.helm(t, "rollback", "rel", "1", "--force-conflicts")
	h.deploy(t, 3, 1)
	expect(p.helm(t, "list"), "\t5       \t", "deployed")
	p.helm(t, "uninstall", "rel")
	if left := h.Kubectl(t, "get", "deployment/web", "-n", h.ns, "--ignore-not-found", "-o", "jsonpath={.metadata.deletionTimestamp}{.metadata.name}"); left == "web" {
		t.Error("it is still there")
	}
	h.deploy(t, 1, 1)
	if err := render.Forget(t.Context(), h.Config(), h.ns, "rel"); err != nil {
		t.Fatal(err)
	}
	if out := p.helm(t, "list", "--short"); strings.TrimSpace(out) != "" {
		t.Errorf("found %s", out)
	}
}

// Everything is done as the identity, and says what that may not do.
func TestHelmAsAnIdentity(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := c.Namespace(t)
	chart := fixture.Tgz(map[string]string{"web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.2.3\n", "web/templates/d.yaml": seesTheCluster, "web/values.yaml": "replicas: 1\nimage: x\n"})
	plain := fixture.Tgz(map[string]string{"web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.2.3\n", "web/templates/d.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"})
	impersonated := c.Config()
	impersonated.Impersonate.UserName = fmt.Sprintf("system:serviceaccount:%s:default", ns)
	for name, cfg := range map[string]*rest.Config{"certificate": c.As(t, "nobody"), "impersonated": impersonated} {
		o := render.Options{ReleaseName: "rel", Namespace: ns, Cluster: cfg, Revision: 1, Install: true}
		_, err := render.Render(t.Context(), render.Source{Content: bytes.NewReader(chart)}, o)
		fixture.WantErr(t, err, ocm.ErrDenied, "lookup", "ConfigMap")
		r, err := render.Render(t.Context(), render.Source{Content: bytes.NewReader(plain)}, o)
		if err != nil {
			t.Fatal(err)
		}
		fixture.WantErr(t, render.Record(t.Context(), cfg, r.Release, render.StateDeployed, name), ocm.ErrDenied, "Secrets", "service account")
		fixture.WantErr(t, render.Forget(t.Context(), cfg, ns, "rel"), ocm.ErrDenied)
	}
}
