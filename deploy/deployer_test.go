// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/apply"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

// testCluster remembers what was applied. Its functions are called by the pool.
type testCluster struct {
	mu      sync.Mutex
	objects map[string]*unstructured.Unstructured // by Ref.String
	sets    []apply.Set
	deleted []string
	health  []apply.Health
	drift   []apply.Ref
	fail    map[string]error // by method
	let     []string         // gone by Release
	looked  func()           // called by Drift, after it has looked
	text    string           // of Diff
}

func (c *testCluster) failing(method string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fail[method]
}

func (c *testCluster) with(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
}

func (c *testCluster) Check(context.Context, apply.Set) error { return c.failing("Check") }

func (c *testCluster) Apply(_ context.Context, s apply.Set) (*apply.Applied, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.fail["Apply"]; err != nil {
		return &apply.Applied{}, err
	}
	c.sets = append(c.sets, s)
	a := &apply.Applied{}
	a.GroupKinds, a.Namespaces = s.Contains()
	wanted := map[string]bool{}
	for _, o := range s.Objects {
		ns := o.GetNamespace()
		if ns == "" {
			ns = s.Namespace
		}
		ref := apply.Ref{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: ns, Name: o.GetName(), UID: "u-" + types.UID(o.GetName())}
		c.objects[ref.String()] = o.DeepCopy()
		wanted[ref.String()] = true
		a.Members = append(a.Members, ref)
	}
	for _, ref := range s.Known {
		if s.Prune && !wanted[ref.String()] {
			delete(c.objects, ref.String())
		}
	}
	return a, nil
}

func (c *testCluster) Diff(_ context.Context, s apply.Set, _ int) (string, error) {
	return cmp.Or(c.text, fmt.Sprintf("%d objects", len(s.Objects))), c.failing("Diff")
}

func (c *testCluster) Drift(context.Context, apply.Set) ([]apply.Ref, error) {
	c.mu.Lock()
	drift, err, looked := c.drift, c.fail["Drift"], c.looked
	c.mu.Unlock()
	if looked != nil {
		looked()
	}
	return drift, err
}

func (c *testCluster) Delete(_ context.Context, _ apply.Parent, members []apply.Ref) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ref := range members {
		c.deleted = append(c.deleted, ref.String())
		delete(c.objects, ref.String())
	}
	return true, c.fail["Delete"]
}

func (c *testCluster) Release(_ context.Context, _ apply.Parent, members []apply.Ref) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ref := range members {
		c.let = append(c.let, ref.String())
	}
	return nil
}

func (c *testCluster) Health(_ context.Context, members []apply.Ref) ([]apply.Health, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.health != nil {
		return c.health, nil
	}
	var all []apply.Health
	for _, ref := range members {
		all = append(all, apply.Health{Ref: ref, Healthy: true})
	}
	return all, nil
}

func (c *testCluster) names() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(c.objects)), ", ")
}

func (c *testCluster) applied() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sets)
}

// deployerBed is a reconciler of Deployers over a fake API server, with contents that tests write down.
type deployerBed struct {
	*testbed
	r        *deployers
	cluster  *testCluster
	as       []identity
	contents map[string]string // by the name of the resource
	failing  error             // of the registry
	loads    int
	mu       sync.Mutex
}

// mappedClient knows the kinds that tests deploy.
type mappedClient struct{ client.Client }

func (mappedClient) RESTMapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	m.Add(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, meta.RESTScopeNamespace)
	m.Add(schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}, meta.RESTScopeNamespace)
	m.Add(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}, meta.RESTScopeRoot)
	return m
}

func (c mappedClient) IsObjectNamespaced(o runtime.Object) (bool, error) {
	kind := o.GetObjectKind().GroupVersionKind().Kind
	if kind == "Nope" {
		return false, errors.New("no matches for kind")
	}
	return kind != "CustomResourceDefinition", nil
}

const configMap = `{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}, data: {a: %q}}
`

func shopResource() *v1alpha1.Resource {
	res := &v1alpha1.Resource{ObjectMeta: inNamespace("app")}
	res.Spec = v1alpha1.ResourceSpec{ComponentRef: corev1.LocalObjectReference{Name: "app"},
		Resource: v1alpha1.ResourceID{ByReference: v1alpha1.ResourceReference{Resource: v1alpha1.Identity{"name": "manifests"}}}}
	res.Status.Resource = &v1alpha1.ResourceInfo{Name: "manifests", Type: "blob", Version: "1.0.0", Digest: &v1alpha1.Digest{Value: "d-manifests-1.0.0"}}
	res.Status.Component = &v1alpha1.ComponentInfo{Component: "acme.org/app", Version: "1.0.0"}
	res.Status.Verification = verifiedByAcme()
	return beReady(res)
}

func verifiedByAcme() *v1alpha1.VerificationStatus {
	return &v1alpha1.VerificationStatus{Verdict: v1alpha1.Verified, Signatures: []v1alpha1.SignatureStatus{{Name: "default", Signer: "CN=acme"}}}
}

func shopComponent() *v1alpha1.Component {
	c := &v1alpha1.Component{ObjectMeta: inNamespace("app")}
	c.Spec.RepositoryRef.Name = "repo"
	c.Status.Component = &v1alpha1.ComponentInfo{RepositorySpec: rawJSON(`{"type":"OCIRegistry","baseUrl":"registry.example.org"}`), Component: "acme.org/app", Version: "1.0.0"}
	c.Status.Verification = verifiedByAcme()
	return beReady(c)
}

func testDeployer() *v1alpha1.Deployer {
	d := &v1alpha1.Deployer{ObjectMeta: metav1.ObjectMeta{Name: "app", UID: "uid-app", Generation: 1}}
	d.Spec.ResourceRef = v1alpha1.ObjectKey{Namespace: "team", Name: "app"}
	d.Spec.ServiceAccountName = "deployer"
	return d
}

func newDeployerBed(t *testing.T, objs ...client.Object) *deployerBed {
	t.Helper()
	bed := &deployerBed{testbed: newTestbed(t, objs...), contents: map[string]string{"manifests": fmt.Sprintf(configMap, "one", "1")},
		cluster: &testCluster{objects: map[string]*unstructured.Unstructured{}, fail: map[string]error{}}}
	bed.options.Version = "1.2.0"
	r, err := newDeployers(bed.base)
	if err != nil {
		t.Fatal(err)
	}
	r.acts = bed.newPool(t)
	r.deputies.connect = func(i identity) (*deputy, error) {
		bed.mu.Lock()
		defer bed.mu.Unlock()
		bed.as = append(bed.as, i)
		return &deputy{cluster: bed.cluster, Client: mappedClient{bed.GetClient()}, as: i, config: &rest.Config{}}, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	scheme := runtime.NewScheme()
	_ = metav1.AddMetaToScheme(scheme)
	r.watches.ctx = ctx
	r.watches.connect = func(*deputy) (metadata.Interface, error) { return metadatafake.NewSimpleMetadataClient(scheme), nil }
	r.version = func(_ context.Context, _ resolve.Place, q resolve.Question) (*resolve.Answer, error) {
		bed.mu.Lock()
		defer bed.mu.Unlock()
		return &resolve.Answer{Component: q.Component, Version: q.Version}, bed.failing
	}
	r.locate = func(_ context.Context, a *resolve.Answer, ref v1alpha1.ResourceReference) (*resolve.Resource, error) {
		return bed.resource(a, ref.Resource["name"])
	}
	r.check = func(context.Context, *resolve.Resource) error { return nil }
	r.load = func(_ context.Context, res *resolve.Resource, limit int64) (*content, error) {
		bed.mu.Lock()
		defer bed.mu.Unlock()
		bed.loads++
		text := bed.contents[res.Name]
		if int64(len(text)) > limit {
			return nil, fmt.Errorf("%w: %d bytes", ocm.ErrLimit, len(text))
		}
		return &content{data: []byte(text)}, nil
	}
	bed.r = r
	return bed
}

// resource makes a resource of a version: images are at registry.example.org.
func (bed *deployerBed) resource(a *resolve.Answer, name string) (*resolve.Resource, error) {
	bed.mu.Lock()
	defer bed.mu.Unlock()
	if _, ok := bed.contents[name]; !ok {
		return nil, fmt.Errorf("resource %s: %w", name, ocm.ErrNotFound)
	}
	var access ocm.Spec
	sum := strings.Repeat("a", 64)
	err := access.UnmarshalJSON(fmt.Appendf(nil, `{"type":"ociArtifact","imageReference":"registry.example.org/acme/%s:%s@sha256:%s"}`, name, a.Version, sum))
	res := &resolve.Resource{Component: a.Component, Version: a.Version}
	res.Name, res.Resource.Version, res.Type, res.Access = name, a.Version, "blob", access
	res.Resource.Digest = &ocm.Digest{HashAlgorithm: "SHA-256", NormalisationAlgorithm: "genericBlobDigest/v1", Value: "d-" + name + "-" + a.Version}
	return res, err
}

// to turns to another version of the component.
func (bed *deployerBed) to(t *testing.T, version, manifests string) {
	t.Helper()
	bed.mu.Lock()
	bed.contents["manifests"] = manifests
	bed.mu.Unlock()
	c, res := shopComponent(), shopResource()
	bed.read(t, c)
	bed.read(t, res)
	c.Status.Component.Version = version
	res.Status.Component.Version, res.Status.Resource.Version, res.Status.Resource.Digest.Value = version, version, "d-manifests-"+version
	bed.write(t, c)
	bed.write(t, res)
}

func (bed *deployerBed) write(t *testing.T, obj client.Object) {
	t.Helper()
	if err := bed.GetClient().Status().Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

// change changes a Deployer as its user does.
func (bed *deployerBed) change(t *testing.T, fn func(*v1alpha1.Deployer)) {
	t.Helper()
	d := testDeployer()
	bed.read(t, d)
	fn(d)
	d.Generation++
	if err := bed.GetClient().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// settle reconciles until the Ready condition begins with the text, and returns the Deployer.
func (bed *deployerBed) settle(t *testing.T, text string) *v1alpha1.Deployer {
	t.Helper()
	d := testDeployer()
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		bed.step(t)
		bed.read(t, d)
		_, acting := bed.r.acting.get(d.UID)
		if acting == nil && d.Status.ObservedGeneration == d.Generation && strings.HasPrefix(ready(d), text) {
			return d
		}
		if time.Now().After(end) {
			t.Fatalf("expected %q, found %q", text, ready(d))
		}
	}
}

func (bed *deployerBed) step(t *testing.T) {
	t.Helper()
	if _, err := bed.r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: "app"}}); err != nil {
		t.Fatal(err)
	}
}

func standard() []client.Object {
	return []client.Object{shopResource(), shopComponent(), testDeployer()}
}

func TestDeployerDeploysManifests(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	d := bed.settle(t, "True Succeeded")
	if got := bed.cluster.names(); got != "ConfigMap team/one" {
		t.Error(got)
	}
	if !slices.Equal(d.Finalizers, []string{v1alpha1.FinalizerPrune, v1alpha1.FinalizerWatch}) {
		t.Error(d.Finalizers)
	}
	if len(d.Status.Deployed) != 1 || d.Status.Deployed[0].Name != "one" || d.Status.Deployed[0].Namespace != "team" {
		t.Error(d.Status.Deployed)
	}
	rev := d.Status.History[0]
	if rev.Revision != 1 || rev.Outcome != v1alpha1.OutcomeGood || !rev.Stored || rev.Verdict != v1alpha1.Verified || rev.Signer != "CN=acme" || rev.Version != "1.0.0" || d.Status.Revision != 1 {
		t.Errorf("%+v", rev)
	}
	if d.Labels[apply.LabelID] != setOf(d) || d.Annotations[apply.AnnotationGroupKinds] != "ConfigMap" || d.Annotations[apply.AnnotationTooling] != "ocm/1.2.0" {
		t.Error(d.Labels, d.Annotations)
	}
	if bed.as[0] != (identity{Namespace: "team", Name: "deployer"}) {
		t.Error(bed.as)
	}
}

func TestDeployerLabelsObjects(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	bed.settle(t, "True Succeeded")
	o := bed.cluster.objects["ConfigMap team/one"]
	for key, want := range map[string]string{"app.kubernetes.io/managed-by": "deployer.delivery.ocm.software", "app.kubernetes.io/name": "manifests",
		"app.kubernetes.io/version": "1.0.0", "app.kubernetes.io/part-of": "app"} {
		if o.GetLabels()[key] != want {
			t.Errorf("label %s: expected %q, found %q", key, want, o.GetLabels()[key])
		}
	}
	for key, want := range map[string]string{"component.delivery.ocm.software/name": "acme.org/app", "component.delivery.ocm.software/version": "1.0.0",
		"identity.resource.delivery.ocm.software/name": "manifests", "digest.resource.delivery.ocm.software/value": "d-manifests-1.0.0",
		"digest.resource.delivery.ocm.software/hashAlgorithm": "SHA-256", "digest.resource.delivery.ocm.software/normalisationAlgorithm": "genericBlobDigest/v1"} {
		if o.GetAnnotations()[key] != want {
			t.Errorf("annotation %s: expected %q, found %q", key, want, o.GetAnnotations()[key])
		}
	}
	if !strings.Contains(o.GetAnnotations()["resource.delivery.ocm.software/access"], "registry.example.org/acme/manifests") {
		t.Error(o.GetAnnotations())
	}
}

func TestDeployerRestsWhenNothingChanges(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	bed.settle(t, "True Succeeded")
	applied := bed.cluster.applied()
	eventually(t, func() bool { // what was begun before comes to its end
		writes := 0
		for range 20 {
			bed.step(t)
			writes += bed.counted("patch Deployer") + bed.counted("status Deployer")
		}
		return writes == 0
	})
	if bed.cluster.applied() != applied || bed.loads != 1 {
		t.Error("it does something", bed.counts, applied, bed.cluster.applied(), bed.loads)
	}
}

func TestDeployerUpgradesAndPrunes(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	bed.settle(t, "True Succeeded")
	bed.to(t, "1.1.0", fmt.Sprintf(configMap, "two", "2"))
	d := bed.settle(t, "True Succeeded: revision 2")
	if got := bed.cluster.names(); got != "ConfigMap team/two" {
		t.Error(got)
	}
	if d.Status.Revision != 2 || len(d.Status.History) != 2 || d.Status.History[0].Version != "1.1.0" {
		t.Errorf("%+v", d.Status.History)
	}
}

func TestDeployerWaitsForResource(t *testing.T) {
	t.Parallel()
	notReady, refused, stale := shopResource(), shopResource(), shopResource()
	set(notReady, v1alpha1.ConditionReady, metav1.ConditionFalse, "GetResourceFailed", "no")
	refused.Status.Verification = &v1alpha1.VerificationStatus{Verdict: v1alpha1.Refused, Message: "bad signature"}
	stale.Generation = 2
	refusedComponent := shopComponent()
	refusedComponent.Status.Verification = &v1alpha1.VerificationStatus{Verdict: v1alpha1.Refused, Message: "revoked"}
	for name, c := range map[string]struct {
		res  *v1alpha1.Resource
		comp *v1alpha1.Component
		want string
	}{
		"missing":           {nil, shopComponent(), "spec.resourceRef: Resource team/app: not found"},
		"not ready":         {notReady, shopComponent(), "is not ready"},
		"not observed":      {stale, shopComponent(), "is not ready"},
		"refused":           {refused, shopComponent(), "bad signature"},
		"component missing": {shopResource(), nil, "Component app"},
		"component refused": {shopResource(), refusedComponent, "revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			objs := []client.Object{testDeployer()}
			if c.res != nil {
				objs = append(objs, c.res)
			}
			if c.comp != nil {
				objs = append(objs, c.comp)
			}
			bed := newDeployerBed(t, objs...)
			d := bed.settle(t, "False ResourceIsNotAvailable")
			if !strings.Contains(ready(d), c.want) {
				t.Errorf("expected %q in %q", c.want, ready(d))
			}
			if bed.cluster.applied() != 0 {
				t.Error("something was applied")
			}
		})
	}
}

func TestDeployerKeepsWhatRunsWhenTheResourceIsRefused(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	bed.settle(t, "True Succeeded")
	res := shopResource()
	bed.read(t, res)
	res.Status.Verification = &v1alpha1.VerificationStatus{Verdict: v1alpha1.Refused, Message: "revoked"}
	bed.write(t, res)
	bed.cluster.with(func() {
		bed.cluster.drift = []apply.Ref{{APIVersion: "v1", Kind: "ConfigMap", Namespace: "team", Name: "one"}}
	})
	bed.r.acts.Forget(lookKey{"uid-app", 1})
	n := bed.cluster.applied()
	bed.settle(t, "False ResourceIsNotAvailable")
	eventually(t, func() bool {
		bed.step(t)
		d := testDeployer()
		bed.read(t, d)
		return meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionDrifted)
	})
	if bed.cluster.names() != "ConfigMap team/one" || bed.cluster.applied() != n {
		t.Error("what is refused was applied again, or taken away")
	}
}

func TestDeployerDependsOn(t *testing.T) {
	t.Parallel()
	other := testDeployer()
	other.Name, other.UID = "base", "uid-base"
	d := testDeployer()
	d.Spec.DependsOn = []v1alpha1.DeployerReference{{Name: "base"}}
	bed := newDeployerBed(t, shopResource(), shopComponent(), d)
	bed.settle(t, "False DependencyNotReady: spec.dependsOn[0]: Deployer base is not there")
	if err := bed.GetClient().Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	bed.settle(t, "False DependencyNotReady: spec.dependsOn[0]: Deployer base is not ready")
	bed.write(t, beReady(other))
	bed.settle(t, "True Succeeded")

	// What is deployed stays ready when another one is not any more; what is new waits.
	set(other, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUnhealthy, "no")
	bed.write(t, other)
	for range 5 {
		bed.settle(t, "True Succeeded")
	}
	bed.to(t, "1.1.0", fmt.Sprintf(configMap, "two", "2"))
	bed.settle(t, "False DependencyNotReady")
}

func TestDeployerNamesCycle(t *testing.T) {
	t.Parallel()
	deployer := func(name, on string) *v1alpha1.Deployer {
		d := testDeployer()
		d.Name, d.UID, d.Spec.DependsOn = name, types.UID("uid-"+name), []v1alpha1.DeployerReference{{Name: on}}
		return d
	}
	bed := newDeployerBed(t, shopResource(), shopComponent(), deployer("app", "b"), deployer("b", "c"), deployer("c", "app"))
	d := bed.settle(t, "False InvalidSpec")
	if want := "app -> b -> c -> app"; !strings.Contains(ready(d), want) || !meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionStalled) {
		t.Errorf("expected %q in %q", want, ready(d))
	}
	self := newDeployerBed(t, shopResource(), shopComponent(), deployer("app", "app"))
	if d := self.settle(t, "False InvalidSpec"); !strings.Contains(ready(d), "app -> app") {
		t.Error(ready(d))
	}
}

func TestDeployerSaysWhyNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(*deployerBed, *v1alpha1.Deployer)
		want    []string
	}{
		"too large": {func(b *deployerBed, _ *v1alpha1.Deployer) {
			b.options.MaxResourceSize, b.r.options.MaxResourceSize = 10, 10
		}, []string{"False GetResourceFailed", "at most 10 bytes", "--deployer-download-max-resource-size"}},
		"no manifests": {func(b *deployerBed, _ *v1alpha1.Deployer) { b.contents["manifests"] = "# nothing" }, []string{"False RenderFailed", "no objects found in manifest"}},
		"no YAML":      {func(b *deployerBed, _ *v1alpha1.Deployer) { b.contents["manifests"] = "a: [" }, []string{"False RenderFailed"}},
		"denied": {func(b *deployerBed, _ *v1alpha1.Deployer) {
			b.cluster.fail["Check"] = fmt.Errorf("%w: may not create configmaps", ocm.ErrDenied)
		}, []string{"False Forbidden", "system:serviceaccount:team:deployer", "may not create configmaps"}},
		"not accepted":  {func(b *deployerBed, _ *v1alpha1.Deployer) { b.cluster.fail["Check"] = ocm.ErrInvalid }, []string{"False ApplyFailed"}},
		"registry away": {func(b *deployerBed, _ *v1alpha1.Deployer) { b.failing = errors.New("no route to host") }, []string{"False GetComponentVersionFailed", "no route"}},
		"bad signature": {func(b *deployerBed, _ *v1alpha1.Deployer) { b.failing = ocm.ErrDigest }, []string{"False VerificationFailed"}},
		"image missing": {func(_ *deployerBed, d *v1alpha1.Deployer) {
			d.Spec.Localization = []v1alpha1.Localization{{Name: "x", Resource: v1alpha1.ResourceReference{Resource: v1alpha1.Identity{"name": "nope"}}}}
		}, []string{"False GetOCMResourceFailed", "spec.localization[0].resource", "nope"}},
		"localized field": {func(b *deployerBed, d *v1alpha1.Deployer) {
			b.contents["image"] = ""
			d.Spec.Localization = []v1alpha1.Localization{{Name: "x", Resource: v1alpha1.ResourceReference{Resource: v1alpha1.Identity{"name": "image"}},
				Fields: []v1alpha1.LocalizedField{{Kind: "Deployment", Path: "spec.image"}}}}
		}, []string{"False RenderFailed", "spec.localization[0].fields[0]"}},
		"values": {func(_ *deployerBed, d *v1alpha1.Deployer) { d.Spec.Values = rawJSON(`["a"]`) }, []string{"False InvalidSpec: spec.values"}},
		"values from": {func(_ *deployerBed, d *v1alpha1.Deployer) {
			d.Spec.ValuesFrom = []v1alpha1.ValuesReference{{Kind: "Secret", Name: "nope"}}
		}, []string{"False InvalidSpec: spec.valuesFrom[0]: Secret team/nope: not found"}},
		"expressions": {func(_ *deployerBed, d *v1alpha1.Deployer) { d.Spec.ValueExpressions = rawJSON(`{"a":{"b":"nope.x"}}`) },
			[]string{"False InvalidSpec: spec.valueExpressions.a.b"}},
		"namespace": {func(_ *deployerBed, d *v1alpha1.Deployer) { d.Spec.ResourceRef.Namespace = "" }, []string{"False InvalidSpec: spec.resourceRef.namespace"}},
		"account":   {func(_ *deployerBed, d *v1alpha1.Deployer) { d.Spec.ServiceAccountName = "kube-system:admin" }, []string{"False InvalidSpec: spec.serviceAccountName"}},
		"nobody":    {func(_ *deployerBed, d *v1alpha1.Deployer) { d.Spec.ServiceAccountName = "" }, []string{"False Forbidden: spec.serviceAccountName"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := testDeployer()
			bed := newDeployerBed(t, shopResource(), shopComponent())
			c.prepare(bed, d)
			if err := bed.GetClient().Create(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			got := bed.settle(t, c.want[0])
			for _, text := range c.want {
				if !strings.Contains(ready(got), text) {
					t.Errorf("expected %q in %q", text, ready(got))
				}
			}
			if bed.cluster.applied() != 0 || len(got.Status.History) != 0 {
				t.Error("something was applied")
			}
		})
	}
}

func TestDeployerDryRun(t *testing.T) {
	t.Parallel()
	d := testDeployer()
	d.Spec.DryRun = true
	bed := newDeployerBed(t, shopResource(), shopComponent(), d)
	got := bed.settle(t, "False DryRun")
	if got.Status.Diff != "1 objects" || bed.cluster.applied() != 0 || len(got.Status.History) != 0 {
		t.Errorf("%+v", got.Status)
	}
	bed.change(t, func(d *v1alpha1.Deployer) { d.Spec.DryRun = false })
	if got := bed.settle(t, "True Succeeded"); got.Status.Diff != "" {
		t.Error("the diff of before stays")
	}
}

func TestDeployerSuspended(t *testing.T) {
	t.Parallel()
	d := testDeployer()
	d.Spec.Suspend = true
	bed := newDeployerBed(t, shopResource(), shopComponent(), d)
	for range 5 {
		bed.step(t)
	}
	bed.read(t, d)
	if len(d.Status.Conditions) > 0 || len(d.Finalizers) > 0 || bed.cluster.applied() > 0 {
		t.Errorf("%+v", d)
	}
}

func TestDeployerDeletesWithoutResource(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	bed.settle(t, "True Succeeded")
	for _, obj := range []client.Object{shopResource(), shopComponent(), testDeployer()} {
		if err := bed.GetClient().Delete(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	bed.gone(t)
	if len(bed.cluster.deleted) == 0 || bed.cluster.names() != "" {
		t.Error(bed.cluster.deleted)
	}
}

func (bed *deployerBed) gone(t *testing.T) {
	t.Helper()
	eventually(t, func() bool {
		bed.step(t)
		return apierrors.IsNotFound(bed.GetClient().Get(t.Context(), types.NamespacedName{Name: "app"}, testDeployer()))
	})
}

func TestDeployerLetsGoWithoutPrune(t *testing.T) {
	t.Parallel()
	no := false
	d := testDeployer()
	d.Spec.Prune = &no
	bed := newDeployerBed(t, shopResource(), shopComponent(), d)
	bed.settle(t, "True Succeeded")
	bed.to(t, "1.1.0", fmt.Sprintf(configMap, "two", "2"))
	bed.settle(t, "True Succeeded: revision 2")
	if got := bed.cluster.names(); got != "ConfigMap team/one, ConfigMap team/two" {
		t.Error(got)
	}
	for _, s := range bed.cluster.sets {
		if !s.Unowned { // or a deletion in the foreground would take them
			t.Error("what stays has an owner that goes")
		}
	}
	if got := bed.cluster.let; !slices.Equal(got, []string{"ConfigMap team/one"}) { // else it is collected with its owner
		t.Errorf("let go when it left: %v", got)
	}
	if err := bed.GetClient().Delete(t.Context(), testDeployer()); err != nil {
		t.Fatal(err)
	}
	bed.gone(t)
	if len(bed.cluster.deleted) > 0 || !slices.Contains(bed.cluster.let, "ConfigMap team/two") {
		t.Error(bed.cluster.deleted, bed.cluster.let)
	}
}

func TestDeployerSaysWhatItMayNotDelete(t *testing.T) {
	t.Parallel()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}
	bed := newDeployerBed(t, append(standard(), namespace)...)
	bed.settle(t, "True Succeeded")
	bed.cluster.with(func() { bed.cluster.fail["Delete"] = fmt.Errorf("%w: may not delete configmaps", ocm.ErrDenied) })
	if err := bed.GetClient().Delete(t.Context(), testDeployer()); err != nil {
		t.Fatal(err)
	}
	if d := bed.settle(t, "False Forbidden"); !strings.Contains(ready(d), "may not delete configmaps") || len(d.Finalizers) != 2 {
		t.Error(ready(d), d.Finalizers)
	}
	if err := bed.GetClient().Delete(t.Context(), namespace); err != nil { // and with it the account: nobody can delete anything any more
		t.Fatal(err)
	}
	bed.gone(t)
}

func TestDeployerTellsWhatCouldNotBeWritten(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	d := testDeployer()
	bed.r.acting.begun(d.UID, errors.New("x"))
	bed.r.acting.ended(d.UID, &done{tell: func(d *v1alpha1.Deployer) { d.Status.Release = "team/app" }})
	bed.step(t)
	bed.read(t, d)
	if d.Status.Release != "team/app" {
		t.Errorf("what an act did was lost: %+v", d.Status)
	}
	if untold, _ := bed.r.acting.get(d.UID); len(untold) > 0 {
		t.Error("it is told again")
	}
}

func TestNoActOnAStaleState(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	d := testDeployer()
	bed.read(t, d)
	d.ResourceVersion = "0"
	err := bed.r.act(t.Context(), d, errors.New("x"), func(context.Context, *v1alpha1.Deployer) *done { t.Error("it was begun"); return &done{} })
	if err == nil || !strings.Contains(err.Error(), "was changed in the meantime") {
		t.Error(err)
	}
	if _, meanwhile := bed.r.acting.get(d.UID); meanwhile != nil {
		t.Error(meanwhile)
	}
}

// Another account deploys the product again: what it may not do shows at once, and not at the next version.
func TestAnotherAccountDeploysAgain(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	first := bed.settle(t, "True Succeeded")
	bed.change(t, func(d *v1alpha1.Deployer) { d.Spec.ServiceAccountName = "other" })
	d := bed.settle(t, "True Succeeded: revision 2")
	if bed.cluster.applied() != 2 || bed.as[len(bed.as)-1] != (identity{Namespace: "team", Name: "other"}) || d.Status.History[0].Input == first.Status.History[0].Input {
		t.Errorf("%d sets as %v: %+v", bed.cluster.applied(), bed.as, d.Status.History)
	}
}
