// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/apply"
	"ocm/deploy/render"
	"ocm/deploy/v1alpha1"
)

// gated is a Deployer with a health gate.
func gated(onFailure v1alpha1.FailurePolicy) *v1alpha1.Deployer {
	d := testDeployer()
	d.Spec.HealthGate = &v1alpha1.HealthGate{Timeout: metav1.Duration{Duration: time.Minute}, OnFailure: onFailure}
	return d
}

func sick() []apply.Health {
	return []apply.Health{{Ref: apply.Ref{Kind: "Deployment", Namespace: "team", Name: "web"}, Message: "0 of 1 ready"}}
}

func (bed *deployerBed) healthIs(all []apply.Health) {
	bed.cluster.with(func() { bed.cluster.health = all })
}

// wait lets time pass while the Deployer is reconciled, until the Ready condition begins with the text.
func (bed *deployerBed) wait(t *testing.T, pause time.Duration, text string) *v1alpha1.Deployer {
	t.Helper()
	d := testDeployer()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		bed.clock.pass(pause)
		bed.step(t)
		bed.read(t, d)
		_, acting := bed.r.acting.get(d.UID)
		if acting == nil && strings.HasPrefix(ready(d), text) {
			return d
		}
		if time.Now().After(end) {
			t.Fatalf("expected %q, found %q, %+v", text, ready(d), d.Status)
		}
	}
}

func TestHooksEnd(t *testing.T) {
	t.Parallel()
	object := func(kind, status string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON(fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"status":%s}`, map[string]string{"Job": "batch/v1", "Pod": "v1", "ConfigMap": "v1"}[kind], kind, status)); err != nil {
			t.Fatal(err)
		}
		return o
	}
	for _, c := range []struct {
		kind, status string
		done, failed bool
	}{
		{"Job", `{}`, false, false}, {"Job", `{"conditions":"x"}`, false, false}, {"Job", `{"conditions":[1]}`, false, false},
		{"Job", `{"conditions":[{"type":"Complete","status":"True"}]}`, true, false},
		{"Job", `{"conditions":[{"type":"Failed","status":"True"}]}`, false, true},
		{"Job", `{"conditions":[{"type":"Failed","status":"False"}]}`, false, false},
		{"Pod", `{"phase":"Running"}`, false, false}, {"Pod", `{"phase":"Succeeded"}`, true, false}, {"Pod", `{"phase":"Failed"}`, false, true},
		{"ConfigMap", `{}`, true, false},
	} {
		if done, err := ended(object(c.kind, c.status)); done != c.done || (err != nil) != c.failed {
			t.Errorf("%s %s: %v, %v", c.kind, c.status, done, err)
		}
	}
}

func TestHealthGateIsPassed(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, shopResource(), shopComponent(), gated(v1alpha1.FailureKeep))
	bed.healthIs(sick())
	d := bed.settle(t, "False Progressing: 1 of 1 objects are not healthy")
	if d.Status.History[0].Outcome != v1alpha1.OutcomePending || len(d.Status.Unhealthy) != 1 {
		t.Errorf("%+v", d.Status)
	}
	bed.healthIs(nil)
	d = bed.wait(t, time.Second, "True Succeeded")
	if d.Status.History[0].Outcome != v1alpha1.OutcomeGood || !meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionHealthy) || len(d.Status.Unhealthy) > 0 {
		t.Errorf("%+v", d.Status)
	}
}

func TestHealthGateTimesOut(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, shopResource(), shopComponent(), gated(v1alpha1.FailureKeep))
	bed.healthIs(sick())
	d := bed.wait(t, 5*time.Second, "False Unhealthy")
	if d.Status.History[0].Outcome != v1alpha1.OutcomeFailed || !strings.Contains(ready(d), "not healthy within 1m0s") {
		t.Errorf("%+v", d.Status)
	}
	bed.healthIs(nil)
	bed.wait(t, 10*time.Second, "True Succeeded")
}

// What waits for its turn, or takes long to be rendered and applied, has had no time to become healthy yet.
func TestHealthGateBeginsWhenAllIsApplied(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, shopResource(), shopComponent(), gated(v1alpha1.FailureKeep))
	bed.healthIs(sick())
	renders := bed.r.render
	bed.r.render = func(ctx context.Context, s render.Source, o render.Options) (*render.Result, error) {
		bed.clock.pass(4 * time.Minute)
		return renders(ctx, s, o)
	}
	d := bed.settle(t, "False Progressing: 1 of 1 objects are not healthy")
	if got := d.Status.History[0].Time.Time; !got.Equal(bed.clock.time()) {
		t.Errorf("expected the time at which it was applied, %v, found %v", bed.clock.time(), got)
	}
}

func TestHopelessHealthFailsAtOnce(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, shopResource(), shopComponent(), gated(v1alpha1.FailureKeep))
	all := sick()
	all[0].Failed = true
	bed.healthIs(all)
	bed.settle(t, "False Unhealthy")
}

// upgraded has deployed 1.0.0, and then 1.1.0, which is sick.
func upgraded(t *testing.T) *deployerBed {
	t.Helper()
	bed := newDeployerBed(t, shopResource(), shopComponent(), gated(v1alpha1.FailureRollback))
	bed.settle(t, "True Succeeded")
	bed.to(t, "1.1.0", fmt.Sprintf(configMap, "two", "2"))
	all := sick()
	all[0].Failed = true
	bed.healthIs(all)
	eventually(t, func() bool { // until it goes back
		bed.step(t)
		d := testDeployer()
		bed.read(t, d)
		if len(d.Status.History) == 3 {
			bed.healthIs(nil)
		}
		return len(d.Status.History) == 3
	})
	return bed
}

func TestFailedUpgradeIsRolledBack(t *testing.T) {
	t.Parallel()
	bed := upgraded(t)
	bed.mu.Lock()
	loads := bed.loads
	bed.mu.Unlock()
	d := bed.wait(t, time.Second, "False RolledBack")
	if bed.cluster.names() != "ConfigMap team/one" {
		t.Error(bed.cluster.names())
	}
	h := d.Status.History
	if len(h) != 3 || h[0].RollbackOf != 1 || h[0].Version != "1.0.0" || h[1].Outcome != v1alpha1.OutcomeRolledBack || h[2].Outcome != v1alpha1.OutcomeGood || d.Status.Held != h[1].Input || d.Status.Revision != 3 {
		t.Errorf("%+v", d.Status)
	}
	eventually(t, func() bool {
		bed.clock.pass(10 * time.Second)
		bed.step(t)
		bed.read(t, d)
		return meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionHealthy)
	})
	if !strings.HasPrefix(ready(d), "False RolledBack") || !strings.Contains(ready(d), "1.1.0") || bed.loads != loads {
		t.Error(ready(d), bed.loads, loads)
	}
}

func TestWhatWasRolledBackIsTriedAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	bed := upgraded(t)
	bed.wait(t, time.Second, "False RolledBack")
	bed.change(t, func(d *v1alpha1.Deployer) { d.Spec.Values = rawJSON(`{"a":1}`) })
	d := bed.wait(t, time.Second, "True Succeeded")
	if bed.cluster.names() != "ConfigMap team/two" || d.Status.Held != "" || d.Status.History[0].Version != "1.1.0" {
		t.Errorf("%s %+v", bed.cluster.names(), d.Status)
	}
}

func TestManualRollback(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, version string
		policy        v1alpha1.DowngradePolicy
		resource      bool // is there
		want          string
	}{
		{"older version", "1.1.0", v1alpha1.DowngradeDeny, true, "False DowngradeForbidden"},
		{"older version without Resource", "1.1.0", v1alpha1.DowngradeDeny, false, "False DowngradeForbidden"},
		{"older version, allowed", "1.1.0", v1alpha1.DowngradeAllow, true, "False RolledBack"},
		{"same version", "1.0.0", v1alpha1.DowngradeDeny, true, "False RolledBack"},
		{"same version without Resource", "1.0.0", v1alpha1.DowngradeDeny, false, "False ResourceIsNotAvailable"},
		{"newer version", "0.9.0", v1alpha1.DowngradeDeny, true, "False RolledBack"},
		{"no version", "strange", v1alpha1.DowngradeDeny, true, "False DowngradeForbidden"},
	} {
		t.Run(c.name, func(t *testing.T) {
			comp := shopComponent()
			comp.Spec.DowngradePolicy = c.policy
			bed := newDeployerBed(t, shopResource(), comp, testDeployer())
			bed.settle(t, "True Succeeded")
			bed.contents["manifests"] = fmt.Sprintf(configMap, "two", "2")
			if c.version == "1.0.0" {
				bed.change(t, func(d *v1alpha1.Deployer) { d.Spec.TargetNamespace = "other" })
			} else {
				bed.to(t, c.version, bed.contents["manifests"])
			}
			bed.settle(t, "True Succeeded: revision 2")
			if !c.resource {
				if err := bed.GetClient().Delete(t.Context(), shopResource()); err != nil {
					t.Fatal(err)
				}
			}
			forbidden := strings.Contains(c.want, "Forbidden")
			if err := Rollback(t.Context(), bed.GetClient(), "app", 1); errors.Is(err, ErrForbidden) != forbidden || !forbidden && err != nil {
				t.Fatal(err)
			}
			if forbidden { // it is not asked for; who asks nevertheless is refused
				bed.change(t, func(d *v1alpha1.Deployer) {
					if d.Annotations[v1alpha1.AnnotationRollbackTo] != "" {
						t.Error("it is asked for")
					}
					d.Annotations[v1alpha1.AnnotationRollbackTo] = "1"
				})
			}
			d := bed.settle(t, c.want)
			back := bed.cluster.names() == "ConfigMap team/one"
			if forbidden == back || !forbidden && d.Status.HandledRollback == "" {
				t.Errorf("%s: %+v", bed.cluster.names(), d.Status)
			}
		})
	}
}

func TestRollbackThatCannotBe(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"x": "<revision> or", "7": "the history has 1", "-1/again": "not found"} {
		t.Run(value, func(t *testing.T) {
			bed := newDeployerBed(t, standard()...)
			bed.settle(t, "True Succeeded")
			bed.change(t, func(d *v1alpha1.Deployer) {
				if d.Annotations == nil {
					d.Annotations = map[string]string{}
				}
				d.Annotations[v1alpha1.AnnotationRollbackTo] = value
			})
			if d := bed.settle(t, "False InvalidSpec: metadata.annotations[delivery.ocm.software/rollback-to]"); !strings.Contains(ready(d), want) {
				t.Errorf("expected %q in %q", want, ready(d))
			}
		})
	}
	bed := newDeployerBed(t, standard()...)
	if err := Rollback(t.Context(), bed.GetClient(), "app", 1); !errors.Is(err, ocm.ErrNotFound) {
		t.Error(err)
	}
	if err := Rollback(t.Context(), bed.GetClient(), "nobody", 1); !errors.Is(err, ocm.ErrNotFound) {
		t.Error(err)
	}
}

// A tenant who may write Secrets must not bring in what nobody has verified.
func TestRevisionThatWasChangedIsRefused(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	bed.settle(t, "True Succeeded")
	bed.change(t, func(d *v1alpha1.Deployer) { d.Spec.TargetNamespace = "other" })
	bed.settle(t, "True Succeeded: revision 2")
	s := &corev1.Secret{}
	if err := bed.GetClient().Get(t.Context(), types.NamespacedName{Namespace: "team", Name: "app.revision.1"}, s); err != nil {
		t.Fatal(err)
	}
	if s.Type != RevisionType || len(s.OwnerReferences) != 1 || s.OwnerReferences[0].Name != "app" {
		t.Errorf("%+v", s)
	}
	k := kept{Objects: []*unstructured.Unstructured{{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "evil"}}}}}
	var err error
	if s.Data[keyRevision], err = k.pack(); err != nil {
		t.Fatal(err)
	}
	if err := bed.GetClient().Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := Rollback(t.Context(), bed.GetClient(), "app", 1); err != nil {
		t.Fatal(err)
	}
	d := bed.settle(t, "False VerificationFailed")
	if !strings.Contains(ready(d), "app.revision.1") || strings.Contains(bed.cluster.names(), "evil") {
		t.Error(ready(d), bed.cluster.names())
	}
}

func TestRevisionThatIsTooLargeIsNotKept(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	noise := make([]byte, 1<<20)
	_, _ = io.ReadFull(noiseReader{}, noise)
	bed.options.MaxResourceSize, bed.r.options.MaxResourceSize = 8<<20, 8<<20
	bed.contents["manifests"] = fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {a: %q}}", fmt.Sprintf("%x", noise))
	d := bed.settle(t, "True Succeeded")
	if rev := d.Status.History[0]; rev.Stored || !strings.Contains(rev.Message, "not kept for a rollback") {
		t.Errorf("%+v", rev)
	}
	if c := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionDrifted); c != nil && c.Status == metav1.ConditionFalse {
		t.Error("it says that nothing drifted, and cannot know")
	}
}

// noiseReader gives bytes that cannot be compressed.
type noiseReader struct{}

func (noiseReader) Read(b []byte) (int, error) {
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return len(b), nil
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	d := testDeployer()
	d.Spec.HistoryLimit = 2
	bed := newDeployerBed(t, shopResource(), shopComponent(), d)
	bed.settle(t, "True Succeeded")
	for i := range 4 {
		bed.change(t, func(d *v1alpha1.Deployer) { d.Spec.Values = rawJSON(fmt.Sprintf(`{"a":%d}`, i)) })
		bed.settle(t, fmt.Sprintf("True Succeeded: revision %d", i+2))
	}
	all := &corev1.SecretList{}
	if err := bed.GetClient().List(t.Context(), all, client.InNamespace("team")); err != nil {
		t.Fatal(err)
	}
	bed.read(t, d)
	if len(all.Items) != 2 || len(d.Status.History) != 2 || d.Status.History[0].Revision != 5 {
		t.Error(len(all.Items), d.Status.History)
	}
}

func TestTheLastGoodRevisionStays(t *testing.T) {
	t.Parallel()
	all := []v1alpha1.Revision{{Revision: 4}, {Revision: 3}, {Revision: 2, Outcome: v1alpha1.OutcomeGood, Stored: true}, {Revision: 1, Outcome: v1alpha1.OutcomeGood, Stored: true}}
	if got := trimmed(all, 2); len(got) != 3 || got[2].Revision != 2 {
		t.Error(got)
	}
}

func TestDriftIsRepaired(t *testing.T) {
	t.Parallel()
	for policy, want := range map[v1alpha1.DriftPolicy]int{v1alpha1.DriftRepair: 2, v1alpha1.DriftReport: 1, v1alpha1.DriftIgnore: 1, "": 2} {
		t.Run(string(policy), func(t *testing.T) {
			d := testDeployer()
			d.Spec.Drift = policy
			bed := newDeployerBed(t, shopResource(), shopComponent(), d)
			bed.settle(t, "True Succeeded")
			bed.cluster.with(func() {
				bed.cluster.drift = []apply.Ref{{APIVersion: "v1", Kind: "ConfigMap", Namespace: "team", Name: "one"}}
			})
			for range 30 { // again and again: a second repair has to wait
				bed.r.acts.Forget(lookKey{"uid-app", 1})
				bed.settle(t, "True Succeeded")
				time.Sleep(time.Millisecond)
			}
			eventually(t, func() bool { bed.settle(t, "True Succeeded"); return bed.cluster.applied() >= want })
			if bed.cluster.applied() != want {
				t.Errorf("expected %d, found %d", want, bed.cluster.applied())
			}
			bed.read(t, d)
			if drifted := meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionDrifted); drifted != (policy != v1alpha1.DriftIgnore) {
				t.Errorf("Drifted: %v", drifted)
			}
		})
	}
}

func TestRepairsOfOneObjectSlowDown(t *testing.T) {
	t.Parallel()
	var x repairs
	a, b := apply.Ref{Name: "a"}, apply.Ref{Name: "b"}
	now := time.Unix(1_000_000, 0)
	n := 0
	for range 3600 {
		due, _ := x.due("d", []apply.Ref{a}, now)
		n += len(due)
		x.begun("d", due, now)
		now = now.Add(time.Second)
	}
	if n < 5 || n > 12 {
		t.Errorf("%d repairs in an hour", n)
	}
	if due, _ := x.due("d", []apply.Ref{a, b}, now); len(due) == 0 || due[len(due)-1] != b {
		t.Error("one object holds up another", due)
	}
}

func chartResult(hooks ...render.Hook) *render.Result {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "one", "labels": map[string]any{"app.kubernetes.io/managed-by": "Helm"}}}}
	crd := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "things.example.org"}}}
	return &render.Result{Format: v1alpha1.FormatHelm, Objects: []*unstructured.Unstructured{o}, CRDs: []*unstructured.Unstructured{crd}, Hooks: hooks,
		Release: &render.Release{Name: "app", Namespace: "team"}}
}

func hookOf(name, event string, policy ...string) render.Hook {
	return render.Hook{Object: &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "team"}}},
		Events: []string{event}, Delete: policy}
}

func TestChartIsARelease(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	var options []render.Options
	bed.r.render = func(_ context.Context, _ render.Source, o render.Options) (*render.Result, error) {
		bed.mu.Lock()
		defer bed.mu.Unlock()
		options = append(options, o)
		return chartResult(), nil
	}
	var records []string
	bed.r.record = func(_ context.Context, dep *deputy, rel *render.Release, state, _ string) error {
		bed.mu.Lock()
		defer bed.mu.Unlock()
		records = append(records, rel.Name+" "+state+" "+dep.as.Name)
		return nil
	}
	forgotten := ""
	bed.r.forget = func(_ context.Context, _ *deputy, namespace, name string) error {
		bed.mu.Lock()
		defer bed.mu.Unlock()
		forgotten = namespace + "/" + name
		return nil
	}
	d := bed.settle(t, "True Succeeded")
	if d.Status.Release != "team/app" || strings.Join(records, ",") != "app deployed deployer" || !options[0].Install || options[0].Revision != 1 {
		t.Error(d.Status.Release, records, options)
	}
	if got := bed.cluster.objects["ConfigMap team/one"].GetLabels()["app.kubernetes.io/managed-by"]; got != "Helm" {
		t.Error(got)
	}
	if got := bed.cluster.objects["CustomResourceDefinition team/things.example.org"].GetAnnotations()["helm.sh/resource-policy"]; got != "keep" {
		t.Error(got)
	}
	bed.to(t, "1.1.0", "x")
	bed.settle(t, "True Succeeded: revision 2")
	if options[1].Install || options[1].Revision != 2 {
		t.Errorf("%+v", options[1])
	}
	if err := bed.GetClient().Delete(t.Context(), testDeployer()); err != nil {
		t.Fatal(err)
	}
	bed.gone(t)
	if forgotten != "team/app" {
		t.Error(forgotten)
	}
}

func TestValuesAreMergedInOrder(t *testing.T) {
	t.Parallel()
	d := testDeployer()
	d.Spec.ValuesFrom = []v1alpha1.ValuesReference{{Kind: "ConfigMap", Name: "base"}, {Kind: "Secret", Name: "secret", Key: "password", TargetPath: "db.password"}, {Kind: "Secret", Name: "nope", Optional: true}}
	d.Spec.Values = rawJSON(`{"own":1,"both":"own"}`)
	d.Spec.ValueExpressions = rawJSON(`{"digest":"images.web.digest","name":"component.name","version":"resource.version"}`)
	d.Spec.Localization = []v1alpha1.Localization{{Name: "web", Resource: v1alpha1.ResourceReference{Resource: v1alpha1.Identity{"name": "web"}},
		Values: []v1alpha1.LocalizedValue{{Path: "image", Part: v1alpha1.PartRepository}}}}
	cm := &corev1.ConfigMap{ObjectMeta: inNamespace("base"), Data: map[string]string{"values.yaml": "both: base\nimage: stale\ndb: {name: x}\n"}}
	s := &corev1.Secret{ObjectMeta: inNamespace("secret"), Data: map[string][]byte{"password": []byte("geheim")}}
	bed := newDeployerBed(t, shopResource(), shopComponent(), d, cm, s)
	bed.contents["web"] = ""
	var got map[string]any
	bed.r.render = func(_ context.Context, _ render.Source, o render.Options) (*render.Result, error) {
		bed.mu.Lock()
		defer bed.mu.Unlock()
		got = o.Values
		return chartResult(), nil
	}
	bed.r.record = func(context.Context, *deputy, *render.Release, string, string) error { return nil }
	status := bed.settle(t, "True Succeeded")
	want := "map[both:own db:map[name:x password:geheim] digest:sha256:" + strings.Repeat("a", 64) + " image:registry.example.org/acme/web name:acme.org/app own:1 version:1.0.0]"
	if fmt.Sprint(got) != want {
		t.Errorf("expected\n%s\nfound\n%v", want, got)
	}
	if len(status.Status.Images) != 1 || status.Status.Images[0].Image != "registry.example.org/acme/web@sha256:"+strings.Repeat("a", 64) {
		t.Error(status.Status.Images)
	}
	loads := bed.loads
	s.Data["password"] = []byte("anders")
	if err := bed.GetClient().Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	bed.settle(t, "True Succeeded: revision 2")
	if bed.loads != loads {
		t.Error("another configuration needs no other archive")
	}
}

func TestFailedHookIsNotRunAgain(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	n := 0
	bed.r.render = func(context.Context, render.Source, render.Options) (*render.Result, error) {
		bed.mu.Lock()
		defer bed.mu.Unlock()
		n++
		h := hookOf("job", "pre-install")
		h.Object.SetKind("Nope")
		return chartResult(h), nil
	}
	bed.r.record = func(context.Context, *deputy, *render.Release, string, string) error { return nil }
	d := bed.settle(t, "False ApplyFailed")
	if !strings.Contains(ready(d), "hook failed: Nope job") || d.Status.History[0].Outcome != v1alpha1.OutcomeFailed || bed.cluster.applied() != 0 {
		t.Errorf("%s %+v", ready(d), d.Status.History)
	}
	for range 10 {
		bed.settle(t, "False ApplyFailed")
	}
	if n != 1 {
		t.Errorf("it ran %d times", n)
	}
}

func TestHooksRunInOrder(t *testing.T) {
	t.Parallel()
	bed := newDeployerBed(t, standard()...)
	bed.r.render = func(context.Context, render.Source, render.Options) (*render.Result, error) {
		return chartResult(hookOf("before", "pre-install", "hook-succeeded"), hookOf("after", "post-install", "before-hook-creation"), hookOf("other", "pre-upgrade")), nil
	}
	bed.r.record = func(context.Context, *deputy, *render.Release, string, string) error { return nil }
	bed.settle(t, "True Succeeded")
	there := func(name string) bool {
		return bed.GetClient().Get(t.Context(), types.NamespacedName{Namespace: "team", Name: name}, &corev1.ConfigMap{}) == nil
	}
	if there("before") || !there("after") || there("other") {
		t.Error(there("before"), there("after"), there("other"))
	}
}
