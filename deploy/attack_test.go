// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/apply"
	"ocm/deploy/render"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

// withImage lets the Deployer put an image of the component into the manifest.
func withImage(bed *deployerBed, d *v1alpha1.Deployer) {
	bed.contents["image"] = ""
	d.Spec.Localization = []v1alpha1.Localization{{Name: "image", Resource: v1alpha1.ResourceReference{Resource: v1alpha1.Identity{"name": "image"}},
		Fields: []v1alpha1.LocalizedField{{Kind: "ConfigMap", Path: "data.a"}}}}
}

// TestLocalizedImageIsTheSignedOne: the access of an image is not signed, and a tag is whatever a registry says it is. What is put into manifests
// has the digest that is signed.
func TestLocalizedImageIsTheSignedOne(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	checked := make(chan string, 100)
	bed.r.check = func(_ context.Context, found *resolve.Resource) error {
		checked <- found.Name
		return fmt.Errorf("resource %s: %w", found.Name, ocm.ErrDigest)
	}
	bed.change(t, func(d *v1alpha1.Deployer) { withImage(bed, d) })
	d := bed.settle(t, "False VerificationFailed")
	if len(checked) == 0 || <-checked != "image" || !strings.Contains(ready(d), "spec.localization[0].resource") || bed.cluster.applied() > 0 {
		t.Error(ready(d), bed.cluster.applied())
	}
}

// TestLocalizedImageWithoutDigest: nobody has signed an image without a digest. Where no signature is demanded it is taken as it is.
func TestLocalizedImageWithoutDigest(t *testing.T) {
	t.Parallel()
	for verdict, want := range map[v1alpha1.Verdict]string{v1alpha1.Verified: "False VerificationFailed", v1alpha1.Unverified: "True Succeeded"} {
		comp := shopComponent()
		comp.Status.Verification.Verdict = verdict
		bed := newDeployerBed(t, shopResource(), comp, testDeployer())
		locate := bed.r.locate
		bed.r.locate = func(ctx context.Context, a *resolve.Answer, ref v1alpha1.ResourceReference) (*resolve.Resource, error) {
			found, err := locate(ctx, a, ref)
			if err == nil && found.Name == "image" {
				found.Resource.Digest = nil
			}
			return found, err
		}
		bed.r.check = func(_ context.Context, found *resolve.Resource) error { return ocm.ErrDigest }
		bed.change(t, func(d *v1alpha1.Deployer) { withImage(bed, d) })
		bed.settle(t, want)
	}
}

// TestVerdictOfTheVersionThatIsDeployed: what a Resource says of an older version is no word on the one that its Component has now.
func TestVerdictOfTheVersionThatIsDeployed(t *testing.T) {
	t.Parallel()
	comp := shopComponent()
	comp.Status.Verification = &v1alpha1.VerificationStatus{Verdict: v1alpha1.Unverified}
	bed := newDeployerBed(t, shopResource(), comp, testDeployer())
	if rev := bed.settle(t, "True Succeeded").Status.History[0]; rev.Verdict != v1alpha1.Unverified || rev.Signer != "" {
		t.Errorf("%+v", rev)
	}
}

// TestValuesBomb: a text and thousands of aliases of it, in a ConfigMap of a tenant, would become gigabytes.
func TestValuesBomb(t *testing.T) {
	t.Parallel()
	text := "a: &a " + strings.Repeat("x", 100<<10) + "\nb: [" + strings.Repeat("*a,", 5000) + "]\n"
	if err := readValues([]byte(text), map[string]any{}); !errors.Is(err, ocm.ErrLimit) || !strings.Contains(err.Error(), "aliases") {
		t.Error(err)
	}
}

// TestHooksLeaveAloneWhatBelongsToOthers: several Deployers may act as one identity. A chart whose hook has the name of what another one has
// deployed neither deletes nor changes it, and does not put its own into another set.
func TestHooksLeaveAloneWhatBelongsToOthers(t *testing.T) {
	t.Parallel()
	theirs := &corev1.ConfigMap{ObjectMeta: inNamespace("job"), Data: map[string]string{"mine": "yes"}}
	theirs.Labels = map[string]string{apply.LabelPartOf: "applyset-of-another-v1"}
	bed := newDeployerBed(t, append(standard(), theirs)...)
	bed.r.render = func(context.Context, render.Source, render.Options) (*render.Result, error) {
		h := hookOf("job", "pre-install")
		h.Object.SetLabels(map[string]string{apply.LabelPartOf: "applyset-of-another-v1"})
		return chartResult(h), nil
	}
	bed.r.record = func(context.Context, *deputy, *render.Release, string, string) error { return nil }
	bed.settle(t, "False ApplyFailed")
	if err := bed.GetClient().Get(t.Context(), client.ObjectKeyFromObject(theirs), theirs); err != nil {
		t.Fatal(err)
	}
	if theirs.Data["mine"] != "yes" || bed.cluster.applied() > 0 {
		t.Error(theirs.Data)
	}
	mine := hookOf("new", "pre-install").Object
	mine.SetNamespace("team")
	mine.SetLabels(map[string]string{apply.LabelPartOf: "applyset-of-another-v1", "a": "b"})
	if err := takeHook(t.Context(), bed.GetClient(), apply.Parent{Kind: "Deployer", Name: "app"}, mine); err != nil || len(mine.GetLabels()) != 1 {
		t.Error(err, mine.GetLabels())
	}
}

// TestHooksThatAreSecretsAreNotTold: what a server says of a Secret that it refuses may be what is in it.
func TestHooksThatAreSecretsAreNotTold(t *testing.T) {
	t.Parallel()
	o := hookOf("s", "pre-install").Object
	o.SetKind("Secret")
	err := refusedHook(o, "apply", apierrors.NewBadRequest(".stringData: expected map, got hunter2"))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

// TestMessagesMoveNoCursor: what registries and descriptors have a say in is seen in terminals, by kubectl get and in logs.
func TestMessagesMoveNoCursor(t *testing.T) {
	t.Parallel()
	d := testDeployer()
	set(d, v1alpha1.ConditionReady, "False", "Failed", "a\x1b[2K\r\u202eb\u2028c\u009bd\ne\tf "+strings.Repeat("ü", 1<<20))
	got := d.Status.Conditions[0].Message
	if !strings.HasPrefix(got, "a\uFFFD[2K\uFFFD\uFFFDb\uFFFDc\uFFFDd; e f ü") || len(got) > MaxMessage || clip(got, MaxMessage) != got {
		t.Errorf("%.100q, %d bytes", got, len(got))
	}
	if got := clipped("x\x1b[A" + strings.Repeat("ü", 512)); len(got) > 512 || strings.Contains(got, "\x1b") || !strings.HasSuffix(got, "ü …") {
		t.Errorf("%q", got)
	}
}

// TestStatusThatCannotBeStored: what is too much to be told in the status is not deployed.
func TestStatusThatCannotBeStored(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	var all strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&all, "---\n"+configMap, fmt.Sprintf("%s-%d", strings.Repeat("x", 240), i), "1")
	}
	bed.contents["manifests"] = all.String()
	d := bed.settle(t, "False RenderFailed")
	if !strings.Contains(ready(d), "status.deployed") || bed.cluster.applied() > 0 {
		t.Errorf("%.300s", ready(d))
	}
}
