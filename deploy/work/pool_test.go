// SPDX-License-Identifier: Apache-2.0

package work

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ocm"
)

// clock is a time that tests move.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(0, c.at.Load()) }
func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }

// begin starts a pool whose wakes are in the channel.
func begin(t *testing.T, o Options) (*Pool, chan Asker) {
	t.Helper()
	woken := make(chan Asker, 10000)
	o.Wake = func(a Asker) { woken <- a }
	p := New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- p.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return p, woken
}

// counted is a task that tells how often it ran.
func counted(key any, runs *atomic.Int64) Task[int64] {
	return Task[int64]{Key: key, Run: func(context.Context) (int64, int64, error) { return runs.Add(1), 1, nil }}
}

// need asks until there is an answer.
func need[T any](t *testing.T, p *Pool, woken chan Asker, task Task[T], who Asker) (T, error) {
	t.Helper()
	for {
		v, err := Ask(p, task, who)
		if !errors.Is(err, ErrInProgress) {
			return v, err
		}
		wait(t, woken)
	}
}

func wait(t *testing.T, woken chan Asker) Asker {
	t.Helper()
	select {
	case a := <-woken:
		return a
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was woken")
		return nil
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); {
		if time.Now().After(end) {
			t.Fatal(what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestOneRunForAllWhoAsk(t *testing.T) {
	t.Parallel()
	p, woken := begin(t, Options{})
	var runs atomic.Int64
	gate := make(chan struct{})
	task := Task[int64]{Key: "k", Run: func(context.Context) (int64, int64, error) { <-gate; return runs.Add(1), 1, nil }}
	for i := range 100 {
		for range 3 { // who asks again is woken once all the same
			if _, err := Ask(p, task, i); !errors.Is(err, ErrInProgress) {
				t.Fatal(err)
			}
		}
	}
	close(gate)
	seen := map[Asker]int{}
	for range 100 {
		seen[wait(t, woken)]++
	}
	for i := range 100 {
		if seen[i] != 1 {
			t.Errorf("asker %d was woken %d times", i, seen[i])
		}
		if v, err := Ask(p, task, i); v != 1 || err != nil {
			t.Error(v, err)
		}
	}
	if len(woken) > 0 || runs.Load() != 1 {
		t.Errorf("%d woken again, %d runs", len(woken), runs.Load())
	}
}

func TestNothingBeginsBeforeStart(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	p := New(Options{})
	if _, err := Ask(p, counted("k", &runs), nil); !errors.Is(err, ErrInProgress) || runs.Load() != 0 {
		t.Fatal(err, runs.Load())
	}
}

func TestMaxAge(t *testing.T) {
	t.Parallel()
	c := &clock{}
	p, woken := begin(t, Options{Now: c.now})
	var runs atomic.Int64
	young := counted("k", &runs)
	young.MaxAge = time.Minute
	if v, err := need(t, p, woken, young, "a"); v != 1 || err != nil {
		t.Fatal(v, err)
	}
	c.pass(2 * time.Minute)
	if v, err := Ask(p, counted("k", &runs), "b"); v != 1 || err != nil {
		t.Error("an old answer is good enough for who does not mind:", v, err)
	}
	if _, err := Ask(p, young, "a"); !errors.Is(err, ErrInProgress) {
		t.Error(err)
	}
	wait(t, woken)
	c.pass(2 * time.Minute) // slow to come back
	if v, err := Ask(p, young, "a"); v != 2 || err != nil {
		t.Error("who was woken gets what it was woken for, however old:", v, err)
	}
	if _, err := Ask(p, young, "a"); !errors.Is(err, ErrInProgress) {
		t.Error("but once:", err)
	}
}

func TestErrorsAreAnswersForAWhile(t *testing.T) {
	t.Parallel()
	c := &clock{}
	p, woken := begin(t, Options{Now: c.now})
	var runs atomic.Int64
	task := Task[string]{Key: "k", ErrorAge: time.Second, Run: func(context.Context) (string, int64, error) {
		return "", 0, fmt.Errorf("failure %d", runs.Add(1))
	}}
	if _, err := need(t, p, woken, task, "a"); err == nil || err.Error() != "failure 1" {
		t.Fatal(err)
	}
	if _, err := Ask(p, task, "b"); err == nil || err.Error() != "failure 1" {
		t.Error(err)
	}
	c.pass(2 * time.Second)
	for _, who := range []string{"a", "b"} {
		if _, err := Ask(p, task, who); !errors.Is(err, ErrInProgress) {
			t.Error(err)
		}
	}
	wait(t, woken)
	wait(t, woken)
	c.pass(2 * time.Second)
	for _, who := range []string{"a", "b"} {
		if _, err := Ask(p, task, who); err == nil || err.Error() != "failure 2" {
			t.Error("each is given the error at least once:", err)
		}
	}
	if _, err := Ask(p, task, "a"); !errors.Is(err, ErrInProgress) {
		t.Error(err)
	}
}

func TestAnErrorDropsNoAnswerThatIsGoodEnough(t *testing.T) {
	t.Parallel()
	c := &clock{}
	p, woken := begin(t, Options{Now: c.now})
	var fail atomic.Bool
	task := Task[string]{Key: "k", Run: func(context.Context) (string, int64, error) {
		if fail.Load() {
			return "", 0, errors.New("away")
		}
		return "good", 1, nil
	}}
	if v, err := need(t, p, woken, task, "a"); v != "good" {
		t.Fatal(v, err)
	}
	c.pass(time.Minute)
	fail.Store(true)
	strict := task
	strict.MaxAge = time.Second
	if _, err := need(t, p, woken, strict, "strict"); err == nil || err.Error() != "away" {
		t.Error(err)
	}
	if v, err := Ask(p, task, "a"); v != "good" || err != nil {
		t.Error(v, err)
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	p, woken := begin(t, Options{})
	var runs atomic.Int64
	gate := make(chan struct{})
	task := Task[int64]{Key: "k", Run: func(context.Context) (int64, int64, error) { n := runs.Add(1); <-gate; return n, 1, nil }}
	p.Forget("k") // of which nothing is known
	if _, err := Ask(p, task, "before"); !errors.Is(err, ErrInProgress) {
		t.Fatal(err)
	}
	eventually(t, "it does not begin", func() bool { return runs.Load() == 1 })
	p.Forget("k")
	if _, err := Ask(p, task, "after"); !errors.Is(err, ErrInProgress) {
		t.Fatal(err)
	}
	gate <- struct{}{}
	if who := wait(t, woken); who != "before" {
		t.Fatal(who)
	}
	p.Forget("k") // takes nothing away from whom it is owed to
	if v, err := Ask(p, task, "before"); v != 1 || err != nil {
		t.Error(v, err)
	}
	gate <- struct{}{}
	if who := wait(t, woken); who != "after" {
		t.Fatal(who)
	}
	if v, err := Ask(p, task, "after"); v != 2 || err != nil {
		t.Error(v, err)
	}
}

func TestResultsAreKeptWithinBytes(t *testing.T) {
	t.Parallel()
	p, woken := begin(t, Options{Bytes: 10 * (1000 + overhead)})
	var runs atomic.Int64
	task := func(i int) Task[int] {
		return Task[int]{Key: i, Run: func(context.Context) (int, int64, error) { runs.Add(1); return i, 1000, nil }}
	}
	for i := range 20 {
		if v, err := need(t, p, woken, task(i), i); v != i || err != nil {
			t.Fatal(v, err)
		}
	}
	runs.Store(0)
	for i := 10; i < 20; i++ {
		if v, err := Ask(p, task(i), nil); v != i || err != nil {
			t.Error(v, err)
		}
	}
	if _, err := Ask(p, task(0), nil); !errors.Is(err, ErrInProgress) {
		t.Error("the oldest is gone:", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes > p.o.Bytes {
		t.Errorf("%d bytes are kept", p.bytes)
	}
}

func TestAResultThatIsTooLargeIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	p, woken := begin(t, Options{Bytes: 1000})
	big := Task[string]{Key: "big", Run: func(context.Context) (string, int64, error) { return "big", 1 << 20, nil }}
	if v, err := need(t, p, woken, big, "a"); v != "big" || err != nil {
		t.Fatal(v, err)
	}
	p.mu.Lock()
	kept := p.bytes
	p.mu.Unlock()
	if kept != 0 {
		t.Errorf("%d bytes are kept", kept)
	}
}

func TestWhatIsNotFetchedHoldsOthersBackForAWhileOnly(t *testing.T) {
	t.Parallel()
	c := &clock{}
	p, woken := begin(t, Options{Bytes: 1000, Now: c.now})
	big := Task[string]{Key: "big", Run: func(context.Context) (string, int64, error) { return "big", 1 << 20, nil }}
	if _, err := Ask(p, big, "gone"); !errors.Is(err, ErrInProgress) {
		t.Fatal(err)
	}
	wait(t, woken)
	var runs atomic.Int64
	if _, err := Ask(p, counted("small", &runs), "b"); !errors.Is(err, ErrInProgress) {
		t.Fatal(err)
	}
	p.mu.Lock()
	running := p.running
	p.mu.Unlock()
	if running != 0 || runs.Load() != 0 {
		t.Error("more is made than is kept")
	}
	c.pass(ClaimTime + 1)
	p.sweep()
	if v, err := need(t, p, woken, counted("small", &runs), "b"); v != 1 || err != nil {
		t.Error(v, err)
	}
}

func TestTTL(t *testing.T) {
	t.Parallel()
	c := &clock{}
	p, woken := begin(t, Options{Now: c.now, TTL: time.Minute})
	var runs atomic.Int64
	for range 5 { // asking keeps it
		if v, err := need(t, p, woken, counted("k", &runs), "a"); v != 1 || err != nil {
			t.Fatal(v, err)
		}
		c.pass(40 * time.Second)
		p.sweep()
	}
	c.pass(time.Minute)
	if _, err := Ask(p, counted("k", &runs), "a"); !errors.Is(err, ErrInProgress) {
		t.Error(err)
	}
	wait(t, woken)
	c.pass(2 * time.Minute)
	p.sweep()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.entries) != 0 || p.bytes != 0 || p.held != 0 || p.order.Len() != 0 || len(p.waiting.lanes) != 0 {
		t.Errorf("left: %d entries, %d bytes, %d held", len(p.entries), p.bytes, p.held)
	}
}

// hang is a task that ends with its context.
func hang(key, lane string, started *atomic.Int64) Task[int] {
	return Task[int]{Key: key, Lane: lane, Run: func(ctx context.Context) (int, int64, error) {
		started.Add(1)
		<-ctx.Done()
		return 0, 0, ctx.Err()
	}}
}

func TestALaneTakesNoMoreThanHalf(t *testing.T) {
	t.Parallel()
	for workers, want := range map[int]int64{1: 1, 2: 1, 3: 2, 7: 4, 10: 5} {
		p, woken := begin(t, Options{Workers: workers, Queue: 50})
		var started, beside atomic.Int64
		for i := range 50 {
			if _, err := Ask(p, hang(fmt.Sprint(i), "hangs", &started), i); !errors.Is(err, ErrInProgress) {
				t.Fatal(err)
			}
		}
		eventually(t, "the lane does not work", func() bool { return started.Load() == want })
		if workers == 1 {
			continue
		}
		for i := range 20 { // others are served, whatever waits
			task := counted(-i, &beside)
			task.Lane = "good"
			if _, err := need(t, p, woken, task, "b"); err != nil {
				t.Fatal(err)
			}
		}
		if got := started.Load(); got != want {
			t.Errorf("of %d workers a lane takes %d, expected %d", workers, got, want)
		}
	}
}

// Several registries that do not answer leave workers for others: one bad object does not stall all.
func TestCVE_2022_39272_LanesThatHangStallNoOthers(t *testing.T) {
	t.Parallel()
	p, woken := begin(t, Options{})
	var started, runs atomic.Int64
	for _, lane := range []string{"a", "b", "c"} {
		for i := range 20 {
			if _, err := Ask(p, hang(fmt.Sprint(lane, i), lane, &started), nil); !errors.Is(err, ErrInProgress) {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "they do not work", func() bool { return started.Load() >= 8 })
	if v, err := need(t, p, woken, counted("good", &runs), "me"); v != 1 || err != nil {
		t.Error(v, err)
	}
}

// tenant is somebody in a namespace.
type tenant struct{ namespace, name string }

func (t tenant) Tenant() string { return t.namespace }

// A tenant who has many registries, none of which answers, leaves workers for others.
func TestCVE_2022_39272_ATenantTakesNoMoreThanHalf(t *testing.T) {
	t.Parallel()
	p, woken := begin(t, Options{})
	var started, runs atomic.Int64
	for i := range 50 {
		lane := fmt.Sprintf("registry%d", i)
		if _, err := Ask(p, hang(lane, lane, &started), tenant{"evil", lane}); !errors.Is(err, ErrInProgress) {
			t.Fatal(err)
		}
	}
	eventually(t, "they do not work", func() bool { return started.Load() == 5 })
	if v, err := need(t, p, woken, counted("good", &runs), tenant{"good", "me"}); v != 1 || err != nil {
		t.Error(v, err)
	}
	if started.Load() != 5 {
		t.Error(started.Load())
	}
	shared := counted("shared", &runs) // the tenant asks first for what others need
	if _, err := Ask(p, shared, tenant{"evil", "shared"}); !errors.Is(err, ErrInProgress) {
		t.Fatal(err)
	}
	if v, err := need(t, p, woken, shared, tenant{"good", "me"}); v != 2 || err != nil {
		t.Error(v, err)
	}
}

func TestLanesTakeTurns(t *testing.T) {
	t.Parallel()
	q := queue{lanes: map[laneKey]*lane{}, running: map[laneKey]int{}}
	for i := range 3 {
		for _, l := range []string{"a", "b", "c"} {
			if i == 0 || l != "b" {
				q.add(&run{at: laneKey{lane: l, tenant: "t"}})
			}
		}
	}
	var order strings.Builder
	for r := q.next(100); r != nil; r = q.next(100) {
		order.WriteString(r.at.lane)
		q.done(r.at)
	}
	if order.String() != "abcacac" || q.n != 0 || len(q.lanes)+len(q.running) != 0 {
		t.Errorf("%s, %d left in %d lanes", order.String(), q.n, len(q.lanes))
	}
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	p := New(Options{Queue: 3})
	var runs atomic.Int64
	ask := func(key, lane string) error {
		task := counted(key, &runs)
		task.Lane = lane
		_, err := Ask(p, task, "me")
		return err
	}
	for i := range 3 {
		if err := ask(fmt.Sprint("a", i), "a"); !errors.Is(err, ErrInProgress) {
			t.Fatal(err)
		}
	}
	if err := ask("a3", "a"); !errors.Is(err, ocm.ErrLimit) {
		t.Error(err)
	}
	if err := ask("a0", "a"); !errors.Is(err, ErrInProgress) {
		t.Error("who waits already may ask again:", err)
	}
	for i := range 3 {
		if err := ask(fmt.Sprint("b", i), fmt.Sprint("b", i)); !errors.Is(err, ErrInProgress) {
			t.Error("a lane that is full leaves room for others:", err)
		}
	}
	if err := ask("c", "c"); !errors.Is(err, ocm.ErrLimit) {
		t.Error(err)
	}
	if len(p.entries) != 6 {
		t.Errorf("%d entries", len(p.entries))
	}
}

func TestPanicsAreErrors(t *testing.T) {
	t.Parallel()
	p, woken := begin(t, Options{Workers: 1})
	for i, fn := range []func(){func() { panic("boom") }, func() { var p *int; *p++ }} {
		_, err := need(t, p, woken, Task[int]{Key: i, Run: func(context.Context) (int, int64, error) { fn(); return 1, 1, nil }}, "a")
		if err == nil || !strings.Contains(err.Error(), "panic: ") {
			t.Error(err)
		}
	}
	var runs atomic.Int64
	if v, err := need(t, p, woken, counted("k", &runs), "a"); v != 1 || err != nil {
		t.Error("the worker is gone:", v, err)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	p, woken := begin(t, Options{Workers: 4})
	var started, deafStarted atomic.Int64
	task := hang("k", "", &started)
	task.Timeout = time.Millisecond
	if _, err := need(t, p, woken, task, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	// A task that ignores its context answers all the same, and is not begun twice.
	gate := make(chan struct{})
	defer close(gate)
	deaf := Task[int]{Key: "deaf", Timeout: time.Millisecond, ErrorAge: 1, Run: func(context.Context) (int, int64, error) { deafStarted.Add(1); <-gate; return 1, 1, nil }}
	for range 3 {
		if _, err := need(t, p, woken, deaf, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	if n := deafStarted.Load(); n > 1 { // none, if it was late before it was begun
		t.Errorf("begun %d times", n)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	woken := make(chan Asker, 10)
	p := New(Options{Wake: func(a Asker) { woken <- a }})
	ctx, cancel := context.WithCancel(context.Background())
	var started atomic.Int64
	if _, err := Ask(p, hang("k", "", &started), "a"); !errors.Is(err, ErrInProgress) {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- p.Start(ctx) }()
	eventually(t, "it does not begin", func() bool { return started.Load() == 1 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != 0 || len(p.entries) != 0 || len(woken) != 0 {
		t.Errorf("%d run, %d entries, %d woken", p.running, len(p.entries), len(woken))
	}
}

func TestAnswerOfAnotherType(t *testing.T) {
	t.Parallel()
	p, woken := begin(t, Options{})
	var runs atomic.Int64
	if _, err := need(t, p, woken, counted("k", &runs), "a"); err != nil {
		t.Fatal(err)
	}
	if v, err := Ask(p, Task[string]{Key: "k"}, "a"); v != "" || !errors.Is(err, ocm.ErrInvalid) {
		t.Error(v, err)
	}
}

// observed sums up what an observer is told.
type observed struct{ hits, misses, done, most atomic.Int64 }

func (o *observed) Hit()       { o.hits.Add(1) }
func (o *observed) Miss()      { o.misses.Add(1) }
func (o *observed) Queued(int) {}
func (o *observed) Running(n int) {
	for old := o.most.Load(); int64(n) > old && !o.most.CompareAndSwap(old, int64(n)); old = o.most.Load() {
	}
}
func (o *observed) Done(Kind, time.Duration, error) { o.done.Add(1) }

// TestManyAskers is the property: whatever happens, each asker that does what it is told gets an answer to everything that it asks, by being
// woken only, at most as often as it has waited; no task runs twice at a time; bytes and workers stay bounded.
func TestManyAskers(t *testing.T) {
	t.Parallel()
	const askers, keys, rounds, workers = 40, 25, 30, 6
	doors := make([]chan struct{}, askers)
	for i := range doors {
		doors[i] = make(chan struct{}, 1000)
	}
	seen := &observed{}
	p := New(Options{Workers: workers, Bytes: 8 << 10, Queue: 10 * keys, Observe: seen, Wake: func(a Asker) { doors[a.(int)] <- struct{}{} }})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- p.Start(ctx) }()
	var atWork [keys]atomic.Int64
	var runs atomic.Int64
	task := func(k int, maxAge time.Duration) Task[int] {
		return Task[int]{Key: k, Lane: fmt.Sprint(k % 4), MaxAge: maxAge, ErrorAge: time.Microsecond, Run: func(ctx context.Context) (int, int64, error) {
			if atWork[k].Add(1) != 1 {
				t.Errorf("key %d runs twice at a time", k)
			}
			defer atWork[k].Add(-1)
			switch n := runs.Add(1) + int64(k); {
			case n%7 == 0:
				return 0, 0, errors.New("unlucky")
			case n%11 == 0:
				panic("very unlucky")
			}
			return k, int64(200 + 50*k), nil
		}}
	}
	var wg sync.WaitGroup
	for who := range askers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(who)))
			for range rounds {
				k := r.IntN(keys)
				if r.IntN(5) == 0 {
					p.Forget(k)
				}
				age := time.Duration(r.IntN(3)) * time.Microsecond
				v, err := Ask(p, task(k, age), who)
				for errors.Is(err, ErrInProgress) {
					select {
					case <-doors[who]:
					case <-time.After(30 * time.Second):
						t.Errorf("asker %d was not woken for key %d", who, k)
						return
					}
					if v, err = Ask(p, task(k, age), who); errors.Is(err, ErrInProgress) {
						t.Errorf("asker %d was woken for nothing", who)
					}
				}
				if err == nil && v != k {
					t.Errorf("key %d has the answer %d", k, v)
				}
				if len(doors[who]) != 0 {
					t.Errorf("asker %d is woken more often than it waits", who)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if seen.most.Load() > workers || seen.misses.Load() == 0 || seen.hits.Load() == 0 {
		t.Errorf("%d at a time, %d hits, %d misses", seen.most.Load(), seen.hits.Load(), seen.misses.Load())
	}
	if p.bytes > p.o.Bytes || p.held != 0 {
		t.Errorf("%d bytes, %d held", p.bytes, p.held)
	}
}
