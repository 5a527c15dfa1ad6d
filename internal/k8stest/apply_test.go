// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"context"
	"errors"

	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/deploy/apply"
	"ocm/internal/cluster"
)

// objects reads manifests, each after a line with ---.
func objects(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for _, doc := range strings.Split(text, "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

// owner is a parent that is there.
func owner(t *testing.T, c *cluster.Cluster, name string) apply.Parent {
	t.Helper()
	c.Apply(t, fmt.Sprintf("{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: %s}}", name))
	t.Cleanup(func() { _, _ = c.Run(context.Background(), "", "delete", "clusterrole", name, "--wait=false") })
	uid := c.Kubectl(t, "get", "clusterrole", name, "-o", "jsonpath={.metadata.uid}")
	p := apply.Parent{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: name, Tooling: "ocm/test"}
	p.UID = types.UID(uid)
	return p
}

func connect(t *testing.T, cfg *rest.Config) *apply.Cluster {
	t.Helper()
	a, err := apply.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func names(refs []apply.Ref) string {
	var out []string
	for _, r := range refs {
		out = append(out, r.Kind+"/"+r.Name)
	}
	return strings.Join(out, " ")
}

const widgets = `apiVersion: example.org/v1
kind: Widget
metadata: {name: one}
spec: {size: 1}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: "1"}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}}
---
apiVersion: v1
kind: Namespace
metadata: {name: NS}
`

func TestApplyBringsDefinitionsAndNamespacesFirst(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := c.Namespace(t) + "-made"
	a, p := connect(t, c.Config()), owner(t, c, ns)
	set := apply.Set{Parent: p, Objects: objects(t, strings.ReplaceAll(widgets, "NS", ns)), Namespace: ns, Prune: true}
	if err := a.Check(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	if out, err := c.Run(t.Context(), "", "get", "namespace", ns); err == nil {
		t.Fatalf("a check has changed something: %s", out)
	}
	done, err := a.Apply(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(done.Members); got != "Namespace/"+ns+" CustomResourceDefinition/widgets.example.org ConfigMap/settings Widget/one" {
		t.Errorf("found members %s", got)
	}
	if len(done.Changed) != 4 || !slices.Equal(done.GroupKinds, []string{"ConfigMap", "CustomResourceDefinition.apiextensions.k8s.io", "Namespace", "Widget.example.org"}) || !slices.Equal(done.Namespaces, []string{ns}) {
		t.Errorf("found %+v", done)
	}
	if done, err = a.Apply(t.Context(), set); err != nil || len(done.Changed) != 0 {
		t.Errorf("expected nothing to change again, found %v, %v", done.Changed, err)
	}
	if got := c.Kubectl(t, "get", "widget", "one", "-n", ns, "-o", "jsonpath={.metadata.ownerReferences[0].name} {.metadata.labels.applyset\\.kubernetes\\.io/part-of}"); got != ns+" "+p.ID() {
		t.Errorf("found owner and label %q", got)
	}

	gone := 0
	cluster.Eventually(t, time.Minute, func() error {
		gone++
		if ok, err := a.Delete(t.Context(), p, done.Members); err != nil || !ok {
			return fmt.Errorf("still there: %w", err)
		}
		return nil
	})
	if out := c.Kubectl(t, "get", "crd,namespace", "-o", "name"); strings.Contains(out, "widgets.example.org") || strings.Contains(out, ns+"\n") || gone < 2 {
		t.Errorf("still there after %d calls: %s", gone, out)
	}
}

// tenant is an identity that may do everything in a namespace, and nothing elsewhere, as the controllers impersonate it.
func tenant(t *testing.T, c *cluster.Cluster, ns string) *apply.Cluster {
	t.Helper()
	c.Apply(t, fmt.Sprintf(`{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: tenant, namespace: %s}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}, subjects: [{kind: ServiceAccount, name: default}]}`, ns))
	cfg := c.Config()
	cfg.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + ns + ":default",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + ns, "system:authenticated"},
	}
	return connect(t, cfg)
}

const clusterAdmin = `apiVersion: v1
kind: ConfigMap
metadata: {name: harmless}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: NS-takes-over}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: default, namespace: NS}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: takes-over}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: default, namespace: NS}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: foreign, namespace: default}
`

// TestCVE_2025_48710_RBACRefusesAndNothingIsApplied: a confused deputy would bind what the author of the manifests may not bind.
func TestCVE_2025_48710_RBACRefusesAndNothingIsApplied(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := c.Namespace(t)
	a := tenant(t, c, ns)
	set := apply.Set{Parent: owner(t, c, ns), Objects: objects(t, strings.ReplaceAll(clusterAdmin, "NS", ns)), Namespace: ns, Prune: true}
	err := a.Check(t.Context(), set)
	if !errors.Is(err, ocm.ErrDenied) {
		t.Fatalf("expected that access is denied, found %v", err)
	}
	for _, want := range []string{
		"ClusterRoleBinding " + ns + "-takes-over", "RoleBinding " + ns + "/takes-over", "ConfigMap default/foreign",
		`User "system:serviceaccount:` + ns + `:default" cannot get resource "configmaps" in API group "" in the namespace "default"`,
		"attempting to grant RBAC permissions not currently held",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("expected %q in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "harmless") {
		t.Errorf("found an object that is allowed in: %v", err)
	}
	if out := c.Kubectl(t, "get", "configmap,rolebinding", "-n", ns, "-o", "name"); strings.Contains(out, "harmless") || strings.Contains(out, "takes-over") {
		t.Errorf("something was applied: %s", out)
	}
	// who does not check first is refused, too
	if _, err := a.Apply(t.Context(), set); !errors.Is(err, ocm.ErrDenied) {
		t.Errorf("expected that access is denied, found %v", err)
	}
	if out, err := c.Run(t.Context(), "", "get", "clusterrolebinding", ns+"-takes-over"); err == nil {
		t.Errorf("it was bound: %s", out)
	}
}

const own = `apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reads}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reads}
subjects: [{kind: ServiceAccount, name: default, namespace: NS}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reads}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]
---
apiVersion: v1
kind: Pod
metadata: {name: once}
spec: {serviceAccountName: mine, automountServiceAccountToken: false, containers: [{name: a, image: "127.0.0.1:1/a:1"}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: mine}
`

func TestApplyAsTheAdministratorOfANamespace(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := c.Namespace(t)
	a, p := tenant(t, c, ns), owner(t, c, ns)
	set := apply.Set{Parent: p, Objects: objects(t, strings.ReplaceAll(own, "NS", ns)), Namespace: ns, Prune: true}
	if err := a.Check(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	done, err := a.Apply(t.Context(), set)
	if err != nil || names(done.Members) != "ServiceAccount/mine Role/reads RoleBinding/reads Pod/once" {
		t.Fatalf("found %v, %v", done.Members, err)
	}
	if drifted, err := a.Drift(t.Context(), set); err != nil || len(drifted) != 0 {
		t.Errorf("found drift %v, %v", drifted, err)
	}

	// kinds that come with the set cannot be tried, but asked for
	set.Objects = objects(t, strings.ReplaceAll(strings.ReplaceAll(widgets, "NS", ns), "example.org", "tenant.example.org"))
	if err := a.Check(t.Context(), set); !errors.Is(err, ocm.ErrDenied) || !strings.Contains(err.Error(), "Widget "+ns+`/one: access denied: the identity that deploys cannot patch resource "widgets" in API group "tenant.example.org"`) {
		t.Errorf("expected that widgets are denied, found %v", err)
	}
}

// numbered are ConfigMaps.
func numbered(n int) (out []*unstructured.Unstructured) {
	for i := range n {
		out = append(out, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": fmt.Sprintf("n-%d", i)}, "data": map[string]any{"n": fmt.Sprint(i)},
		}})
	}
	return out
}

func TestApplyPrunes(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := c.Namespace(t)
	a, p := connect(t, c.Config()), owner(t, c, ns)
	set := apply.Set{Parent: p, Objects: numbered(7), Namespace: ns, Prune: true}
	set.Objects[3].SetAnnotations(map[string]string{"helm.sh/resource-policy": "keep"})
	done, err := a.Apply(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	in := []string{"-n", ns}
	kubectl := func(args ...string) string { return c.Kubectl(t, append(args, in...)...) }
	kubectl("label", "configmap", "n-4", "applyset.kubernetes.io/part-of-") // somebody took it
	kubectl("delete", "configmap", "n-5")
	kubectl("create", "configmap", "n-5")                                                  // another one, by the name of a member
	kubectl("create", "configmap", "copy")                                                 //
	kubectl("label", "configmap", "copy", "n-5", "applyset.kubernetes.io/part-of="+p.ID()) // not made by us, whatever it says

	// n-1 is found as known, n-2 by its label; n-6 is needed by the parent
	set.Objects = set.Objects[:1]
	set.Parent.Keep = []apply.Ref{{APIVersion: "v1", Kind: "ConfigMap", Namespace: ns, Name: "n-6"}}
	for _, m := range done.Members {
		if m.Name != "n-2" {
			set.Known = append(set.Known, m)
		}
	}
	set.GroupKinds, set.Namespaces = done.GroupKinds, done.Namespaces
	text, err := a.Diff(t.Context(), set, 1<<16)
	if want := "--- ConfigMap " + ns + "/n-1\n+++ /dev/null\n--- ConfigMap " + ns + "/n-2\n+++ /dev/null\n"; err != nil || text != want {
		t.Errorf("expected %q, found %q, %v", want, text, err)
	}
	done, err = a.Apply(t.Context(), set)
	if err != nil || names(done.Pruned) != "ConfigMap/n-1 ConfigMap/n-2" || names(done.Kept) != "ConfigMap/n-3" || names(done.Members) != "ConfigMap/n-0" {
		t.Errorf("found %+v, %v", done, err)
	}
	if left := kubectl("get", "configmap", "-o", "jsonpath={.items[*].metadata.name}"); !strings.Contains(left, "copy") || !strings.Contains(left, "n-0 n-3 n-4 n-5 n-6") {
		t.Errorf("found %s", left)
	}
	if got := kubectl("get", "configmap", "n-3", "-o", "jsonpath={.metadata.labels}{.metadata.ownerReferences}"); strings.Contains(got, "part-of") {
		t.Errorf("what was let go is still owned: %s", got)
	}
}

func TestApplyPrunesWhatItMay(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := c.Namespace(t)
	p := owner(t, c, ns)
	set := apply.Set{Parent: p, Objects: numbered(3), Namespace: ns, Prune: true}
	set.Objects = append(set.Objects, objects(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: elsewhere, namespace: default}\n")[0])
	set.Objects[3].SetName(ns)
	done, err := connect(t, c.Config()).Apply(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	set.Objects, set.Known = set.Objects[:1], done.Members
	done, err = tenant(t, c, ns).Apply(t.Context(), set)
	if !errors.Is(err, ocm.ErrDenied) || !strings.Contains(err.Error(), "ConfigMap default/"+ns) {
		t.Errorf("expected that one is denied, found %v", err)
	}
	if names(done.Pruned) != "ConfigMap/n-1 ConfigMap/n-2" {
		t.Errorf("expected that the others are pruned, found %v", done.Pruned)
	}
	if ok, err := connect(t, c.Config()).Delete(t.Context(), p, set.Known); err != nil || !ok {
		t.Errorf("found %v, %v", ok, err)
	}
}

func TestApplyLeavesTheObjectsOfOthers(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := c.Namespace(t)
	a, p := connect(t, c.Config()), owner(t, c, ns)
	set := apply.Set{Parent: p, Objects: numbered(1), Namespace: ns, Prune: true}
	first, err := a.Apply(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	other := set
	other.Parent = owner(t, c, ns+"-other")
	for name, err := range map[string]error{"check": a.Check(t.Context(), other), "apply": func() error { _, err := a.Apply(t.Context(), other); return err }()} {
		if !errors.Is(err, ocm.ErrConflict) || !strings.Contains(err.Error(), p.ID()) {
			t.Errorf("%s: expected a conflict with %s, found %v", name, p.ID(), err)
		}
	}
	if ok, err := a.Delete(t.Context(), other.Parent, first.Members); !ok || err != nil {
		t.Errorf("found %v, %v", ok, err)
	}
	c.Kubectl(t, "get", "configmap", "n-0", "-n", ns)

	// let go, another set may have it
	if err := a.Release(t.Context(), p, first.Members); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Apply(t.Context(), other); err != nil {
		t.Error(err)
	}

	// other field managers are no owners, and keep what we do not speak of
	c.Apply(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: n-0}\ndata: {theirs: x}\n", "-n", ns, "--field-manager=kro")
	if drifted, err := a.Drift(t.Context(), other); err != nil || len(drifted) != 0 {
		t.Errorf("found drift %v, %v", drifted, err)
	}
	if done, err := a.Apply(t.Context(), other); err != nil || len(done.Changed) != 0 {
		t.Errorf("found %+v, %v", done, err)
	}
	// a controller is one
	c.Kubectl(t, "create", "configmap", "controlled", "-n", ns)
	c.Kubectl(t, "patch", "configmap", "controlled", "-n", ns, "--type=merge", "-p",
		fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"n-0","controller":true,"uid":%q}]}}`, first.Members[0].UID))
	other.Objects[0].SetName("controlled")
	if err := a.Check(t.Context(), other); !errors.Is(err, ocm.ErrConflict) || !strings.Contains(err.Error(), "controlled by ConfigMap n-0") {
		t.Errorf("expected a conflict, found %v", err)
	}
}

func TestApplyOfItsOwnParent(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := c.Namespace(t)
	a, p := connect(t, c.Config()), owner(t, c, ns)
	set := apply.Set{Parent: p, Prune: true, Objects: objects(t, fmt.Sprintf("{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: %s, labels: {a: b}}}", ns))}
	done, err := a.Apply(t.Context(), set)
	if err != nil || len(done.Members) != 0 {
		t.Fatalf("the parent became a member of its own set: %+v, %v", done, err)
	}
	if got := c.Kubectl(t, "get", "clusterrole", ns, "-o", "jsonpath={.metadata.labels} {.metadata.ownerReferences}"); got != `{"a":"b"} ` {
		t.Errorf("found %s", got)
	}
	set.Objects, set.Known = nil, []apply.Ref{{APIVersion: p.APIVersion, Kind: p.Kind, Name: p.Name, UID: p.UID}}
	if done, err = a.Apply(t.Context(), set); err != nil || len(done.Pruned) != 0 {
		t.Errorf("the parent was pruned: %+v, %v", done, err)
	}
	if ok, err := a.Delete(t.Context(), p, set.Known); err != nil || !ok {
		t.Errorf("found %v, %v", ok, err)
	}
	c.Kubectl(t, "get", "clusterrole", ns)
}

func TestApplySeesDrift(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := c.Namespace(t)
	a, p := connect(t, c.Config()), owner(t, c, ns)
	set := apply.Set{Parent: p, Objects: append(numbered(4), objects(t, deployment("app", ""))...), Namespace: ns, Prune: true}
	if _, err := a.Apply(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	c.Kubectl(t, "rollout", "status", "deployment/app", "--timeout=60s", "-n", ns)
	if drifted, err := a.Drift(t.Context(), set); err != nil || len(drifted) != 0 {
		t.Errorf("found drift %v, %v", drifted, err)
	}
	c.Kubectl(t, "patch", "configmap", "n-1", "-n", ns, "--type=merge", "-p", `{"data":{"n":"drifted"}}`)
	c.Kubectl(t, "delete", "configmap", "n-2", "-n", ns)
	c.Kubectl(t, "label", "configmap", "n-3", "-n", ns, "added=1")
	c.Kubectl(t, "scale", "deployment/app", "--replicas=1", "-n", ns)
	drifted, err := a.Drift(t.Context(), set)
	if err != nil || names(drifted) != "ConfigMap/n-1 ConfigMap/n-2 Deployment/app" {
		t.Errorf("found drift %v, %v", drifted, err)
	}
	text, err := a.Diff(t.Context(), set, 1<<16)
	if err != nil || !strings.Contains(text, "-  \"n\": drifted\n+  \"n\": \"1\"\n") || !strings.Contains(text, "-  replicas: 1\n+  replicas: 2\n") || strings.Contains(text, "n-3") {
		t.Errorf("found %v\n%s", err, text)
	}
	done, err := a.Apply(t.Context(), set)
	if err != nil || names(done.Changed) != "ConfigMap/n-1 ConfigMap/n-2 Deployment/app" {
		t.Errorf("found %v, %v", done.Changed, err)
	}
	if drifted, err := a.Drift(t.Context(), set); err != nil || len(drifted) != 0 {
		t.Errorf("found drift %v, %v", drifted, err)
	}
}

const secrets = `apiVersion: v1
kind: Secret
metadata: {name: creds, annotations: {copy: HUSH-annotation}}
data: {same: SFVTSC1zYW1l, new: SFVTSC1uZXc=, other: SFVTSC1vdGhlcjI=}
stringData: {plain: HUSH-plain}
---
apiVersion: v1
kind: Secret
metadata: {name: fresh}
stringData: {plain: HUSH-fresh}
`

// noSecret finds data of the secrets above, as it is or in base64.
func noSecret(t *testing.T, where, text string) {
	t.Helper()
	for _, s := range []string{"HUSH", "SFVTSC", "hush"} {
		if strings.Contains(text, s) {
			t.Errorf("%s has data of a Secret:\n%s", where, text)
		}
	}
}

func TestCVE_2026_42880_DiffHidesSecretsOfTheCluster(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := c.Namespace(t)
	a, p := connect(t, c.Config()), owner(t, c, ns)
	_, err := c.Run(t.Context(), "{apiVersion: v1, kind: Secret, metadata: {name: creds}, data: {same: SFVTSC1zYW1l, other: SFVTSC1vdGhlcg==, old: SFVTSC1vbGQ=}}", "apply", "-n", ns, "-f", "-")
	if err != nil {
		t.Fatal(err)
	}
	set := apply.Set{Parent: p, Objects: objects(t, secrets), Namespace: ns, Prune: true}
	text, err := a.Diff(t.Context(), set, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	noSecret(t, "the diff", text)
	for _, want := range []string{"+  new: (hidden)\n", "-  other: (hidden)\n", "+  other: (hidden, changed)\n", "+  plain: (hidden)\n", "   same: (hidden)\n", "+++ Secret " + ns + "/fresh\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("expected %q in\n%s", want, text)
		}
	}
}

func TestCVE_2026_45737_DiffHidesLastAppliedAndErrorsHideSecrets(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := c.Namespace(t)
	a, p := connect(t, c.Config()), owner(t, c, ns)
	// the annotation of kubectl apply has all of the data
	if _, err := c.Run(t.Context(), "{apiVersion: v1, kind: Secret, metadata: {name: fresh}, stringData: {plain: HUSH-old}}", "apply", "-n", ns, "-f", "-"); err != nil {
		t.Fatal(err)
	}
	set := apply.Set{Parent: p, Objects: objects(t, secrets)[1:], Namespace: ns, Prune: true}
	text, err := a.Diff(t.Context(), set, 1<<16)
	if err != nil || strings.Contains(text, "last-applied") {
		t.Errorf("found %v in\n%s", err, text)
	}
	noSecret(t, "the diff", text)

	for _, bad := range []string{
		"{apiVersion: v1, kind: Secret, metadata: {name: bad}, data: {key: HUSH-not-base64}}",
		"{apiVersion: v1, kind: Secret, metadata: {name: bad}, data: HUSH}",
		"{apiVersion: v1, kind: Secret, metadata: {name: bad}, stringData: {key: {HUSH: HUSH}}}",
		"{apiVersion: v1, kind: Secret, metadata: {name: bad}, type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: HUSH}}",
		"{apiVersion: v1, kind: Secret, metadata: {name: bad}, HUSH: HUSH}",
		"{apiVersion: v1, kind: Secret, metadata: {name: bad, labels: {a: HUSH HUSH}}}",
	} {
		set.Objects = objects(t, bad)
		err := a.Check(t.Context(), set)
		if err == nil {
			t.Errorf("%s is accepted", bad)
			continue
		}
		noSecret(t, "the error of a check", err.Error())
		if _, err = a.Apply(t.Context(), set); err == nil {
			t.Errorf("%s is accepted", bad)
			continue
		}
		noSecret(t, "the error of an application", err.Error())
		if text, err = a.Diff(t.Context(), set, 1<<16); err != nil {
			noSecret(t, "the error of a diff", err.Error())
		}
		noSecret(t, "the diff", text)
	}
}

func TestApplyTellsHealth(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := c.Namespace(t)
	a, p := connect(t, c.Config()), owner(t, c, ns)
	set := apply.Set{Parent: p, Namespace: ns, Prune: true, Objects: append(objects(t, deployment("good", "")), objects(t, deployment("bad", "      nodeSelector: {no: node}\n"))...)}
	done, err := a.Apply(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	unready := podWithEvent(t, c, ns, "bad")
	members := append(done.Members, apply.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: ns, Name: "nowhere"}, apply.Ref{APIVersion: "no.kind/v1", Kind: "Nothing", Namespace: ns, Name: "nowhere"})
	cluster.Eventually(t, time.Minute, func() error {
		h, err := a.Health(t.Context(), members)
		if err != nil {
			return err
		}
		if !h[0].Healthy || h[1].Healthy || !strings.Contains(h[1].Message, "it is not scheduled: ") || !strings.Contains(h[1].Message, unready) || h[2].Message != "it is not there" || h[3].Message != "it is not there" {
			return fmt.Errorf("found %+v", h)
		}
		return nil
	})
}

// podWithEvent makes a pod of a workload that looks as if it ran on a node, where its probe fails, and returns what is told of it.
func podWithEvent(t *testing.T, c *cluster.Cluster, ns, app string) string {
	t.Helper()
	in := "--namespace=" + ns
	c.Apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: by-hand, labels: {app: `+app+`}}, spec: {nodeName: elsewhere, containers: [{name: web, image: "127.0.0.1:1/app:1"}]}}`, in)
	c.Kubectl(t, "patch", "pod", "by-hand", in, "--subresource=status", "--type=merge", "-p",
		`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[{"name":"web","image":"a","imageID":"a","ready":false,"restartCount":0,"state":{"running":{}}}]}}`)
	uid := c.Kubectl(t, "get", "pod", "by-hand", in, "-o", "jsonpath={.metadata.uid}")
	c.Apply(t, `{apiVersion: v1, kind: Event, metadata: {name: by-hand.1}, involvedObject: {apiVersion: v1, kind: Pod, name: by-hand, namespace: `+ns+`, uid: `+uid+`},
  type: Warning, reason: Unhealthy, message: "Readiness probe failed: connection refused", lastTimestamp: "2026-01-01T00:00:00Z"}`, in)
	return "pod by-hand: container web: it is not ready: Readiness probe failed: connection refused"
}

func TestApplyManyObjects(t *testing.T) {
	c := shared.Get(t)
	ns := c.Namespace(t)
	a, p := connect(t, c.Config()), owner(t, c, ns)
	set := apply.Set{Parent: p, Objects: numbered(500), Namespace: ns, Prune: true}
	timed := func(what string, f func() error) {
		start := time.Now()
		if err := f(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		t.Logf("%s: %v", what, time.Since(start).Round(time.Millisecond))
	}
	var done *apply.Applied
	timed("check", func() error { return a.Check(t.Context(), set) })
	timed("apply", func() (err error) { done, err = a.Apply(t.Context(), set); return err })
	if len(done.Changed) != 500 {
		t.Errorf("expected 500 new objects, found %d", len(done.Changed))
	}
	timed("apply again", func() (err error) { done, err = a.Apply(t.Context(), set); return err })
	if len(done.Changed) != 0 {
		t.Errorf("expected no change, found %d", len(done.Changed))
	}
	timed("drift", func() error { d, err := a.Drift(t.Context(), set); return errors.Join(err, expectNone(d)) })
	timed("health", func() error { _, err := a.Health(t.Context(), done.Members); return err })
	set.Known, set.Objects, set.GroupKinds, set.Namespaces = done.Members, nil, done.GroupKinds, done.Namespaces
	timed("prune", func() (err error) { done, err = a.Apply(t.Context(), set); return err })
	if len(done.Pruned) != 500 {
		t.Errorf("expected 500 pruned objects, found %d", len(done.Pruned))
	}
}

func expectNone(refs []apply.Ref) error {
	if len(refs) > 0 {
		return fmt.Errorf("expected none, found %v", refs)
	}
	return nil
}
