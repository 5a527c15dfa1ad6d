// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

func testReplication() *v1alpha1.Replication {
	return &v1alpha1.Replication{ObjectMeta: inNamespace("copy"), Spec: v1alpha1.ReplicationSpec{
		ComponentRef: corev1.LocalObjectReference{Name: "app"}, TargetRepositoryRef: corev1.LocalObjectReference{Name: "target"}}}
}

func testTarget() *v1alpha1.Repository {
	r := testRepository()
	r.Name = "target"
	r.Spec.RepositorySpec = rawJSON(`{"baseUrl":"http://target:5000","type":"OCIRegistry"}`)
	return r
}

// readyComponent is a Component with a version that may be copied.
func readyComponent(version, digest string) *v1alpha1.Component {
	c := beReady(testComponent(signed()))
	c.Status.Component = &v1alpha1.ComponentInfo{RepositorySpec: rawJSON(`{"baseUrl":"http://registry:5000","type":"OCIRegistry"}`), Component: "acme.org/app",
		Version: version, Digest: &v1alpha1.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: "jsonNormalisation/v4alpha1", Value: digest}}
	c.Status.Verification = &v1alpha1.VerificationStatus{Verdict: v1alpha1.Verified}
	return c
}

// transferring is a Replication with all that it needs; copies are made by fn.
func transferring(t *testing.T, fn func(context.Context, resolve.Copy) (*resolve.Copied, error)) (*testbed, *replications, *v1alpha1.Replication) {
	t.Helper()
	obj := testReplication()
	bed := newTestbed(t, obj, readyComponent("1.0.0", "aa"), beReady(testTarget()), testSecret("keys", "default", "a key"))
	if _, _, _, err := (&resolve.Config{}).Transfer(); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("settings of transfers cannot be read yet")
	}
	bed.canned.copied = fn
	return bed, &replications{base: bed.base}, obj
}

func inProgress(obj *v1alpha1.Replication) string {
	c := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionTransferInProgress)
	if c == nil {
		return ""
	}
	return fmt.Sprint(c.Status, " ", c.Reason)
}

func TestReplicationCopies(t *testing.T) {
	t.Parallel()
	var copies []resolve.Copy
	bed, r, obj := transferring(t, func(_ context.Context, c resolve.Copy) (*resolve.Copied, error) {
		copies = append(copies, c)
		return &resolve.Copied{Version: c.Question.Version, Versions: 3, Moved: 10, Found: 5}, nil
	})
	bed.drive(t, r, obj)
	s := obj.Status
	if s.LastTransferredVersion != "1.0.0" || s.LastTransferredDigest != "aa" || s.Component.Version != "1.0.0" || s.Progress.VersionsDone != 3 || s.Progress.BytesDone != 15 {
		t.Errorf("%+v", s)
	}
	if got := ready(obj); got != "True Succeeded: acme.org/app:1.0.0 is at the target" || inProgress(obj) != "False TransferComplete" || judged(t, obj) != status.CurrentStatus {
		t.Errorf("it says %q", got)
	}
	c := copies[0]
	if c.Question.Digest.Value != "aa" || len(c.Question.Demands) != 1 || c.Source.Repository.Type != "OCIRegistry" || !strings.Contains(string(c.Target.Repository.Raw), "target:5000") {
		t.Errorf("copied %+v", c)
	}
	// Nothing is copied again, and nothing written, before something changes.
	bed.counted("status Replication")
	bed.clock.pass(time.Hour)
	if bed.drive(t, r, obj); len(copies) != 1 || bed.counted("status Replication") != 0 {
		t.Error("it was copied again")
	}
	from := readyComponent("1.0.0", "aa")
	bed.read(t, from)
	from.Status.Component.Version, from.Status.Component.Digest.Value = "1.1.0", "bb"
	if err := bed.GetClient().Status().Update(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	bed.drive(t, r, obj)
	to := testTarget()
	bed.read(t, to)
	to.Spec.RepositorySpec = rawJSON(`{"baseUrl":"http://elsewhere:5000","type":"OCIRegistry"}`)
	if err := bed.GetClient().Update(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	bed.clock.pass(time.Hour)
	bed.drive(t, r, obj)
	if len(copies) != 3 || obj.Status.LastTransferredVersion != "1.1.0" || !strings.Contains(obj.Status.LastTarget, "elsewhere") {
		t.Errorf("%d copies, %+v", len(copies), obj.Status)
	}
}

func TestReplicationTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	begun, end := make(chan func(ocm.Event)), make(chan struct{})
	bed, r, obj := transferring(t, func(_ context.Context, c resolve.Copy) (*resolve.Copied, error) {
		begun <- c.Report
		<-end
		return &resolve.Copied{Version: "1.0.0"}, nil
	})
	look := func() ctrl.Result {
		t.Helper()
		result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(obj)})
		if err != nil {
			t.Fatal(err)
		}
		bed.read(t, obj)
		return result
	}
	if d := look().RequeueAfter; d != progressEvery || !strings.HasPrefix(ready(obj), "False TransferInProgress: ") || inProgress(obj) != "True TransferInProgress" {
		t.Errorf("looked at again after %v, %q", d, ready(obj))
	}
	report := <-begun
	for _, e := range []ocm.Event{{Total: 100}, {Item: "a", Bytes: 10, Total: 60}, {Item: "b", Bytes: 5, Total: 40}, {Item: "b", Bytes: 40, Total: 40, Done: true}} {
		report(e)
	}
	look()
	if p := obj.Status.Progress; p == nil || p.Bytes != 100 || p.BytesDone != 50 || p.StartTime == nil || p.UpdateTime == nil {
		t.Errorf("%+v", p)
	}
	bed.counted("status Replication")
	bed.clock.pass(progressEvery)
	if look(); bed.counted("status Replication") != 0 {
		t.Error("no progress was written")
	}
	close(end)
	<-bed.woken
	bed.drive(t, r, obj)
	if !strings.HasPrefix(ready(obj), "True") || len(r.transfers.running) != 0 {
		t.Errorf("it says %q, %d transfers are remembered", ready(obj), len(r.transfers.running))
	}
	if events := bed.told(); len(events) != 2 || !strings.HasPrefix(events[0], "Normal TransferInProgress") {
		t.Errorf("events %q", events)
	}
}

func TestReplicationFails(t *testing.T) {
	t.Parallel()
	var err error
	bed, r, obj := transferring(t, func(context.Context, resolve.Copy) (*resolve.Copied, error) { return nil, err })
	err = errors.Join(errors.New("acme.org/app:1.0.0: resource image: target: no space"), errors.New("gone"))
	for range 3 {
		bed.drive(t, r, obj)
		bed.clock.pass(time.Minute)
	}
	if got := ready(obj); !strings.HasPrefix(got, "False ReplicationFailed: ") || inProgress(obj) != "False ReplicationFailed" || judged(t, obj) != status.InProgressStatus {
		t.Errorf("it says %q", got)
	}
	list := obj.Status.LastFailedTransferEvents
	if len(list) != 2 || list[0].ID != "acme.org/app:1.0.0" || list[0].Name != "resource image" || list[0].Error != "target: no space" || list[1].Error != "gone" {
		t.Errorf("%+v", list)
	}
	if n := len(bed.told()); n != 2 {
		t.Errorf("%d events of three failures", n)
	}
	err = fmt.Errorf("acme.org/app: %w", ocm.ErrSignature)
	bed.drive(t, r, obj)
	if got := ready(obj); !strings.HasPrefix(got, "False VerificationFailed: ") || judged(t, obj) != status.FailedStatus {
		t.Errorf("it says %q", got)
	}
	r.resolver.(*canned).copied = func(context.Context, resolve.Copy) (*resolve.Copied, error) {
		return &resolve.Copied{Version: "1.0.0"}, nil
	}
	bed.clock.pass(time.Minute)
	bed.drive(t, r, obj)
	if got := ready(obj); !strings.HasPrefix(got, "True") || len(obj.Status.LastFailedTransferEvents) != 0 {
		t.Errorf("it says %q, %v", got, obj.Status.LastFailedTransferEvents)
	}
}

func TestReplicationsThatCannotBe(t *testing.T) {
	t.Parallel()
	refused := readyComponent("1.0.0", "aa")
	refused.Status.Verification.Verdict = v1alpha1.Refused
	for name, c := range map[string]struct {
		objects []client.Object
		want    string
	}{
		"no Component":          {[]client.Object{beReady(testTarget())}, "ResourceIsNotAvailable: spec.componentRef.name: Component team/app: not found"},
		"Component not ready":   {[]client.Object{beReady(testTarget()), testComponent()}, "ResourceIsNotAvailable: spec.componentRef.name: Component team/app is not ready"},
		"refused":               {[]client.Object{beReady(testTarget()), refused}, "ResourceIsNotAvailable: spec.componentRef.name: Component team/app has no version that may be used"},
		"no version":            {[]client.Object{beReady(testTarget()), beReady(testComponent())}, "ResourceIsNotAvailable: spec.componentRef.name: Component team/app has no version that may be used"},
		"no target":             {[]client.Object{readyComponent("1.0.0", "aa")}, "ResourceIsNotAvailable: spec.targetRepositoryRef.name: Repository team/target: not found"},
		"target not ready":      {[]client.Object{testTarget(), readyComponent("1.0.0", "aa")}, "ResourceIsNotAvailable: spec.targetRepositoryRef.name: Repository team/target is not ready"},
		"no key for the demand": {[]client.Object{beReady(testTarget()), readyComponent("1.0.0", "aa")}, "ResourceIsNotAvailable: spec.componentRef.name: Component team/app: spec.verify[0].secretRef: Secret team/keys: not found"},
	} {
		obj := testReplication()
		bed := newTestbed(t, append(c.objects, obj)...)
		bed.drive(t, &replications{base: bed.base}, obj)
		if got := ready(obj); !strings.HasPrefix(got, "False "+c.want) || obj.Status.LastTransferredVersion != "" {
			t.Errorf("%s: it says %q", name, got)
		}
	}
}

func TestWhatMovesIsBounded(t *testing.T) {
	t.Parallel()
	var all transfers
	count := all.begin(question{}, time.Now())
	for i := range 3 * maxItems {
		count(ocm.Event{Item: fmt.Sprint(i), Bytes: 1, Total: -1})
	}
	if n := len(all.running[question{}].items); n > maxItems {
		t.Errorf("%d items are counted", n)
	}
	list := make([]error, 3*maxFailed)
	for i := range list {
		list[i] = errors.New(strings.Repeat("x", 5000))
	}
	events := failedEvents(&v1alpha1.ComponentInfo{}, errors.Join(list...))
	if len(events) != maxFailed || len(events[0].Error) > MaxNote {
		t.Errorf("%d events", len(events))
	}
}
