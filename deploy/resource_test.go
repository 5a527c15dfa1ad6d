// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

const imageDigest = "4ac7a5f3a3e2d5c6cf4f1ba8b1cbbf0d1d4b2e3a5c6d7e8f90a1b2c3d4e5f607"

// published are resources that a test has below versions, and what happens when one is looked for or compared.
type published struct {
	mu       sync.Mutex
	resource *resolve.Resource
	missing  error // of locate
	bad      error // of check
	asked    []v1alpha1.ResourceReference
	checked  int
}

func (p *published) locate(_ context.Context, _ *resolve.Answer, ref v1alpha1.ResourceReference) (*resolve.Resource, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, ref)
	return p.resource, p.missing
}

func (p *published) check(context.Context, *resolve.Resource) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checked++
	return p.bad
}

// publishedImage is an image that lies beside the descriptor of acme.org/backend, below acme.org/app.
func publishedImage(t *testing.T) *published {
	t.Helper()
	found := &resolve.Resource{Component: "acme.org/backend", Version: "2.0.0",
		Digest:   ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: "jsonNormalisation/v4alpha1", Value: "bb"},
		Artifact: &ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: "sha256:" + imageDigest, Size: 7}}
	err := json.Unmarshal([]byte(`{"name":"image","version":"2.0.0","type":"ociImage","relation":"local","extraIdentity":{"architecture":"amd64"},
		"labels":[{"name":"tier","value":{"zone":"a"},"signing":true}],"access":{"type":"localBlob/v1","localReference":"sha256:`+imageDigest+`","mediaType":"application/vnd.oci.image.manifest.v1+json"},
		"digest":{"hashAlgorithm":"SHA-256","normalisationAlgorithm":"ociArtifactDigest/v1","value":"`+imageDigest+`"}}`), &found.Resource)
	if err == nil {
		err = found.Repository.UnmarshalJSON([]byte(`{"type":"OCIRegistry","baseUrl":"http://registry:5000"}`))
	}
	if err != nil {
		t.Fatal(err)
	}
	return &published{resource: found}
}

// takenComponent is a Component that is ready, with a version that alice signed.
func takenComponent() *v1alpha1.Component {
	c := &v1alpha1.Component{ObjectMeta: inNamespace("app")}
	c.Status.Component = &v1alpha1.ComponentInfo{RepositorySpec: rawJSON(`{"type":"OCIRegistry","baseUrl":"http://registry:5000"}`), Component: "acme.org/app", Version: "1.0.0",
		Digest: &v1alpha1.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: "jsonNormalisation/v4alpha1", Value: "aa"}}
	c.Status.Verification = &v1alpha1.VerificationStatus{Verdict: v1alpha1.Verified, Time: &metav1.Time{Time: time.Unix(1_700_000_000, 0)},
		Signatures: []v1alpha1.SignatureStatus{{Name: "default", Algorithm: "RSASSA-PSS", Signer: "CN=alice"}}}
	return beReady(c)
}

func wantedResource() *v1alpha1.Resource {
	return &v1alpha1.Resource{ObjectMeta: inNamespace("image"), Spec: v1alpha1.ResourceSpec{
		ComponentRef: corev1.LocalObjectReference{Name: "app"}, VerificationPolicy: v1alpha1.VerifyAlways,
		Resource:               v1alpha1.ResourceID{ByReference: v1alpha1.ResourceReference{Resource: v1alpha1.Identity{"name": "image"}, ReferencePath: []v1alpha1.Identity{{"name": "backend"}}}},
		AdditionalStatusFields: rawJSON(`{"oci":"resource.access.toOCI()","tier":{"zone":"resource.labels[0].value.zone"}}`)}}
}

// resourceBed is a Resource with its reconciler, and what it runs on.
type resourceBed struct {
	*testbed
	*published
	r   *resources
	obj *v1alpha1.Resource
}

func newResourceBed(t *testing.T, obj *v1alpha1.Resource, others ...client.Object) *resourceBed {
	t.Helper()
	bed := newTestbed(t, append(others, obj)...)
	r, err := newResources(bed.base)
	if err != nil {
		t.Fatal(err)
	}
	rb := &resourceBed{testbed: bed, published: publishedImage(t), r: r, obj: obj}
	r.locate, r.check = rb.locate, rb.check
	bed.canned.answers("1.0.0", "aa")
	return rb
}

func (rb *resourceBed) look(t *testing.T) string {
	t.Helper()
	rb.drive(t, rb.r, rb.obj)
	return ready(rb.obj)
}

// changeComponent changes the status of the Component.
func (rb *resourceBed) changeComponent(t *testing.T, change func(*v1alpha1.Component)) {
	t.Helper()
	c := &v1alpha1.Component{ObjectMeta: inNamespace("app")}
	rb.read(t, c)
	change(c)
	if err := rb.GetClient().Status().Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

const (
	happy     = "True Succeeded: image 2.0.0, verified by signature default"
	localized = `{"oci":{"digest":"sha256:` + imageDigest + `","host":"registry:5000","reference":"sha256:` + imageDigest + `","registry":"registry:5000",` +
		`"repository":"component-descriptors/acme.org/backend","tag":""},"tier":{"zone":"a"}}`
)

func TestResourceIsPublished(t *testing.T) {
	t.Parallel()
	rb := newResourceBed(t, wantedResource(), takenComponent())
	if got := rb.look(t); got != happy {
		t.Fatal(got)
	}
	is := rb.obj.Status
	if got := canonical(t, is.Additional.Raw); got != localized {
		t.Error(got)
	}
	if r := is.Resource; r.Name != "image" || r.Type != "ociImage" || r.Version != "2.0.0" || r.ExtraIdentity["architecture"] != "amd64" || r.Digest.Value != imageDigest ||
		!strings.Contains(string(r.Access.Raw), `"localReference"`) || len(r.Labels) != 1 || !r.Labels[0].Signing || canonical(t, r.Labels[0].Value.Raw) != `{"zone":"a"}` {
		t.Errorf("%+v", r)
	}
	if c := is.Component; c.Component != "acme.org/backend" || c.Version != "2.0.0" || c.Digest.Value != "bb" || !strings.Contains(string(c.RepositorySpec.Raw), "registry:5000") {
		t.Errorf("%+v", c)
	}
	if v := is.Verification; v.Verdict != v1alpha1.Verified || v.Signatures[0].Signer != "CN=alice" {
		t.Errorf("%+v", v)
	}
	if q := rb.canned.asked[0]; q.Component != "acme.org/app" || q.Version != "1.0.0" || q.Digest == nil || q.Digest.Value != "aa" {
		t.Errorf("it asks for %+v, which is not the version that the Component found", q)
	}
	if ref := rb.asked[0]; ref.Resource["name"] != "image" || ref.ReferencePath[0]["name"] != "backend" {
		t.Errorf("%+v", ref)
	}
	if len(rb.obj.Finalizers) != 1 || rb.obj.Finalizers[0] != v1alpha1.FinalizerResource || judged(t, rb.obj) != status.CurrentStatus {
		t.Error(rb.obj.Finalizers)
	}
	if p, s := rb.counted("patch Resource"), rb.counted("status Resource"); p != 1 || s != 1 {
		t.Errorf("%d writes of the finalizer and %d of the status", p, s)
	}
	// A look at which nothing is new writes nothing, asks nobody, and is the last one; neither does a verdict on the Component that is only newer.
	rb.changeComponent(t, func(c *v1alpha1.Component) {
		c.Status.Verification.Time = &metav1.Time{Time: time.Unix(1_800_000_000, 0)}
	})
	result := rb.drive(t, rb.r, rb.obj)
	if n := rb.counted("patch Resource") + rb.counted("status Resource"); n != 0 || result.RequeueAfter != 0 || rb.checked != 1 || len(rb.canned.asked) != 1 {
		t.Errorf("%d writes, looked at again after %s, compared %d times, asked %d times", n, result.RequeueAfter, rb.checked, len(rb.canned.asked))
	}
}

// What the API server would give back in another form is published in that form, or each look would write it again.
func TestResourceIsStoredAsPublished(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"b":1,"a":{"d":null,"c":[null,{"x":null}]}}`: `{"a":{"c":[null,{}]},"b":1}`,
		` { "a" : 9007199254740993 } `:                 `{"a":9007199254740993}`,
		`1.0`:                                          `1`,
		`"<"`:                                          `"\u003c"`,
		``:                                             `null`,
	} {
		if got, err := stored([]byte(in)); err != nil || string(got.Raw) != want {
			t.Errorf("%s: %s, %v; expected %s", in, got.Raw, err, want)
		}
	}
	obj := wantedResource()
	obj.Spec.AdditionalStatusFields = rawJSON(`{"b":"null","a":"{'y': null, 'x': 1}"}`)
	rb := newResourceBed(t, obj, takenComponent())
	rb.resource.Access.Raw = []byte(`{"type":"localBlob/v1", "localReference":"sha256:` + imageDigest + `", "globalAccess": null}`)
	if got := rb.look(t); got != happy || string(rb.obj.Status.Additional.Raw) != `{"a":{"x":1}}` || strings.Contains(string(rb.obj.Status.Resource.Access.Raw), "null") {
		t.Errorf("%s: %s, %s", got, rb.obj.Status.Additional.Raw, rb.obj.Status.Resource.Access.Raw)
	}
	rb.counted("status Resource")
	if rb.look(t); rb.counted("status Resource") != 0 {
		t.Error("the same was written again")
	}
}

func canonical(t *testing.T, raw []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	out, _ := json.Marshal(v)
	return string(out)
}

// What keeps a Resource from being published, and what its condition says.
func TestResourceOutcomes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		obj       func(*v1alpha1.Resource)
		component func(*v1alpha1.Component) // nil: none is changed
		change    func(*resourceBed)
		want      string
		status    status.Status
	}{
		"no Component": {obj: func(o *v1alpha1.Resource) { o.Spec.ComponentRef.Name = "other" },
			want: "False ResourceIsNotAvailable: spec.componentRef: Component team/other: not found", status: status.InProgressStatus},
		"Component not ready": {component: func(c *v1alpha1.Component) { c.Status.Conditions = nil },
			want: "False ResourceIsNotAvailable: spec.componentRef: Component team/app is not ready", status: status.InProgressStatus},
		"Component changed": {component: func(c *v1alpha1.Component) { c.Status.ObservedGeneration = 0 },
			want: "False ResourceIsNotAvailable: spec.componentRef: Component team/app is not ready", status: status.InProgressStatus},
		"Component refused": {component: func(c *v1alpha1.Component) {
			c.Status.Verification = &v1alpha1.VerificationStatus{Verdict: v1alpha1.Refused, Message: "the key was revoked"}
		}, want: "False ResourceIsNotAvailable: spec.componentRef: the version of Component team/app is refused: signature verification failed: the key was revoked", status: status.InProgressStatus},
		"no version": {component: func(c *v1alpha1.Component) { c.Status.Component = nil }, want: "has no version with a digest yet", status: status.InProgressStatus},
		"no digest":  {component: func(c *v1alpha1.Component) { c.Status.Component.Digest = nil }, want: "has no version with a digest yet", status: status.InProgressStatus},
		"bad repository": {component: func(c *v1alpha1.Component) { c.Status.Component.RepositorySpec = rawJSON(`"x"`) },
			want: "False GetRepositoryFailed: status.component.repositorySpec of Component team/app", status: status.FailedStatus},
		"bad configuration": {obj: func(o *v1alpha1.Resource) {
			o.Spec.OCMConfig = []v1alpha1.OCMConfiguration{{Kind: "Secret", Name: "x", Namespace: "elsewhere"}}
		}, want: "False GetConfigurationFailed: spec.ocmConfig[0].namespace", status: status.FailedStatus},
		"registry away": {change: func(rb *resourceBed) { rb.canned.refuses("1.0.0", errors.New("connection refused")) },
			want: "False GetComponentVersionFailed: connection refused", status: status.InProgressStatus},
		"drift": {change: func(rb *resourceBed) {
			rb.canned.refuses("1.0.0", fmt.Errorf("acme.org/app:1.0.0: expected aa, found cc: %w", ocm.ErrDigest))
		}, want: "False ComponentDriftResolutionInProgress: acme.org/app:1.0.0 is not what Component team/app found: acme.org/app:1.0.0: expected aa, found cc: digest mismatch", status: status.InProgressStatus},
		"wrong path": {change: func(rb *resourceBed) {
			rb.resource, rb.missing = nil, fmt.Errorf("referencePath[0] name=frontend: acme.org/app:1.0.0 has backend, base: %w", ocm.ErrNotFound)
		}, want: "False GetOCMResourceFailed: spec.resource.byReference: referencePath[0] name=frontend: acme.org/app:1.0.0 has backend, base: not found", status: status.FailedStatus},
		"search interrupted": {change: func(rb *resourceBed) { rb.resource, rb.missing = nil, errors.New("connection reset") },
			want: "False GetOCMResourceFailed: connection reset", status: status.InProgressStatus},
		"wrong content": {change: func(rb *resourceBed) { rb.bad = fmt.Errorf("expected %s, found cc: %w", imageDigest, ocm.ErrDigest) },
			want: "False VerificationFailed: resource image", status: status.InProgressStatus},
		"content away": {change: func(rb *resourceBed) { rb.bad = errors.New("connection reset") },
			want: "False GetResourceFailed: resource image", status: status.InProgressStatus},
		"content without digest": {change: func(rb *resourceBed) {
			rb.resource.Resource.Digest, rb.bad = nil, fmt.Errorf("it has no digest: %w", ocm.ErrDigest)
		},
			want: "it has no digest: digest mismatch; spec.verificationPolicy: Never takes it without", status: status.FailedStatus},
		"content excluded from signatures": {change: func(rb *resourceBed) {
			rb.resource.Resource.Digest = &ocm.Digest{HashAlgorithm: "NO-DIGEST", NormalisationAlgorithm: "EXCLUDE-FROM-SIGNATURE", Value: "NO-DIGEST"}
			rb.bad = fmt.Errorf("it is excluded: %w", ocm.ErrDigest)
		}, want: "it is excluded: digest mismatch; spec.verificationPolicy: Never takes it without", status: status.FailedStatus},
		"an expression": {obj: func(o *v1alpha1.Resource) { o.Spec.AdditionalStatusFields = rawJSON(`{"a":{"b":"resource.nothing"}}`) },
			want: "False StatusSetFailed: spec.additionalStatusFields.a.b: no such key: nothing", status: status.FailedStatus},
		"no expression": {obj: func(o *v1alpha1.Resource) { o.Spec.AdditionalStatusFields = rawJSON(`{"a":["b"]}`) },
			want: "False StatusSetFailed: spec.additionalStatusFields.a: expected a CEL expression in a string", status: status.FailedStatus},
		"a bomb": {obj: func(o *v1alpha1.Resource) {
			o.Spec.AdditionalStatusFields = rawJSON(`{"a":"lists.range(9999).map(a, lists.range(9999))"}`)
		}, want: "False StatusSetFailed: spec.additionalStatusFields.a: the expression takes more than", status: status.FailedStatus},
		"not an artifact": {change: func(rb *resourceBed) { rb.resource.Artifact = nil },
			want: "is not an OCI artifact in a registry, and cannot be pulled", status: status.FailedStatus},
		"too much to tell": {change: func(rb *resourceBed) {
			rb.resource.Labels = []ocm.Label{{Name: "x", Value: ocm.RawJSON(`"` + strings.Repeat("x", MaxResourceInfo) + `"`)}}
		}, want: "False MarshalFailed: resource image", status: status.FailedStatus},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj, component := wantedResource(), takenComponent()
			if c.obj != nil {
				c.obj(obj)
			}
			if c.component != nil {
				c.component(component)
			}
			rb := newResourceBed(t, obj, component)
			if c.change != nil {
				c.change(rb)
			}
			if got := rb.look(t); !strings.Contains(got, c.want) || judged(t, rb.obj) != c.status {
				t.Errorf("it says %q, and kstatus %s; expected %q, %s", got, judged(t, rb.obj), c.want, c.status)
			}
			if rb.obj.Status.Resource != nil || rb.obj.Status.Component != nil || rb.obj.Status.Additional != nil || rb.obj.Status.Verification != nil {
				t.Errorf("something was published: %+v", rb.obj.Status)
			}
		})
	}
}

// What was published stays when it cannot be confirmed, and says so.
func TestResourceStaysPublished(t *testing.T) {
	t.Parallel()
	rb := newResourceBed(t, wantedResource(), takenComponent())
	if got := rb.look(t); got != happy {
		t.Fatal(got)
	}
	rb.changeComponent(t, func(c *v1alpha1.Component) {
		c.Status.Verification = &v1alpha1.VerificationStatus{Verdict: v1alpha1.Refused, Message: "revoked"}
	})
	if got := rb.look(t); !strings.HasPrefix(got, "False ResourceIsNotAvailable: ") || canonical(t, rb.obj.Status.Additional.Raw) != localized {
		t.Errorf("%s, %+v", got, rb.obj.Status)
	}
	// The Component goes on with another version: it is followed.
	rb.changeComponent(t, func(c *v1alpha1.Component) {
		c.Status.Verification, c.Status.Component.Version, c.Status.Component.Digest.Value = nil, "1.1.0", "ab"
	})
	rb.canned.answers("1.1.0", "ab")
	rb.resource.Version = "2.1.0"
	if got := rb.look(t); got != "True Succeeded: image 2.0.0, not verified" || rb.obj.Status.Component.Version != "2.1.0" || rb.obj.Status.Verification.Verdict != v1alpha1.Unverified {
		t.Errorf("%s, %+v", got, rb.obj.Status)
	}
	if rb.checked != 1 {
		t.Errorf("the same content was compared %d times", rb.checked)
	}
	// Its content turns out to be something else, for the same digest: the verdict is taken back.
	rb.resource.Repository.Raw = []byte(`{"type":"OCIRegistry","baseUrl":"http://registry:5001"}`)
	rb.bad = fmt.Errorf("found cc: %w", ocm.ErrDigest)
	if got := rb.look(t); !strings.HasPrefix(got, "False VerificationFailed: ") || rb.obj.Status.Verification.Verdict != v1alpha1.Refused {
		t.Errorf("%s, %+v", got, rb.obj.Status.Verification)
	}
}

func TestResourcePolicyNever(t *testing.T) {
	t.Parallel()
	obj := wantedResource()
	obj.Spec.VerificationPolicy = v1alpha1.VerifyNever
	rb := newResourceBed(t, obj, takenComponent())
	rb.bad = ocm.ErrDigest
	if got := rb.look(t); got != "True Succeeded: image 2.0.0, not verified" || rb.checked != 0 {
		t.Errorf("%s, compared %d times", got, rb.checked)
	}
	if v := rb.obj.Status.Verification; v.Verdict != v1alpha1.Unverified || !strings.Contains(v.Message, "spec.verificationPolicy is Never") || len(v.Signatures) != 0 {
		t.Errorf("%+v", v)
	}
}

func TestResourceSuspended(t *testing.T) {
	t.Parallel()
	obj := wantedResource()
	obj.Spec.Suspend = true
	rb := newResourceBed(t, obj, takenComponent())
	if got := rb.look(t); got != "" || len(rb.obj.Finalizers) != 0 || len(rb.canned.asked) != 0 {
		t.Errorf("something was done: %s %v", got, rb.obj.Finalizers)
	}
}

// A Resource is kept while a Deployer refers to it, also if its Component is gone.
func TestResourceDeletion(t *testing.T) {
	t.Parallel()
	deployer := &v1alpha1.Deployer{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: v1alpha1.DeployerSpec{ResourceRef: v1alpha1.ObjectKey{Namespace: "team", Name: "image"}}}
	obj := wantedResource()
	obj.Finalizers = []string{v1alpha1.FinalizerResource}
	rb := newResourceBed(t, obj, deployer)
	if err := rb.GetClient().Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	if got := rb.look(t); !strings.HasPrefix(got, "False DeletionFailed: ") || !strings.Contains(got, "Deployer d") {
		t.Error(got)
	}
	if err := rb.GetClient().Delete(t.Context(), deployer); err != nil {
		t.Fatal(err)
	}
	rb.drive(t, rb.r, obj)
	if err := rb.GetClient().Get(t.Context(), client.ObjectKeyFromObject(obj), obj); client.IgnoreNotFound(err) != nil || err == nil {
		t.Error("it is still there", err)
	}
}

// Two that ask for the same share the answers; with another configuration nothing is shared.
func TestResourcesShareAnswers(t *testing.T) {
	t.Parallel()
	other := wantedResource()
	other.Name = "second"
	rb := newResourceBed(t, wantedResource(), takenComponent(), other)
	if got := rb.look(t); got != happy {
		t.Fatal(got)
	}
	rb.drive(t, rb.r, other)
	if ready(other) != happy || len(rb.canned.asked) != 1 || len(rb.published.asked) != 1 || rb.checked != 1 {
		t.Errorf("%s: asked %d times, looked for %d times, compared %d times", ready(other), len(rb.canned.asked), len(rb.published.asked), rb.checked)
	}
}

// Manifests that were written for the existing controllers are read strictly, and give what their consumers expect.
func TestResourceManifests(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/resource/*.yaml")
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	for file, want := range map[string]string{"minimal-chain": "oci", "bootstrap": "", "chart": "oci", "all-fields": "digest nested registry"} {
		raw, err := os.ReadFile(filepath.Join("testdata/resource", file+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		obj := &v1alpha1.Resource{}
		if err := yaml.UnmarshalStrict(raw, obj); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		component := takenComponent()
		obj.Namespace, obj.Generation, obj.Spec.OCMConfig, component.Name = "team", 1, nil, obj.Spec.ComponentRef.Name
		rb := newResourceBed(t, obj, component)
		if got := rb.look(t); got != happy {
			t.Errorf("%s: %s", file, got)
			continue
		}
		fields := map[string]any{}
		if obj.Status.Additional != nil {
			if err := json.Unmarshal(obj.Status.Additional.Raw, &fields); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(slices.Sorted(maps.Keys(fields)), " "); got != want {
			t.Errorf("%s: published are %s", file, got)
		}
		if oci, ok := fields["oci"].(map[string]any); ok && (oci["registry"] != "registry:5000" || oci["repository"] != "component-descriptors/acme.org/backend" || oci["digest"] != "sha256:"+imageDigest) {
			t.Errorf("%s: %v", file, oci)
		}
	}
}

func decoded(raw []byte) (v any, err error) {
	err = json.Unmarshal(raw, &v)
	return v, err
}
