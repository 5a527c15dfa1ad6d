// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"ocm/deploy/install"
	"ocm/internal/cluster"
	"ocm/internal/fixture"
)

const (
	system     = install.DefaultNamespace
	reconciler = install.DefaultRelease + "-reconciler"
	nobody     = install.DefaultRelease + "-controller-manager"
)

// manifests are those of an installation in the default place.
func manifests(t *testing.T) string {
	t.Helper()
	raw, err := install.Manifests(install.Options{Image: "registry.local:5000/ocm.software/controller:1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// installed is a cluster of its own into which the controllers were brought by manifests; they do not run yet.
func installed(t *testing.T) *cluster.Cluster {
	t.Helper()
	c := cluster.Start(t, cluster.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := c.Run(ctx, manifests(t), "apply", "-f", "-"); err != nil { // at once, by a client, as people do it
		t.Fatalf("%v\n%s", err, out)
	}
	return c
}

func clientFor(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestInstalled shares one installation.
func TestInstalled(t *testing.T) {
	t.Parallel()
	c := installed(t)
	bin := program(t, "ocm-controller")
	t.Run("takes the manifests again", func(t *testing.T) { takesManifestsAgain(t, c) })
	t.Run("the controllers may not do more", func(t *testing.T) { mayNotDoMore(t, c) })
	t.Run("CVE-2025-48710, CVE-2021-41254: who is not named has no rights", func(t *testing.T) { nobodyHasNoRights(t, c) })
	t.Run("runs with its rights", func(t *testing.T) { runsWithItsRights(t, c, bin) })
	t.Run("metrics are for those who may see them", func(t *testing.T) { secureMetrics(t, c, bin) })
}

// An empty cluster takes the manifests in one go, and again on the side of the server; pods may run where they are restricted.
func takesManifestsAgain(t *testing.T, c *cluster.Cluster) {
	c.Apply(t, manifests(t))
	c.Kubectl(t, "wait", "--for=condition=Established", "--timeout=30s", "crd/deployers.delivery.ocm.software")

	var d appsv1.Deployment
	if err := json.Unmarshal([]byte(c.Kubectl(t, "get", "deployment", "--namespace="+system, nobody, "-o", "json")), &d); err != nil {
		t.Fatal(err)
	}
	admin := clientFor(t, c.Config())
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "by-hand"}, Spec: d.Spec.Template.Spec}
	if _, err := admin.CoreV1().Pods(system).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Errorf("the pod of the Deployment: %v", err)
	}
	pod.Name, pod.Spec.Containers[0].SecurityContext = "careless", nil
	if _, err := admin.CoreV1().Pods(system).Create(t.Context(), pod, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a pod that may be root: expected that it is forbidden, found %v", err)
	}
}

// The real Helm takes the chart, in all its forms.
func TestInstallByHelm(t *testing.T) {
	t.Parallel()
	cluster.Need(t)
	helm, err := filepath.Abs("../../bin/helm")
	if err != nil || !fixture.Installed("helm") {
		t.Skip("no helm; run make peers")
	}
	c := cluster.Start(t, cluster.Options{})
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), helm, args...)
		home := t.TempDir()
		cmd.Env = []string{"HOME=" + home, "PATH=/nowhere", "KUBECONFIG=" + c.AdminKubeconfig()}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("helm %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	const chart = "../../deploy/install/chart"
	run("lint", "--strict", chart)
	run("upgrade", "--install", install.DefaultRelease, chart, "--namespace", system, "--create-namespace")
	if out := c.Kubectl(t, "get", "serviceaccounts", "--namespace="+system, "-o", "name"); !strings.Contains(out, nobody+"\n") || !strings.Contains(out, reconciler+"\n") {
		t.Errorf("service accounts: %s", out)
	}
	run("upgrade", "--install", install.DefaultRelease, chart, "--namespace", system, "--set", "manager.replicas=2,rbacHelpers.enable=true,metricsServer.bindAddress=:8080,metricsServer.secure=true")
	run("uninstall", install.DefaultRelease, "--namespace", system)
	if out := c.Kubectl(t, "get", "crds", "-o", "name"); strings.Count(out, "delivery.ocm.software") != 5 {
		t.Errorf("the definitions went with the release: %s", out)
	}
}

// What the controllers may not do as themselves. Rights are those of a real API server, asked with a token of the account.
func mayNotDoMore(t *testing.T, c *cluster.Cluster) {
	c.Apply(t, "{apiVersion: v1, kind: Secret, metadata: {name: foreign, namespace: default}, stringData: {a: b}}")
	me := clientFor(t, c.ServiceAccountConfig(t, system, reconciler))
	ctx := t.Context()
	meta := metav1.ObjectMeta{Name: "x"}
	for what, try := range map[string]func() error{
		"bind a role for itself": func() error {
			_, err := me.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "cluster-admin"}}, metav1.CreateOptions{})
			return err
		},
		"list secrets":     func() error { _, err := me.CoreV1().Secrets("").List(ctx, metav1.ListOptions{}); return err },
		"watch secrets":    func() error { _, err := me.CoreV1().Secrets("").Watch(ctx, metav1.ListOptions{}); return err },
		"list config maps": func() error { _, err := me.CoreV1().ConfigMaps("").List(ctx, metav1.ListOptions{}); return err },
		"read nodes":       func() error { _, err := me.CoreV1().Nodes().List(ctx, metav1.ListOptions{}); return err },
		"read pods":        func() error { _, err := me.CoreV1().Pods("").List(ctx, metav1.ListOptions{}); return err },
		"make a pod": func() error {
			_, err := me.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: meta}, metav1.CreateOptions{})
			return err
		},
		"make a token": func() error { return makeToken(ctx, me) },
		"make a config map": func() error {
			_, err := me.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: meta}, metav1.CreateOptions{})
			return err
		},
		"run something": func() error {
			return me.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name("x").SubResource("exec").Do(ctx).Error()
		},
		"take another lease": func() error { return me.CoordinationV1().Leases(system).Delete(ctx, "x", metav1.DeleteOptions{}) },
		"delete our kinds": func() error {
			return me.CoreV1().RESTClient().Delete().AbsPath("/apis/delivery.ocm.software/v1alpha1/deployers/x").Do(ctx).Error()
		},
		"create our kinds": func() error {
			return me.CoreV1().RESTClient().Post().AbsPath("/apis/delivery.ocm.software/v1alpha1/deployers").Body([]byte("{}")).Do(ctx).Error()
		},
		"take away its bound": func() error {
			return me.AdmissionregistrationV1().ValidatingAdmissionPolicies().Delete(ctx, install.DefaultRelease+"-secrets", metav1.DeleteOptions{})
		},
		"be an administrator": func() error {
			return actAs(t, c, rest.ImpersonationConfig{UserName: "admin", Groups: []string{"system:masters"}})
		},
		"be an account with more groups": func() error {
			return actAs(t, c, rest.ImpersonationConfig{UserName: "system:serviceaccount:default:default", Groups: []string{"system:masters"}})
		},
		"be a person": func() error { return actAs(t, c, rest.ImpersonationConfig{UserName: "jane"}) },
	} {
		if err := try(); !apierrors.IsForbidden(err) {
			t.Errorf("it may %s: %v", what, err)
		}
	}
	confinedSecrets(t, c, me)
}

func makeToken(ctx context.Context, me kubernetes.Interface) error {
	return me.CoreV1().RESTClient().Post().Namespace(system).Resource("serviceaccounts").Name(nobody).SubResource("token").Body([]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest"}`)).Do(ctx).Error()
}

// actAs does something that everybody may who is known, as somebody else.
func actAs(t *testing.T, c *cluster.Cluster, as rest.ImpersonationConfig) error {
	config := c.ServiceAccountConfig(t, system, reconciler)
	config.Impersonate = as
	_, err := clientFor(t, config).Discovery().ServerVersion()
	return err
}

// confinedSecrets: it may read a secret that an object names, and writes none but its own.
func confinedSecrets(t *testing.T, c *cluster.Cluster, me kubernetes.Interface) {
	t.Helper()
	ctx := t.Context()
	secrets := me.CoreV1().Secrets("default")
	secret := func(name, typ string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Type: corev1.SecretType(typ), StringData: map[string]string{"a": "b"}}
	}
	serial := 0
	cluster.Eventually(t, 30*time.Second, func() error { // a policy is heeded some moments after it was made
		serial++
		if _, err := secrets.Create(ctx, secret(fmt.Sprintf("opaque-%d", serial), "Opaque"), metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
			return fmt.Errorf("it may make any secret: %w", err)
		}
		return nil
	})
	foreign, err := secrets.Get(ctx, "foreign", metav1.GetOptions{})
	if err != nil {
		t.Fatalf("it may not read a secret that an object names: %v", err)
	}
	foreign.StringData = map[string]string{"a": "c"}
	if _, err := secrets.Update(ctx, foreign, metav1.UpdateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("it may change a secret that is not its own: %v", err)
	}
	if err := secrets.Delete(ctx, "foreign", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("it may delete a secret that is not its own: %v", err)
	}
	const own = "delivery.ocm.software/revision"
	made, err := secrets.Create(ctx, secret("revision", own), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made.StringData = map[string]string{"a": "c"}
	if _, err = secrets.Update(ctx, made, metav1.UpdateOptions{}); err != nil {
		t.Error(err)
	}
	if err = secrets.Delete(ctx, "revision", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// kro CVE-2025-48710, Flux CVE-2021-41254: the identity that deploys where nobody is named may do nothing, until somebody gives it
// rights; and the controllers have none to lend.
func nobodyHasNoRights(t *testing.T, c *cluster.Cluster) {
	config := c.ServiceAccountConfig(t, system, reconciler)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + system + ":" + nobody}
	as := clientFor(t, config)
	made := func() error {
		_, err := as.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
		return err
	}
	if err := made(); !apierrors.IsForbidden(err) {
		t.Fatalf("it may make a config map: %v", err)
	}
	if _, err := as.CoreV1().Secrets("default").Get(t.Context(), "x", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("it may read secrets: %v", err)
	}
	c.Kubectl(t, "create", "clusterrole", "maps", "--verb=create", "--resource=configmaps")
	c.Kubectl(t, "create", "clusterrolebinding", "maps", "--clusterrole=maps", "--serviceaccount="+system+":"+nobody)
	cluster.Eventually(t, 20*time.Second, made)
	if _, err := clientFor(t, c.ServiceAccountConfig(t, system, reconciler)).CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "y"}}, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("rights of the deploying identity reached the controllers: %v", err)
	}
}

// controller runs ocm-controller as its pod would: with a token of its service account, and with the arguments of its Deployment.
func controller(t *testing.T, c *cluster.Cluster, bin string, more ...string) *cluster.Process {
	t.Helper()
	var d appsv1.Deployment
	if err := json.Unmarshal([]byte(c.Kubectl(t, "get", "deployment", "--namespace="+system, nobody, "-o", "json")), &d); err != nil {
		t.Fatal(err)
	}
	health, cache := cluster.FreeAddress(t), t.TempDir()
	args := []string{"--kubeconfig=" + c.ServiceAccountKubeconfig(t, system, reconciler), "--leader-election-namespace=" + system}
	for _, arg := range d.Spec.Template.Spec.Containers[0].Args {
		arg = strings.ReplaceAll(arg, "$(POD_NAMESPACE)", system)
		arg = strings.ReplaceAll(arg, "=/var/cache/ocm", "="+cache)
		args = append(args, strings.ReplaceAll(arg, "address=:8081", "address="+health))
	}
	p := c.Program(t, bin, []string{"POD_NAMESPACE=" + system}, append(args, more...)...)
	if err := p.Await(http.DefaultClient, "http://"+health+"/readyz"); err != nil {
		t.Fatal(err)
	}
	return p
}

// The rights of the reconciler are enough to run: as leader, with caches of all its kinds.
func runsWithItsRights(t *testing.T, c *cluster.Cluster, bin string) {
	address := cluster.FreeAddress(t)
	p := controller(t, c, bin, "--metrics-bind-address="+address)
	cluster.Eventually(t, 30*time.Second, func() error {
		if out := c.Kubectl(t, "get", "leases", "--namespace="+system, "-o", "name"); !strings.Contains(out, "ocm-controller.delivery.ocm.software") {
			return fmt.Errorf("no lease: %s", out)
		}
		r, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return fmt.Errorf("metrics: %s", r.Status)
		}
		if n := strings.Count(p.Log(), "Starting workers"); n < 5 { // who is stopped before complains
			return fmt.Errorf("%d controllers work", n)
		}
		return nil
	})
	if err := p.End(); err != nil {
		t.Error(err)
	}
	if log := p.Log(); strings.Contains(log, "forbidden") || strings.Contains(log, `"level":"error"`) {
		t.Errorf("the log tells of trouble:\n%s", log)
	}
	if out := c.Kubectl(t, "get", "lease", "--namespace="+system, "ocm-controller.delivery.ocm.software", "-o", "jsonpath={.spec.holderIdentity}"); out != "" {
		t.Errorf("the lease is still held by %q: the next instance waits for nothing", out)
	}
}

// insecureClient takes any certificate: that of metrics is made up.
func insecureClient() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // on 127.0.0.1
}

// Metrics by HTTPS are for those whom the cluster lets see them.
func secureMetrics(t *testing.T, c *cluster.Cluster, bin string) {
	c.Apply(t, `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: review}, rules: [{apiGroups: [authentication.k8s.io, authorization.k8s.io], resources: [tokenreviews, subjectaccessreviews], verbs: [create]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: metrics}, rules: [{nonResourceURLs: [/metrics], verbs: [get]}]}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: prometheus, namespace: default}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: curious, namespace: default}}
`)
	c.Kubectl(t, "create", "clusterrolebinding", "review", "--clusterrole=review", "--serviceaccount="+system+":"+reconciler)
	c.Kubectl(t, "create", "clusterrolebinding", "metrics", "--clusterrole=metrics", "--serviceaccount=default:prometheus")
	address := cluster.FreeAddress(t)
	controller(t, c, bin, "--metrics-bind-address="+address, "--metrics-secure", "--leader-elect=false")
	client := insecureClient()
	get := func(token string) (int, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/metrics", http.NoBody)
		if err != nil {
			return 0, err
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		return res.StatusCode, nil
	}
	for token, want := range map[string]int{"": 401, "guessed": 401, c.ServiceAccountToken(t, "default", "curious"): 403, c.ServiceAccountToken(t, "default", "prometheus"): 200} {
		cluster.Eventually(t, 30*time.Second, func() error {
			if got, err := get(token); err != nil || got != want {
				return fmt.Errorf("%.10q: expected %d, found %d %v", token, want, got, err)
			}
			return nil
		})
	}
}
