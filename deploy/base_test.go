// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	"ocm"
	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// testbed is a base over a fake API server, which counts what it is asked.
type testbed struct {
	*base
	clock *testClock

	mu     sync.Mutex
	events []string       // "reason: note"
	counts map[string]int // "get Secret", "patch Component", "status Component", "list Component"
}

type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// testManager is as much of a manager as reconcilers need.
type testManager struct {
	ctrl.Manager
	client client.Client
	bed    *testbed
}

func (m *testManager) GetClient() client.Client                       { return m.client }
func (m *testManager) GetAPIReader() client.Reader                    { return m.client }
func (m *testManager) GetLogger() logr.Logger                         { return logr.Discard() }
func (m *testManager) GetEventRecorder(string) recorder.EventRecorder { return m }

func (m *testManager) Eventf(_, _ runtime.Object, severity, reason, _, note string, args ...any) {
	m.bed.mu.Lock()
	defer m.bed.mu.Unlock()
	m.bed.events = append(m.bed.events, severity+" "+reason+": "+fmt.Sprintf(note, args...))
}

func (m *testManager) AnnotatedEventf(_, _ runtime.Object, _ map[string]string, severity, reason, action, note string, args ...any) {
	m.Eventf(nil, nil, severity, reason, action, note, args...)
}

func newTestbed(t *testing.T, objs ...client.Object) *testbed {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	bed := &testbed{counts: map[string]int{}, clock: &testClock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objs...).WithInterceptorFuncs(bed.counting()).
		WithStatusSubresource(&v1alpha1.Repository{}, &v1alpha1.Component{}, &v1alpha1.Resource{}, &v1alpha1.Deployer{}, &v1alpha1.Replication{})
	for _, r := range references() {
		builder = builder.WithIndex(r.from(), r.field, func(o client.Object) []string { return []string{r.key(o).String()} })
	}
	bed.base = &base{Manager: &testManager{client: builder.Build(), bed: bed}, wakers: &wakers{},
		options: Options{Env: &ocm.Env{Now: bed.clock.time}}}
	bed.pool, bed.copies = bed.newPool(t), bed.newPool(t)
	return bed
}

func (bed *testbed) newPool(t *testing.T) *work.Pool {
	pool := work.New(work.Options{Wake: func(a work.Asker) { bed.wakers.wake(a.(asker)) }, Now: bed.clock.time})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = pool.Start(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return pool
}

func (bed *testbed) count(what string, obj runtime.Object) {
	bed.mu.Lock()
	defer bed.mu.Unlock()
	bed.counts[what+" "+fmt.Sprintf("%T", obj)[len("*v1alpha1."):]]++
}

func (bed *testbed) counting() interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, o ...client.GetOption) error {
			bed.count("get", obj)
			return c.Get(ctx, key, obj, o...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch, o ...client.PatchOption) error {
			bed.count("patch", obj)
			return c.Patch(ctx, obj, p, o...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, o ...client.SubResourcePatchOption) error {
			bed.count(sub, obj)
			return c.SubResource(sub).Patch(ctx, obj, p, o...)
		},
	}
}

// counted is how often something was asked of the API server since the last time.
func (bed *testbed) counted(what string) int {
	bed.mu.Lock()
	defer bed.mu.Unlock()
	n := bed.counts[what]
	bed.counts[what] = 0
	return n
}

// told returns the events since the last time.
func (bed *testbed) told() []string {
	bed.mu.Lock()
	defer bed.mu.Unlock()
	list := bed.events
	bed.events = nil
	return list
}

// read reads an object again.
func (bed *testbed) read(t *testing.T, obj object) {
	t.Helper()
	if err := bed.GetClient().Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
		t.Fatal(err)
	}
}

// ready returns the Ready condition as "True Reason: message".
func ready(obj object) string {
	c := meta.FindStatusCondition(obj.Common().Conditions, v1alpha1.ConditionReady)
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}

// eventually waits until ok.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen in time")
		}
	}
}

func inNamespace(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "team", Name: name, Generation: 1}
}

func rawJSON(s string) *apiextensionsv1.JSON { return &apiextensionsv1.JSON{Raw: []byte(s)} }

// beReady marks a test object as ready.
func beReady[T object](obj T) T {
	obj.Common().ObservedGeneration = obj.GetGeneration()
	set(obj, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, "done")
	return obj
}
