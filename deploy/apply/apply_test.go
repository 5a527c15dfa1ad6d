// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"ocm"
)

var parent = Parent{APIVersion: "delivery.ocm.software/v1alpha1", Kind: "Deployer", Name: "product", UID: "1234", Tooling: "ocm/test"}

// object reads a manifest.
func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = json.Unmarshal(asJSON, &o.Object) // of Kubernetes: whole numbers are int64
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func objects(t testing.TB, texts ...string) (out []*unstructured.Unstructured) {
	t.Helper()
	for _, text := range texts {
		out = append(out, object(t, text))
	}
	return out
}

// fakeCluster is a cluster in memory, which knows the kinds of Kubernetes and Thing of example.org.
func fakeCluster(t testing.TB, f interceptor.Funcs, there ...client.Object) *Cluster {
	t.Helper()
	kinds := runtime.NewScheme()
	if err := scheme.AddToScheme(kinds); err != nil {
		t.Fatal(err)
	}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Version: "v1"}})
	for gvk := range kinds.AllKnownTypes() {
		scope := meta.RESTScopeNamespace
		if slices.Contains([]string{"Namespace", "ClusterRole", "ClusterRoleBinding", "PriorityClass", "ValidatingWebhookConfiguration"}, gvk.Kind) {
			scope = meta.RESTScopeRoot
		}
		mapper.Add(gvk, scope)
	}
	mapper.Add(schema.GroupVersionKind{Group: definition.Group, Version: "v1", Kind: definition.Kind}, meta.RESTScopeRoot)
	mapper.Add(schema.GroupVersionKind{Group: "example.org", Version: "v1", Kind: "Thing"}, meta.RESTScopeNamespace)
	return &Cluster{client: fake.NewClientBuilder().WithScheme(kinds).WithRESTMapper(mapper).WithIndex(&corev1.Event{}, "involvedObject.uid", involved).WithInterceptorFuncs(f).WithObjects(there...).WithReturnManagedFields().Build()}
}

func refNames(refs []Ref) string {
	var out []string
	for _, r := range refs {
		out = append(out, r.String())
	}
	return strings.Join(out, ", ")
}

func TestIDIsThatOfTheExistingController(t *testing.T) {
	t.Parallel()
	// printf '%s' product..Deployer.delivery.ocm.software | openssl dgst -sha256 -binary | basenc --base64url
	if got := parent.ID(); got != "applyset-JWfvUt6H1QJjdOAatnuNltqptxGKK1rVYL8970Xlfd0-v1" {
		t.Errorf("found %s", got)
	}
}

func TestParentRecordsWhereMembersAre(t *testing.T) {
	t.Parallel()
	s := Set{Namespace: "ns", Objects: objects(t, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: x}}", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}")}
	a := parent.Annotations(s.Contains())
	want := map[string]string{
		"applyset.kubernetes.io/tooling": "ocm/test", "applyset.kubernetes.io/contains-group-kinds": "ConfigMap,Deployment.apps", "applyset.kubernetes.io/additional-namespaces": "ns,x",
	}
	if fmt.Sprint(a) != fmt.Sprint(want) {
		t.Errorf("found %v", a)
	}
	kinds, namespaces := Recorded(a)
	if !slices.Equal(kinds, []string{"ConfigMap", "Deployment.apps"}) || !slices.Equal(namespaces, []string{"ns", "x"}) || parseGroupKind(kinds[1]) != (schema.GroupKind{Group: "apps", Kind: "Deployment"}) {
		t.Errorf("found %v, %v", kinds, namespaces)
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	in := []string{
		"admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration", "example.org/v1 Thing", "autoscaling/v2 HorizontalPodAutoscaler", "networking.k8s.io/v1 Ingress",
		"apps/v1 Deployment", "v1 Service", "v1 ConfigMap", "rbac.authorization.k8s.io/v1 RoleBinding", "rbac.authorization.k8s.io/v1 Role", "v1 ServiceAccount",
		"v1 ResourceQuota", "scheduling.k8s.io/v1 PriorityClass", "apiextensions.k8s.io/v1 CustomResourceDefinition", "v1 Namespace",
	}
	var set Set
	for i, s := range in {
		version, kind, _ := strings.Cut(s, " ")
		set.Objects = append(set.Objects, object(t, fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: n%d}}", version, kind, i)))
	}
	set.Objects = append(set.Objects, objects(t, "{apiVersion: v1, kind: Secret, metadata: {name: later}}", "{apiVersion: batch/v1, kind: Job, metadata: {name: later}}")...)
	set.Parent, set.Namespace = parent, "ns"
	items, err := fakeCluster(t, interceptor.Funcs{}).prepare(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, it := range items {
		kinds = append(kinds, it.ref.Kind)
	}
	want := "Namespace CustomResourceDefinition PriorityClass ResourceQuota ServiceAccount Role RoleBinding ConfigMap Secret Service Deployment Job Ingress HorizontalPodAutoscaler Thing ValidatingWebhookConfiguration"
	if got := strings.Join(kinds, " "); got != want {
		t.Errorf("expected %s\nfound    %s", want, got)
	}
}

func TestObjectsGetTheirNamespaceLabelsAndOwner(t *testing.T) {
	t.Parallel()
	c := fakeCluster(t, interceptor.Funcs{})
	set := Set{
		Parent: parent, Namespace: "ns", Prune: true, Labels: map[string]string{"l": "set", LabelPartOf: "x"}, Annotations: map[string]string{"a": "set"},
		Objects: objects(t,
			"{apiVersion: v1, kind: ConfigMap, metadata: {name: plain, labels: {l: own, m: own}, resourceVersion: '5', uid: u, managedFields: []}}",
			"{apiVersion: v1, kind: ConfigMap, metadata: {name: elsewhere, namespace: there}}",
			"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: cluster, namespace: dropped}}",
			"{apiVersion: v1, kind: ConfigMap, metadata: {name: stays, annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}}}",
			"{apiVersion: v1, kind: ConfigMap, metadata: {name: controlled, ownerReferences: [{apiVersion: v1, kind: X, name: x, uid: x, controller: true}]}}",
		),
	}
	input := set.Objects[0].DeepCopy()
	find := func(set Set) map[string]*unstructured.Unstructured {
		t.Helper()
		items, err := c.prepare(t.Context(), set)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]*unstructured.Unstructured{}
		for _, it := range items {
			out[it.ref.String()] = it.obj
		}
		return out
	}
	got := find(set)
	plain := got["ConfigMap ns/plain"]
	if plain == nil || got["ConfigMap there/elsewhere"] == nil || got["ClusterRole cluster"] == nil || got["ClusterRole cluster"].GetNamespace() != "" {
		t.Fatalf("found %v", got)
	}
	if fmt.Sprint(plain.GetLabels()) != fmt.Sprint(map[string]string{"l": "set", "m": "own", LabelPartOf: parent.ID()}) || plain.GetAnnotations()["a"] != "set" || plain.GetResourceVersion()+string(plain.GetUID()) != "" {
		t.Errorf("found %v", plain.Object)
	}
	if o := metav1.GetControllerOf(plain); o == nil || o.UID != parent.UID || o.BlockOwnerDeletion != nil {
		t.Errorf("found owner %v", o)
	}
	if n := len(got["ConfigMap ns/stays"].GetOwnerReferences()); n != 0 {
		t.Error("what is to stay would be collected with the parent")
	}
	if o := got["ConfigMap ns/controlled"].GetOwnerReferences(); len(o) != 1 || o[0].UID != "x" {
		t.Errorf("found %v", o)
	}
	set.Parent.Keep = []Ref{{APIVersion: "v1", Kind: "ConfigMap", Namespace: "ns", Name: "plain"}}
	if n := len(find(set)["ConfigMap ns/plain"].GetOwnerReferences()); n != 0 {
		t.Error("what the parent needs would be collected with it")
	}
	set.Parent.Keep, set.Prune = nil, false
	if n := len(find(set)["ConfigMap ns/plain"].GetOwnerReferences()); n != 1 {
		t.Error("who applies a part of the set would take the owner from it")
	}
	set.Unowned = true
	if n := len(find(set)["ConfigMap ns/plain"].GetOwnerReferences()); n != 0 {
		t.Error("what is not owned would be collected with the parent")
	}
	if fmt.Sprint(set.Objects[0].Object) != fmt.Sprint(input.Object) {
		t.Error("the objects of the caller were changed")
	}
}

func TestHostileObjects(t *testing.T) {
	t.Parallel()
	deep := map[string]any{}
	for range 100_000 {
		deep = map[string]any{"d": deep}
	}
	c := fakeCluster(t, interceptor.Funcs{})
	for name, o := range map[string]*unstructured.Unstructured{
		"nil":               nil,
		"empty":             {},
		"no metadata":       object(t, "{apiVersion: v1, kind: ConfigMap}"),
		"metadata":          object(t, "{apiVersion: v1, kind: ConfigMap, metadata: x}"),
		"name":              object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: [x]}}"),
		"no name":           object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {generateName: x}}"),
		"path":              object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: ../../secrets/x}}"),
		"dots":              object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: ..}}"),
		"namespace":         object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: a/../b}}"),
		"namespace type":    object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: {}}}"),
		"labels":            object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: [a]}}"),
		"label":             object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: {a: 1}}}"),
		"annotations":       object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, annotations: {a: {}}}}"),
		"owners":            object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, ownerReferences: {a: b}}}"),
		"owner":             object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, ownerReferences: [a]}}"),
		"apiVersion":        object(t, "{apiVersion: a/b/c, kind: ConfigMap, metadata: {name: x}}"),
		"kind":              object(t, "{apiVersion: v1, kind: [], metadata: {name: x}}"),
		"unknown kind":      object(t, "{apiVersion: v1, kind: \"Bad\\e[31m\\u202e\", metadata: {name: x}}"),
		"control character": object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: \"a\\nb/\"}}"),
		"deep":              {Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x"}, "data": deep}},
		"type":              {Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x"}, "data": struct{}{}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.Apply(t.Context(), Set{Parent: parent, Namespace: "ns", Objects: []*unstructured.Unstructured{o}})
			if !errors.Is(err, ocm.ErrInvalid) && !errors.Is(err, ocm.ErrLimit) && !errors.Is(err, ocm.ErrNotFound) {
				t.Fatalf("found %v", err)
			}
			if strings.ContainsAny(err.Error(), "\n\x1b\u202e") {
				t.Errorf("found control characters in %q", err)
			}
		})
	}
	twice := objects(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}", "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns}}")
	if err := c.Check(t.Context(), Set{Parent: parent, Namespace: "ns", Objects: twice}); !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), "there twice") {
		t.Errorf("found %v", err)
	}
	if err := c.Check(t.Context(), Set{Parent: parent, Objects: make([]*unstructured.Unstructured, maxObjects+1)}); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("found %v", err)
	}
	if err := c.Check(t.Context(), Set{}); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("found %v", err)
	}
}

func TestApplyAndPruneInOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var log []string
	note := func(verb string, o interface{ GetName() string }) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, verb+" "+o.GetName())
	}
	c := fakeCluster(t, interceptor.Funcs{
		Apply: func(ctx context.Context, cl client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			note("apply", o.(interface{ GetName() string }))
			return cl.Apply(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, cl client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			note("delete", o)
			return cl.Delete(ctx, o, opts...)
		},
	})
	set := Set{Parent: parent, Namespace: "ns", Prune: true, Objects: objects(t,
		"{apiVersion: example.org/v1, kind: Thing, metadata: {name: thing}}", "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}",
		"{apiVersion: v1, kind: ServiceAccount, metadata: {name: account}}", "{apiVersion: v1, kind: Namespace, metadata: {name: ns}}")}
	done, err := c.Apply(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(log, ", "); got != "apply ns, apply account, apply settings, apply thing" || len(done.Changed) != 4 {
		t.Errorf("found %s; %+v", got, done)
	}
	log, set.Known, set.Objects = nil, done.Members, set.Objects[2:]
	if done, err = c.Apply(t.Context(), set); err != nil || refNames(done.Pruned) != "ConfigMap ns/settings, Thing ns/thing" {
		t.Errorf("found %+v, %v", done, err)
	}
	if got := strings.Join(log, ", "); got != "apply ns, apply account, delete thing, delete settings" {
		t.Errorf("found %s", got)
	}
	log = nil
	if ok, err := c.Delete(t.Context(), parent, set.Known); !ok || err != nil || strings.Join(log, ", ") != "delete account, delete ns" {
		t.Errorf("found %v, %v, %v", ok, err, log)
	}
}

// TestDeleteWaits: what others need is deleted after they are gone.
func TestDeleteWaits(t *testing.T) {
	t.Parallel()
	c := fakeCluster(t, interceptor.Funcs{})
	done, err := c.Apply(t.Context(), Set{Parent: parent, Namespace: "ns", Prune: true, Objects: objects(t,
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}", "{apiVersion: example.org/v1, kind: Thing, metadata: {name: thing, finalizers: [example.org/wait]}}")})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if ok, err := c.Delete(t.Context(), parent, done.Members); ok || err != nil {
			t.Fatalf("found %v, %v", ok, err)
		}
	}
	if h, err := c.Health(t.Context(), done.Members); err != nil || !h[0].Healthy || h[1].Healthy || h[1].Message != "it is being deleted" {
		t.Errorf("found %+v, %v", h, err)
	}
	thing, err := c.live(t.Context(), done.Members[1])
	if err != nil {
		t.Fatal(err)
	}
	thing.SetFinalizers(nil)
	if err := c.client.Update(t.Context(), thing); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Delete(t.Context(), parent, done.Members); !ok || err != nil {
		t.Errorf("found %v, %v", ok, err)
	}
	if h, err := c.Health(t.Context(), done.Members); err != nil || h[0].Message != "it is not there" {
		t.Errorf("found %+v, %v", h, err)
	}
}

// TestErrors: what the server says is told of all objects that fail, but not of more than 20, and access that is denied first.
func TestErrors(t *testing.T) {
	t.Parallel()
	c := fakeCluster(t, interceptor.Funcs{
		Apply: func(_ context.Context, _ client.WithWatch, o runtime.ApplyConfiguration, _ ...client.ApplyOption) error {
			if name := o.(interface{ GetName() string }).GetName(); name == "n5" {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, name, errors.New(`User "jane" cannot patch resource "configmaps" in API group "" in the namespace "ns"`))
			}
			return apierrors.NewBadRequest("no\x1b[31m")
		},
	})
	set := Set{Parent: parent, Namespace: "ns"}
	for i := range 40 {
		set.Objects = append(set.Objects, object(t, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: n%d}}", i)))
	}
	err := c.Check(t.Context(), set)
	if !errors.Is(err, ocm.ErrDenied) || !errors.Is(err, ocm.ErrInvalid) || !strings.HasPrefix(err.Error(), "ConfigMap ns/n5: apply (dry run): access denied: ") ||
		!strings.HasSuffix(err.Error(), "; and 20 more") || strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), `User "jane" cannot patch`) {
		t.Errorf("found %v", err)
	}
	if done, err := c.Apply(t.Context(), set); !errors.Is(err, ocm.ErrDenied) || len(done.Members) != 0 {
		t.Errorf("found %+v, %v", done, err)
	}
}

func TestPanicsAreErrors(t *testing.T) {
	t.Parallel()
	c := fakeCluster(t, interceptor.Funcs{Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
		panic("as libraries do")
	}})
	if _, err := c.Apply(t.Context(), Set{Parent: parent, Namespace: "ns", Objects: objects(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")}); !errors.Is(err, ocm.ErrInvalid) {
		t.Errorf("found %v", err)
	}
}

func TestNewSendsNothing(t *testing.T) {
	t.Parallel()
	cfg := &rest.Config{Host: "https://127.0.0.1:1"}
	c, err := New(cfg)
	if err != nil || cfg.QPS != 0 {
		t.Fatal(err, cfg.QPS)
	}
	_, err = c.Apply(t.Context(), Set{Parent: parent, Namespace: "ns", Objects: objects(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")})
	if err == nil || strings.Contains(err.Error(), "?") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("found %v", err)
	}
	for _, cfg := range []*rest.Config{nil, {Host: "x", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("x"), Insecure: true}}} {
		if _, err := New(cfg); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("found %v", err)
		}
	}
}

func objectsOf(t testing.TB, texts ...string) (out []client.Object) {
	t.Helper()
	for _, o := range objects(t, texts...) {
		out = append(out, o)
	}
	return out
}
