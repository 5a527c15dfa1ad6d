// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

func testRepository() *v1alpha1.Repository {
	return &v1alpha1.Repository{ObjectMeta: inNamespace("repo"), Spec: v1alpha1.RepositorySpec{
		RepositorySpec: rawJSON(`{"type":"OCIRegistry","baseUrl":"http://registry:5000"}`), Interval: metav1.Duration{Duration: 10 * time.Minute}}}
}

func testComponent(verify ...v1alpha1.Verification) *v1alpha1.Component {
	return &v1alpha1.Component{ObjectMeta: inNamespace("app"), Spec: v1alpha1.ComponentSpec{
		RepositoryRef: corev1.LocalObjectReference{Name: "repo"}, Component: "acme.org/app", Semver: ">=1.0.0",
		Interval: metav1.Duration{Duration: 10 * time.Minute}, Verify: verify}}
}

func testSecret(name string, data ...string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: inNamespace(name), Data: map[string][]byte{}}
	for i := 0; i < len(data); i += 2 {
		s.Data[data[i]] = []byte(data[i+1])
	}
	return s
}

// signed is a demand for a signature whose key is in Secret keys.
func signed() v1alpha1.Verification {
	return v1alpha1.Verification{Signature: "default", SecretRef: &corev1.LocalObjectReference{Name: "keys"}}
}

var alice = resolve.Signer{Signature: "default", Algorithm: "RSASSA-PSS", Name: "CN=alice"}

// deployedComponent is a Component that is ready with a verified version 1.0.0, its reconciler, and what it runs on.
func deployedComponent(t *testing.T, change func(*v1alpha1.Component)) (*testbed, *components, *v1alpha1.Component) {
	t.Helper()
	obj := testComponent(signed())
	if change != nil {
		change(obj)
	}
	bed := newTestbed(t, obj, beReady(testRepository()), testSecret("keys", "default", "a key"))
	bed.canned.answers("1.0.0", "aa", alice)
	c := &components{bed.base}
	bed.drive(t, c, obj)
	if got := ready(obj); got != "True Succeeded: acme.org/app:1.0.0, verified by signature default" {
		t.Fatalf("at first it says %q", got)
	}
	return bed, c, obj
}

func TestComponentIsTaken(t *testing.T) {
	t.Parallel()
	bed, c, obj := deployedComponent(t, nil)
	is, v := obj.Status.Component, obj.Status.Verification
	if is == nil || is.Version != "1.0.0" || is.Digest.Value != "aa" || string(is.RepositorySpec.Raw) != `{"baseUrl":"http://registry:5000","type":"OCIRegistry"}` && string(is.RepositorySpec.Raw) != `{"type":"OCIRegistry","baseUrl":"http://registry:5000"}` {
		t.Errorf("status.component is %+v", is)
	}
	if v == nil || v.Verdict != v1alpha1.Verified || len(v.Signatures) != 1 || v.Signatures[0].Signer != "CN=alice" || v.Time == nil {
		t.Errorf("status.verification is %+v", v)
	}
	if q := bed.canned.asked[0]; len(q.Demands) != 1 || string(q.Demands[0].Key) != "a key" || q.Demands[0].Signature != "default" {
		t.Errorf("asked for %+v", q)
	}
	if judged(t, obj) != status.CurrentStatus {
		t.Error("kstatus does not see that it is current")
	}
	if patches, statuses := bed.counted("patch Component"), bed.counted("status Component"); patches != 1 || statuses != 1 {
		t.Errorf("%d writes of the finalizer and %d of the status", patches, statuses)
	}
	// Looks at which nothing is new write nothing, and are spread.
	seen := map[time.Duration]bool{}
	for range 5 {
		bed.clock.pass(11 * time.Minute)
		bed.canned.versions["1.0.0"].Time = time.Now().Add(time.Hour)
		d := bed.drive(t, c, obj).RequeueAfter
		seen[d] = true
		if d < 9*time.Minute || d > 11*time.Minute {
			t.Errorf("looked at again after %v", d)
		}
	}
	writes, events := bed.counted("status Component")+bed.counted("patch Component"), bed.told()
	if len(seen) < 2 || writes != 0 || len(events) != 0 {
		t.Errorf("looks that found nothing were noticed: %d writes, events %q, at %v", writes, events, seen)
	}
	if n := len(bed.canned.asked); n != 6 {
		t.Errorf("the version was judged %d times in 6 looks", n)
	}
}

func TestComponentIsUpgraded(t *testing.T) {
	t.Parallel()
	bed, c, obj := deployedComponent(t, nil)
	bed.canned.answers("1.1.0", "bb", alice)
	bed.clock.pass(11 * time.Minute)
	bed.drive(t, c, obj)
	if obj.Status.Component.Version != "1.1.0" || obj.Status.Component.Digest.Value != "bb" || len(bed.told()) != 1 {
		t.Errorf("%+v", obj.Status)
	}
	if w := bed.canned.wishes[len(bed.canned.wishes)-1]; w.Current != "1.0.0" || w.Downgrade || w.Semver != ">=1.0.0" {
		t.Errorf("wished for %+v", w)
	}
}

func TestAVersionThatIsRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	bed, c, obj := deployedComponent(t, nil)
	bed.canned.answers("1.1.0", "bb", alice)
	bed.canned.refuses("1.1.0", fmt.Errorf("acme.org/app:1.1.0: %w: made by somebody else", ocm.ErrSignature))
	bed.clock.pass(11 * time.Minute)
	d := bed.drive(t, c, obj).RequeueAfter
	if got := ready(obj); !strings.HasPrefix(got, "False VerificationFailed: acme.org/app:1.1.0") || judged(t, obj) != status.FailedStatus {
		t.Errorf("it says %q", got)
	}
	if obj.Status.Component.Version != "1.0.0" || obj.Status.RefusedVersion != "1.1.0" || obj.Status.Verification.Verdict != v1alpha1.Verified {
		t.Errorf("%+v", obj.Status)
	}
	if d < 9*time.Minute || d > 11*time.Minute {
		t.Errorf("looked at again after %v", d)
	}
	// The signature of the version before it is judged all the same.
	bed.canned.refuses("1.0.0", fmt.Errorf("acme.org/app:1.0.0: %w: the key was revoked", ocm.ErrSignature))
	bed.clock.pass(11 * time.Minute)
	bed.drive(t, c, obj)
	if v := obj.Status.Verification; v.Verdict != v1alpha1.Refused || !strings.Contains(v.Message, "revoked") || obj.Status.Component.Version != "1.0.0" {
		t.Errorf("%+v", obj.Status)
	}
	// Everything gets well again.
	bed.canned.answers("1.0.0", "aa", alice)
	bed.canned.answers("1.1.0", "bb", alice)
	bed.clock.pass(11 * time.Minute)
	bed.drive(t, c, obj)
	if obj.Status.RefusedVersion != "" || obj.Status.Component.Version != "1.1.0" || obj.Status.Verification.Verdict != v1alpha1.Verified {
		t.Errorf("%+v", obj.Status)
	}
}

func TestASignatureThatTurnsInvalidIsRefused(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"signature": ocm.ErrSignature, "digest": ocm.ErrDigest} {
		bed, c, obj := deployedComponent(t, nil)
		bed.canned.refuses("1.0.0", fmt.Errorf("acme.org/app:1.0.0: %w", err))
		bed.clock.pass(11 * time.Minute)
		bed.drive(t, c, obj)
		if v := obj.Status.Verification; v.Verdict != v1alpha1.Refused || v.Message == "" || len(v.Signatures) != 0 {
			t.Errorf("%s: %+v", name, v)
		}
		if got := ready(obj); !strings.HasPrefix(got, "False VerificationFailed: ") || obj.Status.Component.Digest.Value != "aa" {
			t.Errorf("%s: %s", name, got)
		}
		writes := bed.counted("status Component")
		bed.clock.pass(11 * time.Minute)
		if bed.drive(t, c, obj); writes == 0 || bed.counted("status Component") != 0 {
			t.Errorf("%s: the same refusal is written again", name)
		}
	}
}

func TestAnAnswerThatNobodyVerifiedIsRefused(t *testing.T) {
	t.Parallel()
	obj := testComponent(signed())
	bed := newTestbed(t, obj, beReady(testRepository()), testSecret("keys", "default", "a key"))
	bed.canned.answers("1.0.0", "aa") // signatures were demanded, and nobody judged them
	bed.drive(t, &components{bed.base}, obj)
	if got := ready(obj); !strings.HasPrefix(got, "False VerificationFailed: ") || obj.Status.Component != nil {
		t.Errorf("it says %q, and takes %+v", got, obj.Status.Component)
	}
}

func TestARegistryThatIsAwayRefusesNothing(t *testing.T) {
	t.Parallel()
	bed, c, obj := deployedComponent(t, nil)
	bed.canned.refuses("1.0.0", errors.New("connection refused"))
	bed.clock.pass(11 * time.Minute)
	if d := bed.drive(t, c, obj).RequeueAfter; d > 2*firstPause {
		t.Errorf("looked at again after %v", d)
	}
	if got := ready(obj); !strings.HasPrefix(got, "False GetComponentVersionFailed: connection refused") || obj.Status.Verification.Verdict != v1alpha1.Verified {
		t.Errorf("it says %q with %+v", got, obj.Status.Verification)
	}
}

func TestADowngradeIsForbidden(t *testing.T) {
	t.Parallel()
	bed, c, obj := deployedComponent(t, nil)
	bed.canned.mu.Lock()
	bed.canned.selected, bed.canned.refused = "0.9.0", fmt.Errorf("0.9.0 is older than 1.0.0: %w", resolve.ErrDowngrade)
	bed.canned.mu.Unlock()
	bed.clock.pass(11 * time.Minute)
	bed.drive(t, c, obj)
	if got := ready(obj); !strings.HasPrefix(got, "False DowngradeForbidden: spec.semver: 0.9.0 is older") {
		t.Errorf("it says %q", got)
	}
	if obj.Status.Component.Version != "1.0.0" || obj.Status.RefusedVersion != "0.9.0" || obj.Status.Verification.Verdict != v1alpha1.Verified {
		t.Errorf("%+v", obj.Status)
	}
	obj.Spec.DowngradePolicy = v1alpha1.DowngradeAllow
	obj.Generation++
	if err := bed.GetClient().Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	bed.canned.answers("0.9.0", "99", alice)
	bed.drive(t, c, obj)
	if obj.Status.Component.Version != "0.9.0" || obj.Status.RefusedVersion != "" {
		t.Errorf("allowed, and %+v", obj.Status)
	}
}

func TestARevokedKeyIsNoLongerTrusted(t *testing.T) {
	t.Parallel()
	bed, c, obj := deployedComponent(t, nil)
	if err := bed.GetClient().Delete(t.Context(), testSecret("keys")); err != nil {
		t.Fatal(err)
	}
	bed.clock.pass(11 * time.Minute)
	bed.drive(t, c, obj)
	if got := ready(obj); got != "False VerificationFailed: spec.verify[0].secretRef: Secret team/keys: not found" || obj.Status.Verification.Verdict != v1alpha1.Refused {
		t.Errorf("it says %q with %+v", got, obj.Status.Verification)
	}
	if err := bed.GetClient().Create(t.Context(), testSecret("keys", "default", "another key")); err != nil {
		t.Fatal(err)
	}
	bed.clock.pass(11 * time.Minute)
	bed.drive(t, c, obj)
	if got := bed.canned.asked[len(bed.canned.asked)-1].Demands[0].Key; string(got) != "another key" {
		t.Errorf("judged by %q", got)
	}
}

// reply is what Select says.
type reply struct {
	selected string
	refused  error
}

func TestComponentsThatCannotBe(t *testing.T) {
	t.Parallel()
	keys := testSecret("keys", "default", "a key")
	secretRef := func(name string) *corev1.LocalObjectReference { return &corev1.LocalObjectReference{Name: name} }
	root := &v1alpha1.SigstoreVerification{TrustedRootSecretRef: *secretRef("keys"), CertificateIdentity: "a", CertificateOIDCIssuer: "b"}
	noRepo := func(c *v1alpha1.Component) { c.Spec.RepositoryRef.Name = "other" }
	deleted := beReady(testRepository())
	deleted.Finalizers, deleted.DeletionTimestamp = []string{"x"}, &metav1.Time{Time: time.Now()}
	outdated := beReady(testRepository())
	outdated.Generation++
	for name, c := range map[string]struct {
		repo   *v1alpha1.Repository
		change func(*v1alpha1.Component)
		verify []v1alpha1.Verification
		canned reply
		want   string
		status status.Status
	}{
		"no repository":        {beReady(testRepository()), noRepo, nil, reply{}, "ResourceIsNotAvailable: spec.repositoryRef.name: Repository team/other: not found", status.InProgressStatus},
		"repository not ready": {testRepository(), nil, nil, reply{}, "ResourceIsNotAvailable: spec.repositoryRef.name: Repository team/repo is not ready", status.InProgressStatus},
		"repository changed":   {outdated, nil, nil, reply{}, "ResourceIsNotAvailable: spec.repositoryRef.name: Repository team/repo is not ready", status.InProgressStatus},
		"repository goes":      {deleted, nil, nil, reply{}, "ResourceIsNotAvailable: spec.repositoryRef.name: Repository team/repo is being deleted", status.InProgressStatus},
		"negative interval":    {nil, func(c *v1alpha1.Component) { c.Spec.Interval.Duration = -1 }, nil, reply{}, "InvalidSpec: spec.interval: invalid", status.FailedStatus},
		"no secret":            {nil, nil, []v1alpha1.Verification{{Signature: "s", SecretRef: secretRef("none")}}, reply{}, "VerificationFailed: spec.verify[0].secretRef: Secret team/none: not found", status.InProgressStatus},
		"no name":              {nil, nil, []v1alpha1.Verification{{Signature: "s", SecretRef: secretRef("")}}, reply{}, "VerificationFailed: spec.verify[0].secretRef: name: invalid", status.InProgressStatus},
		"no key":               {nil, nil, []v1alpha1.Verification{signed(), {Signature: "s", SecretRef: secretRef("keys")}}, reply{}, `VerificationFailed: spec.verify[1].secretRef: Secret team/keys: not found: it has nothing under the key "s"`, status.InProgressStatus},
		"no authorities":       {nil, nil, []v1alpha1.Verification{{Signature: "default", SecretRef: secretRef("keys"), CASecretRef: secretRef("keys")}}, reply{}, `VerificationFailed: spec.verify[0].caSecretRef: Secret team/keys: not found: it has nothing under the key "ca.crt"`, status.InProgressStatus},
		"no stamping":          {nil, nil, []v1alpha1.Verification{{Signature: "default", SecretRef: secretRef("keys"), TSASecretRef: secretRef("none")}}, reply{}, "VerificationFailed: spec.verify[0].tsaSecretRef: Secret team/none: not found", status.InProgressStatus},
		"no trusted root":      {nil, nil, []v1alpha1.Verification{{Signature: "default", Sigstore: root}}, reply{}, `VerificationFailed: spec.verify[0].sigstore.trustedRootSecretRef: Secret team/keys: not found: it has nothing under the key "trusted_root.json"`, status.InProgressStatus},
		"both":                 {nil, nil, []v1alpha1.Verification{{Signature: "default", SecretRef: secretRef("keys"), Value: "YQ=="}}, reply{}, "InvalidSpec: spec.verify[0]: invalid: exactly one of", status.FailedStatus},
		"neither":              {nil, nil, []v1alpha1.Verification{{Signature: "default"}}, reply{}, "InvalidSpec: spec.verify[0]: invalid: exactly one of", status.FailedStatus},
		"no signature":         {nil, nil, []v1alpha1.Verification{{Value: "YQ=="}}, reply{}, "InvalidSpec: spec.verify[0].signature: invalid", status.FailedStatus},
		"not base64":           {nil, nil, []v1alpha1.Verification{{Signature: "default", Value: "-----BEGIN"}}, reply{}, "InvalidSpec: spec.verify[0].value: invalid", status.FailedStatus},
		"two identities": {nil, nil, []v1alpha1.Verification{{Signature: "default", Sigstore: &v1alpha1.SigstoreVerification{CertificateIdentity: "a", CertificateIdentityRegexp: "b"}}}, reply{},
			"InvalidSpec: spec.verify[0].sigstore: invalid: exactly one of certificateIdentity", status.FailedStatus},
		"no issuer": {nil, nil, []v1alpha1.Verification{{Signature: "default", Sigstore: &v1alpha1.SigstoreVerification{CertificateIdentity: "a"}}}, reply{},
			"InvalidSpec: spec.verify[0].sigstore: invalid: exactly one of certificateOIDCIssuer", status.FailedStatus},
		"too many":       {nil, nil, make([]v1alpha1.Verification, maxDemands+1), reply{}, "InvalidSpec: spec.verify: limit exceeded", status.FailedStatus},
		"bad constraint": {nil, nil, nil, reply{refused: fmt.Errorf("spec.semver: %w", ocm.ErrInvalid)}, "InvalidSpec: spec.semver", status.FailedStatus},
		"no version":     {nil, nil, nil, reply{refused: fmt.Errorf("%w: there are 0.1.0", ocm.ErrNotFound)}, "CheckVersionFailed: spec.semver: not found: there are 0.1.0", status.InProgressStatus},
		"gone":           {nil, nil, nil, reply{selected: "3.0.0"}, "GetComponentVersionFailed: acme.org/app:3.0.0: not found", status.InProgressStatus},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := testComponent(c.verify...)
			if c.change != nil {
				c.change(obj)
			}
			repo := c.repo
			if repo == nil {
				repo = beReady(testRepository())
			}
			bed := newTestbed(t, obj, repo, keys.DeepCopy())
			bed.canned.selected, bed.canned.refused = c.canned.selected, c.canned.refused
			bed.drive(t, &components{bed.base}, obj)
			if got := ready(obj); !strings.HasPrefix(got, "False "+c.want) {
				t.Errorf("it says %q", got)
			}
			if got := judged(t, obj); got != c.status {
				t.Errorf("kstatus says %s", got)
			}
			if obj.Status.Component != nil {
				t.Errorf("it takes %+v", obj.Status.Component)
			}
		})
	}
}

func TestDemands(t *testing.T) {
	t.Parallel()
	bed := newTestbed(t, testSecret("all", "s", "key", "ca.crt", "ca", "trusted_root.json", "root"))
	ref := corev1.LocalObjectReference{Name: "all"}
	got, err := bed.demands(t.Context(), "team", []v1alpha1.Verification{
		{Signature: "s", SecretRef: &ref, CASecretRef: &ref, TSASecretRef: &ref, Issuer: "CN=a", KeyFingerprint: "ff"},
		{Signature: "v", Value: base64.StdEncoding.EncodeToString([]byte("value"))},
		{Signature: "k", Sigstore: &v1alpha1.SigstoreVerification{TrustedRootSecretRef: ref, CertificateIdentityRegexp: "a.*", CertificateOIDCIssuer: "https://b", PrivateInfrastructure: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := got[0]; string(d.Key)+string(d.CA)+string(d.TSA)+d.Issuer+d.Fingerprint != "keycacaCN=aff" {
		t.Errorf("%+v", d)
	}
	if d := got[1]; string(d.Key) != "value" || d.Sigstore != nil {
		t.Errorf("%+v", d)
	}
	if d := got[2].Sigstore; string(d.TrustedRoot) != "root" || d.IdentityRegexp != "a.*" || d.Issuer != "https://b" || !d.PrivateInfrastructure {
		t.Errorf("%+v", d)
	}
	if n := bed.counted("get Secret"); n != 1 {
		t.Errorf("the Secret was read %d times", n)
	}
}

func TestAskingForALookIsANewQuestion(t *testing.T) {
	t.Parallel()
	bed, c, obj := deployedComponent(t, nil)
	bed.drive(t, c, obj)
	if n := len(bed.canned.asked); n != 1 {
		t.Fatalf("asked %d times before", n)
	}
	obj.Annotations = map[string]string{v1alpha1.AnnotationReconcile: "now"}
	if err := bed.GetClient().Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	bed.drive(t, c, obj)
	bed.drive(t, c, obj)
	if n := len(bed.canned.asked); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestDeletionInEveryOrder(t *testing.T) {
	t.Parallel()
	repo, comp := testRepository(), testComponent()
	comp.Finalizers, repo.Finalizers = []string{v1alpha1.FinalizerComponent}, []string{v1alpha1.FinalizerRepository}
	res := &v1alpha1.Resource{ObjectMeta: inNamespace("image"), Spec: v1alpha1.ResourceSpec{ComponentRef: corev1.LocalObjectReference{Name: "app"}}}
	bed := newTestbed(t, repo, comp, res)
	api := bed.GetClient()
	repos, comps := &repositories{bed.base}, &components{bed.base}
	for _, obj := range []client.Object{repo, comp} {
		if err := api.Delete(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	bed.drive(t, repos, repo)
	if got := ready(repo); got != "False DeletionFailed: it cannot be deleted while others refer to it: Component team/app; delete them first" {
		t.Errorf("the Repository says %q", got)
	}
	bed.drive(t, comps, comp)
	if got := ready(comp); !strings.HasPrefix(got, "False DeletionFailed: ") || !strings.Contains(got, "Resource team/image") {
		t.Errorf("the Component says %q", got)
	}
	if err := api.Delete(t.Context(), res); err != nil {
		t.Fatal(err)
	}
	bed.drive(t, comps, comp)
	bed.drive(t, repos, repo)
	for _, obj := range []client.Object{repo, comp} {
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); client.IgnoreNotFound(err) != nil || err == nil {
			t.Errorf("%s is still there: %v", nameOf(obj), err)
		}
	}
	// What is gone is nothing to worry about, and nothing remembers it.
	bed.drive(t, comps, testComponent())
	if len(bed.attempts.all) != 0 {
		t.Errorf("%v is remembered", bed.attempts.all)
	}
}

// Flux CVE-2022-39272: one bad object stalled all. Here it is one whose registry never answers, and one whose answer is a panic.
func TestCVE_2022_39272_OneBadObjectDoesNotStallOthers(t *testing.T) {
	t.Parallel()
	hangs, panics, good := testComponent(), testComponent(), testComponent()
	hangs.Name, hangs.Spec.Component = "hangs", "acme.org/hangs"
	panics.Name, panics.Spec.Component = "panics", "acme.org/panics"
	bed := newTestbed(t, hangs, panics, good, beReady(testRepository()))
	bed.canned.answers("1.0.0", "aa")
	bed.canned.trap = func(ctx context.Context, component string) {
		switch component {
		case "acme.org/hangs":
			<-ctx.Done()
		case "acme.org/panics":
			panic("bad input")
		}
	}
	c := &components{bed.base}
	if _, err := c.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(hangs)}); err != nil {
		t.Fatal(err)
	}
	bed.drive(t, c, panics)
	if got := ready(panics); !strings.HasPrefix(got, "False CheckVersionFailed: ") {
		t.Errorf("the one that panics says %q", got)
	}
	bed.drive(t, c, good)
	if got := ready(good); !strings.HasPrefix(got, "True") {
		t.Errorf("the good one says %q", got)
	}
}
