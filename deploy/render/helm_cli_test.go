// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"ocm"
	"ocm/deploy/v1alpha1"
)

// realCluster starts an API server, if OCM_TEST_K8S is set and there are the programs for it.
func realCluster(t *testing.T) *envtest.Environment {
	t.Helper()
	if os.Getenv("OCM_TEST_K8S") == "" {
		t.Skip("OCM_TEST_K8S is not set")
	}
	programs, err := filepath.Abs("../../bin/k8s")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(programs, "kube-apiserver")); err != nil {
		if os.Getenv("OCM_TEST_K8S") == "must" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	env := &envtest.Environment{BinaryAssetsDirectory: programs}
	if _, err := env.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	return env
}

// person is somebody with the helm that is built from its release, and a kubeconfig.
type person struct {
	t          *testing.T
	kubeconfig string
}

func (p person) helm(args ...string) string {
	p.t.Helper()
	program, err := filepath.Abs("../../bin/helm")
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.CommandContext(p.t.Context(), program, append(args, "--namespace=ns", "--kubeconfig="+p.kubeconfig)...)
	cmd.Env = []string{"HOME=" + p.t.TempDir(), "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

const chartDeployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {seen: {{ (lookup "v1" "ConfigMap" "ns" "seen").data.text | quote }}}}
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

// A release that was recorded here is one of helm's: it is listed, has a history, can be upgraded and uninstalled by a person.
func TestHelmKnowsOurReleases(t *testing.T) {
	env := realCluster(t)
	c, err := client.New(env.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	create := func(o client.Object) {
		t.Helper()
		if err := c.Create(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
	create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})
	create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "seen", Namespace: "ns"}, Data: map[string]string{"text": "it"}})
	admin, err := env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := admin.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	p := person{t, filepath.Join(t.TempDir(), "kubeconfig")}
	if err := os.WriteFile(p.kubeconfig, kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	chart := chartArchive(t, map[string]string{"templates/d.yaml": chartDeployment, "values.yaml": "replicas: 1\nimage: nginx:1\n", "templates/NOTES.txt": "Hello {{ .Release.Name }}"})
	packed := filepath.Join(t.TempDir(), "web.tgz")
	if err := os.WriteFile(packed, chart, 0o600); err != nil {
		t.Fatal(err)
	}
	deploy := func(revision, replicas int) {
		t.Helper()
		r, err := renderBytes(t, chart, Options{ReleaseName: "rel", Namespace: "ns", Revision: revision, Install: revision == 1, Cluster: env.Config, Values: map[string]any{"replicas": replicas}})
		if err != nil {
			t.Fatal(err)
		}
		if seen := r.Objects[0].GetLabels()["seen"]; seen != "it" {
			t.Errorf("lookup found %q", seen)
		}
		err = Localize(r.Objects, map[string]Image{"web": {Registry: "r.example", Path: "p", Digest: "sha256:1"}}, []v1alpha1.Localization{{Name: "web", Replaces: []string{"nginx"}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range []string{StatePending, StateDeployed} {
			if err := Record(ctx, env.Config, r.Release, state, "for a test"); err != nil {
				t.Fatal(err)
			}
			if state == StatePending {
				u := r.Objects[0].DeepCopy()
				u.SetNamespace("ns")
				if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("delivery.ocm.software/applyset"), client.ForceOwnership); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	deploy(1, 1)
	deploy(2, 2)
	expect := func(out string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("expected %q in:\n%s", part, out)
			}
		}
	}
	expect(p.helm("list"), "rel", "deployed", "web-1.2.3", "4.5.6")
	expect(p.helm("history", "rel"), "superseded", "deployed", "for a test")
	expect(p.helm("get", "manifest", "rel"), "r.example/p@sha256:1", "replicas: 2")
	expect(p.helm("get", "notes", "rel"), "Hello rel")
	expect(p.helm("status", "rel"), "STATUS: deployed", "REVISION: 2")
	expect(p.helm("upgrade", "rel", packed, "--set", "replicas=3", "--force-conflicts"), "REVISION: 3")
	p.helm("rollback", "rel", "1", "--force-conflicts")
	deploy(3, 1)
	expect(p.helm("list"), "\t5       \t", "deployed")
	p.helm("uninstall", "rel")
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment"}}
	if err := c.Get(ctx, client.ObjectKey{Namespace: "ns", Name: "web"}, u); !apierrors.IsNotFound(err) {
		t.Errorf("it is still there: %v", err)
	}
	deploy(1, 1)
	if err := Forget(ctx, env.Config, "ns", "rel"); err != nil {
		t.Fatal(err)
	}
	if out := p.helm("list", "--short"); strings.TrimSpace(out) != "" {
		t.Errorf("found %s", out)
	}
	denied(t, env, chart)
}

// denied checks that everything is done as the identity, and says what that may not do.
func denied(t *testing.T, env *envtest.Environment, chart []byte) {
	t.Helper()
	user, err := env.AddUser(envtest.User{Name: "nobody"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]*rest.Config{"certificate": user.Config(), "impersonated": impersonated(env.Config)} {
		_, err = Render(t.Context(), Source{Content: bytes.NewReader(chart)}, Options{ReleaseName: "rel", Namespace: "ns", Cluster: cfg})
		want(t, err, ocm.ErrDenied, "lookup", "ConfigMap")
		r := chartOf(t, 1).Release
		want(t, Record(t.Context(), cfg, r, StateDeployed, name), ocm.ErrDenied, "Secrets", "service account")
		want(t, Forget(t.Context(), cfg, "ns", "rel"), ocm.ErrDenied)
	}
}

func impersonated(cfg *rest.Config) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.Impersonate.UserName = "system:serviceaccount:ns:default"
	return cfg
}
