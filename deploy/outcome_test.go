// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// steps settles a Repository with steps that only have this outcome.
func (bed *testbed) steps(t *testing.T, obj object, after time.Duration, outcome error) ctrl.Result {
	t.Helper()
	bed.read(t, obj)
	result, err := bed.settle(t.Context(), obj, func(context.Context) (time.Duration, error) { return after, outcome })
	if err != nil {
		t.Fatal(err)
	}
	bed.read(t, obj)
	return result
}

// judged is what kstatus makes of an object.
func judged(t *testing.T, obj object) status.Status {
	t.Helper()
	u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	u["apiVersion"], u["kind"] = v1alpha1.GroupVersion().String(), kindOf(obj)
	result, err := status.Compute(&unstructured.Unstructured{Object: u})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

func TestOutcomesAsKstatusJudgesThem(t *testing.T) {
	t.Parallel()
	cause := errors.New("the cause")
	for name, c := range map[string]struct {
		after   time.Duration
		outcome error
		status  status.Status
		ready   string
		again   time.Duration // 0: not looked at again by time
	}{
		"done":            {time.Minute, nil, status.CurrentStatus, "True Succeeded: the repository answers", time.Minute},
		"done for good":   {0, nil, status.CurrentStatus, "True Succeeded: the repository answers", 0},
		"failed":          {0, failed("X", cause), status.InProgressStatus, "False X: the cause", time.Second},
		"wrapped":         {0, fmt.Errorf("where: %w", failed("X", cause)), status.InProgressStatus, "False X: the cause", time.Second},
		"anything":        {0, cause, status.InProgressStatus, "False ProgressingWithRetry: the cause", time.Second},
		"stalled":         {0, stalled("X", cause), status.FailedStatus, "False X: the cause", 0},
		"stalled for now": {0, stalledFor("X", time.Hour, cause), status.FailedStatus, "False X: the cause", time.Hour},
		"waiting":         {0, waiting("X", time.Hour, cause), status.InProgressStatus, "False X: the cause", time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := &v1alpha1.Repository{ObjectMeta: inNamespace("r")}
			bed := newTestbed(t, obj)
			result := bed.steps(t, obj, c.after, c.outcome)
			if got := judged(t, obj); got != c.status {
				t.Errorf("kstatus says %s, not %s", got, c.status)
			}
			if got := ready(obj); got != c.ready {
				t.Errorf("Ready is %q, not %q", got, c.ready)
			}
			if d := result.RequeueAfter; d < c.again*9/10 || d > c.again*11/10 {
				t.Errorf("looked at again after %v, not %v", d, c.again)
			}
			for _, typ := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
				if c := meta.FindStatusCondition(obj.Status.Conditions, typ); c != nil && (c.Status != "True" || c.Message == "") {
					t.Errorf("%s is %v", typ, c)
				}
			}
		})
	}
}

func TestOutcomesFollowEachOther(t *testing.T) {
	t.Parallel()
	obj := &v1alpha1.Repository{ObjectMeta: inNamespace("r")}
	bed := newTestbed(t, obj)
	for i, c := range []struct {
		outcome error
		status  status.Status
		events  int
	}{
		{failed("X", errors.New("a")), status.InProgressStatus, 1},
		{failed("X", errors.New("other words")), status.InProgressStatus, 0},
		{stalled("X", errors.New("a")), status.FailedStatus, 0},
		{stalled("Y", errors.New("a")), status.FailedStatus, 1},
		{nil, status.CurrentStatus, 1},
		{nil, status.CurrentStatus, 0},
		{waiting("Z", 0, errors.New("a")), status.InProgressStatus, 1},
	} {
		bed.steps(t, obj, 0, c.outcome)
		if got := judged(t, obj); got != c.status {
			t.Errorf("%d: kstatus says %s, not %s", i, got, c.status)
		}
		if events := bed.told(); len(events) != c.events {
			t.Errorf("%d: events %q, not %d", i, events, c.events)
		}
	}
}

func TestNothingIsWrittenWithoutAChange(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]error{
		"done":          nil,
		"failed":        failed("X", errors.New("line\nline")),
		"not valid":     failed("X", errors.New("\xff\xfe bytes")),
		"much too long": stalled("X", errors.New(strings.Repeat("é", 1<<20))),
	} {
		obj := &v1alpha1.Repository{ObjectMeta: inNamespace("r")}
		bed := newTestbed(t, obj)
		for range 5 {
			bed.steps(t, obj, time.Minute, outcome)
		}
		if n := bed.counted("status Repository"); n != 1 {
			t.Errorf("%s: the status was written %d times", name, n)
		}
		want := 1
		if outcome == nil { // that it is ready for the first time is in its columns
			want = 0
		}
		if n := len(bed.told()); n != want {
			t.Errorf("%s: %d events", name, n)
		}
	}
}

func TestFailuresAreTriedWithGrowingPauses(t *testing.T) {
	t.Parallel()
	obj := &v1alpha1.Repository{ObjectMeta: inNamespace("r")}
	bed := newTestbed(t, obj)
	var last time.Duration
	for range 20 {
		d := bed.steps(t, obj, 0, failed("X", errors.New("a"))).RequeueAfter
		if d < last*8/10 || d > longestPause*11/10 {
			t.Fatalf("after %v comes %v", last, d)
		}
		last = d
	}
	if last < longestPause*9/10 {
		t.Errorf("the pauses end at %v", last)
	}
	bed.steps(t, obj, 0, nil)
	if d := bed.steps(t, obj, 0, failed("X", errors.New("a"))).RequeueAfter; d > 2*firstPause {
		t.Errorf("after a success it begins with %v", d)
	}
	if len(bed.attempts.all) != 1 {
		t.Errorf("%d objects are remembered", len(bed.attempts.all))
	}
}

func TestAnswersThatAreLookedForAreNoNews(t *testing.T) {
	t.Parallel()
	inProgress := asked(work.ErrInProgress, nil)
	obj := &v1alpha1.Repository{ObjectMeta: inNamespace("r")}
	bed := newTestbed(t, obj)
	if d := bed.steps(t, obj, 0, inProgress).RequeueAfter; d != patience || ready(obj) != "" {
		t.Errorf("at first it says %q, and is looked at after %v", ready(obj), d)
	}
	bed.clock.pass(patience)
	bed.steps(t, obj, 0, inProgress)
	if got := ready(obj); !strings.HasPrefix(got, "False ResolutionInProgress") || judged(t, obj) != status.InProgressStatus {
		t.Errorf("after a while it says %q", got)
	}
	for _, known := range []error{nil, failed("X", errors.New("a")), stalled("Y", errors.New("b"))} {
		bed.steps(t, obj, 0, known)
		before := ready(obj)
		bed.counted("status Repository")
		bed.clock.pass(time.Hour)
		if bed.steps(t, obj, 0, inProgress); ready(obj) != before || bed.counted("status Repository") != 0 {
			t.Errorf("%q became %q while there is no other answer", before, ready(obj))
		}
	}
	if n := bed.told(); slices.ContainsFunc(n, func(e string) bool { return strings.Contains(e, "ResolutionInProgress") }) {
		t.Errorf("events %q", n)
	}
}

func TestAConflictIsTriedAgainWithoutAWord(t *testing.T) {
	t.Parallel()
	obj := &v1alpha1.Repository{ObjectMeta: inNamespace("r")}
	bed := newTestbed(t, obj)
	bed.read(t, obj)
	other := obj.DeepCopy()
	other.Labels = map[string]string{"a": "b"}
	if err := bed.GetClient().Update(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	result, err := bed.settle(t.Context(), obj, func(context.Context) (time.Duration, error) { return 0, nil })
	if err != nil || result.RequeueAfter != soon || len(bed.told()) != 0 {
		t.Errorf("%v, %v", result, err)
	}
	// The conflict of another object is a failure like any other.
	foreign := apierrors.NewConflict(v1alpha1.GroupVersion().WithResource("components").GroupResource(), "other", errors.New("x"))
	bed.steps(t, obj, 0, foreign)
	if got := ready(obj); !strings.HasPrefix(got, "False") {
		t.Errorf("a conflict elsewhere is %q", got)
	}
}

// A status that could not be written is no failure of the object: the next one is its first.
func TestAStatusThatIsNotWrittenIsNoAttempt(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{
		"conflict":               apierrors.NewConflict(v1alpha1.GroupVersion().WithResource("repositories").GroupResource(), "r", errors.New("x")),
		"the API server is away": errors.New("connection refused"),
	} {
		obj := &v1alpha1.Repository{ObjectMeta: inNamespace("r")}
		bed := newTestbed(t, obj)
		manager := bed.Manager.(*testManager)
		answers := manager.client.(client.WithWatch)
		manager.client = interceptor.NewClient(answers, interceptor.Funcs{
			SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
				return refusal
			},
		})
		for range 3 {
			bed.read(t, obj)
			result, err := bed.settle(t.Context(), obj, func(context.Context) (time.Duration, error) { return 0, failed("X", errors.New("a")) })
			if (result.RequeueAfter == soon) == (err != nil) {
				t.Errorf("%s: it is done again after %v, %v", name, result.RequeueAfter, err)
			}
		}
		manager.client = answers
		if d := bed.steps(t, obj, 0, failed("X", errors.New("a"))).RequeueAfter; d < firstPause*9/10 || d > firstPause*11/10 {
			t.Errorf("%s: after the first failure that was told it is looked at after %v, not %v", name, d, firstPause)
		}
	}
}

func TestASuspendedObjectIsLeftAlone(t *testing.T) {
	t.Parallel()
	obj := &v1alpha1.Repository{ObjectMeta: inNamespace("r"), Spec: v1alpha1.RepositorySpec{Suspend: true}}
	bed := newTestbed(t, obj)
	_, err := bed.settle(t.Context(), obj, func(context.Context) (time.Duration, error) { t.Error("a step was made"); return 0, nil })
	if err != nil || bed.counted("status Repository") != 0 {
		t.Error(err)
	}
}

func TestTheEndOfTheControllerIsNoFailure(t *testing.T) {
	t.Parallel()
	obj := &v1alpha1.Repository{ObjectMeta: inNamespace("r")}
	bed := newTestbed(t, obj)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := bed.settle(ctx, obj, func(context.Context) (time.Duration, error) { cancel(); return 0, failed("X", ctx.Err()) })
	if bed.read(t, obj); err == nil || ready(obj) != "" {
		t.Errorf("%v, %q", err, ready(obj))
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "short", strings.Repeat("é", 5000), strings.Repeat("a", 4095) + "é", strings.Repeat("€", 4096), strings.Repeat("\xff", 9000), "a\nb"} {
		got := clip(s, MaxMessage)
		if len(got) > MaxMessage || !utf8.ValidString(got) || strings.Contains(got, "\n") || clip(got, MaxMessage) != got {
			t.Errorf("%.20q… became %.20q… of %d bytes", s, got, len(got))
		}
	}
}
