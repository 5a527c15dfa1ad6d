// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"ocm"
	"ocm/deploy/install"
	"ocm/deploy/render"
)

// parse reads a command line of the controllers.
func parse(t *testing.T, args ...string) (*options, error) {
	t.Helper()
	var o options
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.addFlags(fs)
	return &o, fs.Parse(args)
}

// The flags of the existing controllers, with their defaults.
func TestFlagsOfTheExistingControllers(t *testing.T) {
	o, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("POD_NAMESPACE", "")
	d, err := o.deploy()
	if err != nil {
		t.Fatal(err)
	}
	if d.Workers != 10 || d.Queue != 1000 || d.CacheTTL != 30*time.Minute || d.ResourceConcurrency != 4 || d.ReplicationConcurrency != 4 ||
		d.MaxResourceSize != 2<<20 || d.DeployAs.Name != "" || d.Archives != "" || o.metricsAddress != "0" || o.probeAddress != ":8081" || o.leaderElect || o.metricsSecure {
		t.Errorf("defaults: %+v %+v", d, o)
	}
	o, err = parse(t, "--resolver-worker-count=3", "--resolver-worker-queue-length=7", "--resolver-subscriber-buffer-size=5", "--resolver-cache-ttl=2",
		"--resource-controller-concurrency=5", "--replication-controller-concurrency=6", "--deployer-download-cache-size=9", "--deployer-download-max-resource-size=3Mi",
		"--metrics-bind-address=:8080", "--health-probe-bind-address=:1", "--leader-elect", "--metrics-secure", "--enable-http2",
		"--zap-log-level=debug", "--zap-encoder=console", "--zap-devel", "--zap-stacktrace-level=error", "--zap-time-encoding=iso8601")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("POD_NAMESPACE", "ns")
	if d, err = o.deploy(); err != nil {
		t.Fatal(err)
	}
	if d.Workers != 3 || d.Queue != 7 || d.CacheTTL != 2*time.Minute || d.ResourceConcurrency != 5 || d.ReplicationConcurrency != 6 || d.MaxResourceSize != 3<<20 ||
		d.DeployAs.String() != "ns/ocm-k8s-toolkit-controller-manager" {
		t.Errorf("%+v", d)
	}
}

func TestFlagsThatCannotBe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, text := range map[string]string{
		"--resolver-worker-count=0":                     "--resolver-worker-count 0: expected a number from 1 to 1000",
		"--resource-controller-concurrency=-1":          "--resource-controller-concurrency",
		"--resolver-cache-ttl=0":                        "expected a number of minutes",
		"--resolver-cache-ttl=soon":                     "expected a number of minutes",
		"--deployer-download-max-resource-size=2MiB":    "expected a number of bytes",
		"--deployer-download-cache-bytes=-1":            "expected a number of bytes",
		"--deployer-download-cache-bytes=1Pi":           "expected a number of bytes",
		"--deploy-as=name":                              "expected NAMESPACE/NAME",
		"--deploy-as=a/b/c":                             "expected NAMESPACE/NAME",
		"--deploy-as=system:serviceaccount:a/b":         "expected NAMESPACE/NAME",
		"--archives=/nowhere/at/all":                    "--archives: stat",
		"--archives=" + file:                            "not a folder",
		"--cache-folder=" + file:                        "not a folder",
		"--metrics-cert-path=" + filepath.Dir(file):     "goes with --metrics-secure",
		"--zap-log-level=loud":                          "expected error, info, debug",
		"--zap-log-level=99":                            "expected error, info, debug",
		"--zap-encoder=xml":                             "expected json or console",
		"--leader-elect=perhaps":                        "leader-elect",
		"run extra":                                     `unexpected argument "extra"`,
		"rnu":                                           `unknown command "rnu"`,
		"rollback":                                      "rollback what? It takes deployer",
		"rollback component x":                          `unknown object "component"`,
		"rollback deployer":                             "takes one NAME",
		"rollback deployer x --to 0 --kubeconfig /none": "revisions begin with 1",
		"rollback deployer x --kubeconfig /none":        "no cluster to talk to",
		"report -o xml":                                 "expected table or json",
		"report --kubeconfig /none":                     "no cluster to talk to",
		"--kubeconfig /none":                            "no cluster to talk to",
	} {
		var out, errOut bytes.Buffer
		if status := run(strings.Fields(args), &out, &errOut); status != exitUsage || !strings.Contains(errOut.String(), text) || out.Len() > 0 {
			t.Errorf("%s: status %d, %s", args, status, errOut.String())
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if status := run([]string{"version"}, &out, &out); status != 0 || !strings.HasPrefix(out.String(), "ocm-controller ") {
		t.Errorf("status %d: %s", status, out.String())
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	at := schema.GroupResource{Group: "g", Resource: "deployers"}
	for want, err := range map[int]error{
		exitNotFound: apierrors.NewNotFound(at, "x"), exitDenied: apierrors.NewForbidden(at, "x", errors.New("no")), exitFailed: errors.New("other"),
	} {
		if got := status(explain(err)); got != want {
			t.Errorf("%v: status %d, expected %d", err, got, want)
		}
	}
	if !errors.Is(explain(apierrors.NewUnauthorized("who?")), ocm.ErrDenied) {
		t.Error("unauthorized is not denied")
	}
}

// Logs of Kubernetes libraries and of ours are lines of one kind.
func TestLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	h, err := (&logging{level: "2"}).handler(&out)
	if err != nil {
		t.Fatal(err)
	}
	l := logr.FromSlogHandler(h)
	l.Info("one", "a", 1)
	l.V(2).Info("two")
	l.V(3).Info("three")
	l.Error(errors.New("bad"), "four")
	slog.New(h).Warn("five")
	var got []string
	for line := range strings.Lines(out.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		got = append(got, m["level"].(string)+" "+m["msg"].(string))
	}
	if s := strings.Join(got, ", "); s != "info one, debug two, error four, warn five" {
		t.Error(s)
	}
	for _, l := range []logging{{devel: true}, {level: "debug"}, {level: "4"}} {
		if h, err = l.handler(&out); err != nil || !h.Enabled(t.Context(), slog.LevelDebug) {
			t.Errorf("%+v: our own debug messages are not shown (%v)", l, err)
		}
	}
	if h, err = (&logging{level: "error"}).handler(&out); err != nil || h.Enabled(t.Context(), slog.LevelWarn) {
		t.Errorf("warnings are shown (%v)", err)
	}
}

func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	debug.SetMemoryLimit(math.MaxInt64)
	unset := func(string) string { return "" }
	if got := limitMemory(unset, func() int64 { return 0 }); got != 0 {
		t.Errorf("no limit: %d", got)
	}
	for container, want := range map[int64]int64{10<<30 + 512<<20: 9 << 30, 1 << 30: (512 << 20) / 10 * 9, 100 << 20: (50 << 20) / 10 * 9} {
		if got := limitMemory(unset, func() int64 { return container }); got != want {
			t.Errorf("a container of %d bytes: %d", container, got)
		}
	}
	limitMemory(unset, func() int64 { return 10<<30 + 512<<20 })
	if got := limitMemory(func(string) string { return "1GiB" }, func() int64 { return 20 << 30 }); got != 9<<30 {
		t.Errorf("GOMEMLIMIT has not the first word: %d", got)
	}
}

// The kernel would end the controller for what charts take in processes beside it.
func TestTheContainerHasRoomForCharts(t *testing.T) {
	t.Parallel()
	text, err := install.Manifests(install.Options{Image: "registry.example.org/controller:1"})
	if err != nil {
		t.Fatal(err)
	}
	_, limits, _ := strings.Cut(string(text), "limits:")
	_, limits, _ = strings.Cut(limits, "memory: ")
	limit, err := resource.ParseQuantity(strings.Fields(limits)[0])
	if err != nil {
		t.Fatal(err)
	}
	const itself = 256 << 20
	if need := int64(render.MaxProcesses*render.MaxMemory + itself); limit.Value() < need {
		t.Errorf("a container of %d bytes, expected at least %d", limit.Value(), need)
	}
}

func TestOnlyAuthorizedSeeMetrics(t *testing.T) {
	t.Parallel()
	cluster := fake.NewClientset()
	cluster.PrependReactor("create", "tokenreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview)
		if r.Spec.Token == "down" {
			return true, nil, errors.New("down")
		}
		r.Status.Authenticated, r.Status.User.Username = r.Spec.Token != "guessed", r.Spec.Token
		return true, r, nil
	})
	cluster.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		what := r.Spec.NonResourceAttributes
		r.Status.Allowed = r.Spec.User != "curious" && what.Path == "/metrics" && what.Verb == "get"
		r.Status.Denied = r.Spec.User == "denied"
		return true, r, nil
	})
	h := authorized(cluster, logr.Discard(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	for header, want := range map[string]int{"": 401, "Basic x": 401, "Bearer ": 401, "Bearer guessed": 401, "Bearer curious": 403, "Bearer denied": 403, "Bearer down": 500, "Bearer known": 200} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", http.NoBody)
		r.Header.Set("Authorization", header)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: %d, expected %d", header, w.Code, want)
		}
	}
}
