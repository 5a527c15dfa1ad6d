// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"ocm/deploy/v1alpha1"
)

// event is as much of an event of a watch as says whether an object is ready.
type event struct {
	Type   string `json:"type"`
	Object struct {
		Metadata struct {
			Name            string `json:"name"`
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Status struct {
			Conditions []struct{ Type, Status, Message string } `json:"conditions"`
		} `json:"status"`
		Message string `json:"message"` // of a failure
	} `json:"object"`
}

func (e *event) ready() (bool, string) {
	for _, c := range e.Object.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Status == "True", c.Message
		}
	}
	return false, "no condition"
}

// Watch sees objects become ready, as "kubectl wait" does, and more cheaply: it runs beside what is measured.
type Watch struct {
	want   int
	cancel context.CancelFunc
	done   chan struct{} // closed when all are ready
	ended  sync.WaitGroup

	mu     sync.Mutex
	states map[string]string // kind and name; empty: ready
	count  int               // of those that are ready
	err    error
}

// NewWatch begins to watch all objects. What is there counts as not ready, so it has to begin before somebody works on them.
func NewWatch(ctx context.Context, config *rest.Config, p Plan) (*Watch, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &Watch{want: p.Objects(), cancel: cancel, done: make(chan struct{}), states: map[string]string{}}
	for _, kind := range Kinds() {
		url := fmt.Sprintf("%s/apis/%s/v1alpha1/namespaces/%s/%s?", config.Host, v1alpha1.Group, Namespace, Plural(kind))
		if err := w.start(ctx, client, kind, url); err != nil {
			cancel()
			return nil, err
		}
	}
	return w, nil
}

// Plural is the name of a kind in paths.
func Plural(kind string) string {
	kind = strings.ToLower(kind)
	if stem, ok := strings.CutSuffix(kind, "y"); ok {
		return stem + "ies"
	}
	return kind + "s"
}

func (w *Watch) start(ctx context.Context, client *http.Client, kind, url string) error {
	var list struct {
		Metadata struct{ ResourceVersion string }
	}
	body, err := get(ctx, client, url+"limit=1")
	if err != nil {
		return err
	}
	err = json.NewDecoder(body).Decode(&list)
	body.Close()
	if err != nil {
		return err
	}
	at := list.Metadata.ResourceVersion
	if body, err = get(ctx, client, url+"watch=1&resourceVersion="+at); err != nil {
		return err
	}
	w.ended.Go(func() {
		for err == nil { // a server ends what it thinks is too slow; who watches comes back
			at, err = w.follow(kind, at, body)
			body.Close()
			if err == nil {
				err = pause(ctx)
			}
			if err == nil {
				body, err = get(ctx, client, url+"watch=1&resourceVersion="+at)
			}
		}
		w.fail(ctx, err)
	})
	return nil
}

// get asks a server. One that has just started wants to be asked again while it reads what is there.
func get(ctx context.Context, client *http.Client, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for {
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusOK {
			return resp.Body, nil
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusTooManyRequests {
			return nil, fmt.Errorf("%s: %s", req.URL.Path, resp.Status)
		}
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", req.URL.Path, resp.Status, err)
		}
	}
}

// pause is between two questions to somebody who had no answer.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(200 * time.Millisecond):
		return nil
	}
}

// follow reads until the server ends the watch, and returns where to go on.
func (w *Watch) follow(kind, at string, body io.Reader) (string, error) {
	lines := bufio.NewScanner(body) // an event is a line
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return at, nil //nolint:nilerr // cut off in the middle
		}
		if e.Type == "ERROR" {
			return at, fmt.Errorf("watch of %s: %s", kind, e.Object.Message)
		}
		at = e.Object.Metadata.ResourceVersion
		w.see(kind+" "+e.Object.Metadata.Name, &e)
	}
	return at, nil
}

func (w *Watch) see(name string, e *event) {
	is, why := e.ready()
	if is {
		why = ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	was, known := w.states[name]
	w.states[name] = why
	switch before := known && was == ""; {
	case is && !before:
		w.count++
	case !is && before:
		w.count--
	}
	if w.count == w.want {
		w.close()
	}
}

func (w *Watch) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	w.close()
}

func (w *Watch) close() {
	select {
	case <-w.done:
	default:
		close(w.done)
	}
}

// Wait waits until all objects are ready. The error tells who is not, when the context ends before.
func (w *Watch) Wait(ctx context.Context) error {
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.count == w.want {
		return w.err
	}
	for name, why := range w.states {
		if why != "" {
			return fmt.Errorf("%d of %d objects are ready; %s is not: %s: %w", w.count, w.want, name, why, context.Cause(ctx))
		}
	}
	return fmt.Errorf("%d of %d objects are ready, the others have no status: %w", w.count, w.want, context.Cause(ctx))
}

// Stop ends the watch.
func (w *Watch) Stop() {
	w.cancel()
	w.ended.Wait()
}
