// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	"ocm"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
	"ocm/deploy/work"
)

// testbed is a base over a fake API server, which counts what it is asked.
type testbed struct {
	*base
	clock  *testClock
	canned *canned
	misses atomic.Int64 // questions that the pool had no answer to
	woken  chan asker

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
	if _, err := resolve.Read(nil); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("configurations cannot be read yet")
	}
	bed := &testbed{counts: map[string]int{}, canned: &canned{}, woken: make(chan asker, 100), clock: &testClock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objs...).WithInterceptorFuncs(bed.counting()).
		WithStatusSubresource(&v1alpha1.Repository{}, &v1alpha1.Component{}, &v1alpha1.Resource{}, &v1alpha1.Deployer{}, &v1alpha1.Replication{})
	for _, r := range references() {
		builder = builder.WithIndex(r.from(), r.field, func(o client.Object) []string { return []string{r.key(o).String()} })
	}
	bed.base = &base{Manager: &testManager{client: builder.Build(), bed: bed}, wakers: &wakers{},
		options: Options{Env: &ocm.Env{Now: bed.clock.time}}}
	bed.resolver = bed.canned
	bed.pool, bed.copies = bed.newPool(t), bed.newPool(t)
	return bed
}

func (bed *testbed) newPool(t *testing.T) *work.Pool {
	pool := work.New(work.Options{Wake: func(a work.Asker) { bed.woken <- a.(asker) }, Now: bed.clock.time, Observe: missing{bed}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = pool.Start(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return pool
}

// missing counts the questions that the pool has to find an answer to.
type missing struct{ bed *testbed }

func (m missing) Miss()                              { m.bed.misses.Add(1) }
func (missing) Hit()                                 {}
func (missing) Queued(int)                           {}
func (missing) Running(int)                          {}
func (missing) Done(work.Kind, time.Duration, error) {}

// drive reconciles the only object that asks the pool until it has all answers, and reads it again.
func (bed *testbed) drive(t *testing.T, r reconcile.Reconciler, obj object) ctrl.Result {
	t.Helper()
	for range 20 {
		before := bed.misses.Load()
		result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(obj)})
		if err != nil {
			t.Fatal(err)
		}
		if bed.misses.Load() == before {
			if err := bed.GetClient().Get(t.Context(), client.ObjectKeyFromObject(obj), obj); client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
			return result
		}
		select {
		case <-bed.woken:
		case <-time.After(20 * time.Second):
			t.Fatal("nobody was woken")
		}
	}
	t.Fatal("it asks for ever")
	return ctrl.Result{}
}

// canned are answers about component versions.
type canned struct {
	mu       sync.Mutex
	ping     error
	selected string
	refused  error                      // of Select
	versions map[string]*resolve.Answer // by version
	errs     map[string]error
	trap     func(context.Context, string) // for a component
	copied   func(context.Context, resolve.Copy) (*resolve.Copied, error)
	strict   bool // keys are read

	asked  []resolve.Question
	wishes []resolve.Wish
}

func (c *canned) Check(demands []resolve.Demand) error {
	if c.strict {
		return resolve.New(resolve.Options{}).Check(demands)
	}
	return nil
}

func (c *canned) Ping(context.Context, resolve.Place) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ping
}

func (c *canned) Select(ctx context.Context, _ resolve.Place, w resolve.Wish) (string, error) {
	if c.trap != nil {
		c.trap(ctx, w.Component)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wishes = append(c.wishes, w)
	return c.selected, c.refused
}

func (c *canned) Version(_ context.Context, _ resolve.Place, q resolve.Question) (*resolve.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, q)
	if err := c.errs[q.Version]; err != nil {
		return nil, err
	}
	if a := c.versions[q.Version]; a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("%s:%s: %w", q.Component, q.Version, ocm.ErrNotFound)
}

func (c *canned) Copy(ctx context.Context, copied resolve.Copy) (*resolve.Copied, error) {
	return c.copied(ctx, copied)
}

// answers makes a version known, with a digest; signed or not.
func (c *canned) answers(version, digest string, signers ...resolve.Signer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.versions == nil {
		c.versions = map[string]*resolve.Answer{}
	}
	c.versions[version] = &resolve.Answer{Component: "acme.org/app", Version: version, Verified: len(signers) > 0, Signers: signers,
		Digest: ocm.Digest{HashAlgorithm: ocm.SHA256, NormalisationAlgorithm: "jsonNormalisation/v4alpha1", Value: digest}, Time: time.Now()}
	c.selected, c.refused = version, nil
	delete(c.errs, version)
}

// refuses makes an error the answer for a version.
func (c *canned) refuses(version string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.errs == nil {
		c.errs = map[string]error{}
	}
	c.errs[version] = err
}

func (bed *testbed) count(what string, obj runtime.Object) {
	bed.mu.Lock()
	defer bed.mu.Unlock()
	_, kind, _ := strings.Cut(fmt.Sprintf("%T", obj), ".")
	bed.counts[what+" "+kind]++
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
