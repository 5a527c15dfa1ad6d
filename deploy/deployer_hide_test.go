// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/render"
	"ocm/deploy/v1alpha1"
)

// A template may fail with a password, and the API server quotes what it refuses.
func TestWhatIsFromSecretsIsHidden(t *testing.T) {
	t.Parallel()
	const password, token = `g"eheim-1`, "second line of it"
	objects := func(change func(*v1alpha1.Deployer)) []client.Object {
		d := testDeployer()
		d.Spec.ValuesFrom = []v1alpha1.ValuesReference{{Kind: "Secret", Name: "s", Key: "password", TargetPath: "db.password"}, {Kind: "Secret", Name: "s"}}
		change(d)
		s := &corev1.Secret{ObjectMeta: inNamespace("s"), Data: map[string][]byte{"password": []byte(password), "values.yaml": []byte("list: [{token: \"first\\n" + token + "\\n\"}]\nsize: abc\n")}}
		return []client.Object{shopResource(), shopComponent(), d, s}
	}
	complaint := func(v any) error {
		return fmt.Errorf("failed: %v and %q and abc and %s in it: %w", v, password, token, ocm.ErrInvalid)
	}
	for name, c := range map[string]struct {
		change func(*v1alpha1.Deployer)
		fail   string
		want   string
	}{
		"render": {func(*v1alpha1.Deployer) {}, "Render", "False RenderFailed"},
		"check":  {func(*v1alpha1.Deployer) {}, "Check", "False ApplyFailed"},
		"apply":  {func(*v1alpha1.Deployer) {}, "Apply", "False ApplyFailed"},
		"diff":   {func(d *v1alpha1.Deployer) { d.Spec.DryRun = true }, "Text", "False DryRun"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bed := newDeployerBed(t, objects(c.change)...)
			bed.r.render = func(_ context.Context, _ render.Source, o render.Options) (*render.Result, error) {
				if c.fail == "Render" {
					return nil, complaint(o.Values["db"].(map[string]any)["password"])
				}
				return chartResult(), nil
			}
			bed.r.record = func(context.Context, *deputy, *render.Release, string, string) error { return nil }
			bed.cluster.fail[c.fail], bed.cluster.text = complaint(password), complaint(password).Error()
			d := bed.settle(t, c.want)
			told := fmt.Sprintf("%+v %v", d.Status, bed.told())
			for _, secret := range []string{"eheim", "second line"} {
				if strings.Contains(told, secret) {
					t.Errorf("%q is in %s", secret, told)
				}
			}
			if text := ready(d) + d.Status.Diff; !strings.Contains(text, `failed: … and "…" and abc and … in it`) {
				t.Error(text)
			}
		})
	}
}

func TestHiddenErrorsStayWhatTheyAre(t *testing.T) {
	t.Parallel()
	var h hidden
	h.add(map[string]any{"a": "geheim", "b": "geheimer", "c": "abc", "d": []any{1, "line one\nline two"}})
	err := h.of(failed("x", fmt.Errorf("a geheimer geheim Z2VoZWlt line two: %w", ocm.ErrDenied)))
	var o *outcome
	if err.Error() != "a … … … …: access denied" || !errors.As(err, &o) || o.reason != "x" || o.Error() != err.Error() || !errors.Is(err, ocm.ErrDenied) {
		t.Errorf("%v", err)
	}
	if err := h.of(fmt.Errorf("geheim: %w", errHook)); err.Error() != "…: "+errHook.Error() || !errors.Is(err, errHook) {
		t.Error(err)
	}
	if h.of(nil) != nil {
		t.Error("nothing failed")
	}
}
