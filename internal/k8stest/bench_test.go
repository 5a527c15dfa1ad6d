// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"ocm/internal/cluster"
	"ocm/internal/k8sbench/load"
)

// What the controllers may ask of the API server: for each object the finalizer and the status, and a few of all that are said while
// somebody waits; and nothing when there is nothing to do.
const (
	writesPerObject = 2
	further         = 0.5 // per object, and what starting takes
	starting        = 40
	quiet           = 10 * time.Second
)

// TestFewRequests is a small form of "make bench-k8s", which fails when somebody makes the controllers more talkative.
func TestFewRequests(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	bin := program(t, "ocm-controller")
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	plan := load.Plan{Components: 20, Resources: 10, Versions: 5}
	r, err := load.NewRegistry(ctx, plan)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	definitions := "../../deploy/install/chart/files/crds"
	for _, args := range [][]string{{"apply", "--server-side", "-f", definitions}, {"wait", "--for=condition=Established", "--timeout=80s", "-f", definitions}} {
		c.Kubectl(t, args...) // the folder is relative to the test's
	}
	client, err := load.Client(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	if err := load.Create(ctx, client, plan, r); err != nil {
		t.Fatal(err)
	}
	w, err := load.NewWatch(ctx, c.Config(), plan)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()

	address := cluster.FreeAddress(t)
	c.Program(t, bin, nil, "--kubeconfig="+c.AdminKubeconfig(), "--metrics-bind-address="+address, "--health-probe-bind-address=0")
	if err := w.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	metrics := "http://" + address + "/metrics"
	done, err := load.Calm(ctx, http.DefaultClient, metrics)
	if err != nil {
		t.Fatal(err)
	}
	objects := float64(plan.Objects())
	if n, most := done.Requests[http.MethodPatch], objects*(writesPerObject+further); n < objects*writesPerObject || n > most {
		t.Errorf("%.0f writes into %.0f objects, expected from %.0f to %.0f", n, objects, objects*writesPerObject, most)
	}
	if n, most := done.Total(), objects*(writesPerObject+further)+starting; n > most {
		t.Errorf("%v requests for %.0f objects, expected at most %.0f", done.Requests, objects, most)
	}
	if done.Hits < done.Misses {
		t.Errorf("the pool knew %.0f answers and had to find %.0f: what is asked twice is done twice", done.Hits, done.Misses)
	}

	select { // not until something happens, but while nothing must
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	case <-time.After(quiet):
	}
	now, err := load.Scrape(ctx, http.DefaultClient, metrics)
	if err != nil {
		t.Fatal(err)
	}
	if idle := now.Since(done); idle.Total() > 0 || idle.CPU > quiet/50 {
		t.Errorf("within %v, when all objects were ready: %v requests, %v of CPU time", quiet, idle.Requests, idle.CPU)
	}
	if out := c.Kubectl(t, "get", "resources.delivery.ocm.software", "--namespace="+load.Namespace, "c0000-r00", "-o", "jsonpath={.status.additional.oci.host}"); !strings.HasPrefix(out, "127.0.0.1:") {
		t.Errorf("status.additional was not computed: %q", out)
	}
}
