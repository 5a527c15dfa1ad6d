// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ocm/internal/cluster"
)

const hooked = greeting + `
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-{{ .Values.version }}
  annotations: {helm.sh/hook: "pre-install,pre-upgrade"}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: hook, image: "registry.example.org/hook:1"}]}}}
`

// TestInterrupted kills the controllers at random moments of upgrades, and restarts the API server.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	x := s.team(t, "killed", "")
	const kills = 10
	for i := range kills + 2 {
		version := fmt.Sprintf("1.%d.0", i)
		x.deliver(t, version, chart(t, strings.ReplaceAll(hooked, "VERSION", version), fmt.Sprintf("{greeting: hello, version: %q}", version)))
	}
	runs := countJobs(t, s, x.ns)
	x.follow(t, "", "1.0.0", "chart")
	x.Apply(t, x.deploying("killed", "chart", "historyLimit: 3"))
	x.wait(t, "Ready", "deployer/killed", "")
	s.controller.Stop() // gives the lease back; those that are killed hold none, so that nobody waits for it to end
	bin := program(t, "ocm-controller")
	s.controller = controller(t, s.Cluster, bin, "--leader-elect=false")
	for i := 1; i <= kills; i++ {
		version := fmt.Sprintf("1.%d.0", i)
		x.want(t, version)
		pause := time.Duration(rand.Int64N(int64(3 * time.Second)))
		time.Sleep(pause) // this is the random moment
		s.controller.Kill()
		s.controller = controller(t, s.Cluster, bin, "--leader-elect=false")
		x.is(t, version, "configmap/killed", ".data.version")
		x.becomes(t, version+" Good", "deployer/killed", "jsonpath={"+versionOf+"} {.status.history[0].outcome}")
		x.wait(t, "Ready", "deployer/killed", "")
		if n := runs("killed-" + version); n < 1 || n > 2 {
			t.Errorf("%s: killed after %v, the hook ran %d times", version, pause, n)
		}
		if n := x.Kubectl(t, "get", "secrets", "-n", x.ns, "-l", "owner=helm,status=deployed", "-o", "name"); strings.Count(n, "\n") != 1 {
			t.Errorf("%s: releases that are deployed: %s", version, n)
		}
		if n := x.Kubectl(t, "get", "secrets", "-n", x.ns, "-l", "owner=helm,status in (pending-install,pending-upgrade,pending-rollback,uninstalling)", "-o", "name"); n != "" {
			t.Errorf("%s: releases that are stuck: %s", version, n)
		}
	}

	// The API server goes away and comes back, during an upgrade and with a drift.
	last := fmt.Sprintf("1.%d.0", kills+1)
	x.want(t, last)
	s.RestartAPIServer(t)
	x.is(t, last, "configmap/killed", ".data.version")
	x.becomes(t, last, "deployer/killed", "jsonpath={"+versionOf+"}")
	x.wait(t, "Ready", "deployer/killed", "")
	s.RestartAPIServer(t)
	x.Kubectl(t, "delete", "configmap/killed", "-n", x.ns)
	x.is(t, last, "configmap", `.items[?(@.metadata.name=="killed")].data.version`)
}

// countJobs counts how often Jobs of a name were made.
func countJobs(t *testing.T, s *site, ns string) func(name string) int {
	t.Helper()
	w, err := clientFor(t, s.Config()).BatchV1().Jobs(ns).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	var mu sync.Mutex
	seen := map[string]map[types.UID]bool{}
	go func() {
		for e := range w.ResultChan() {
			if j, ok := e.Object.(*batchv1.Job); ok {
				mu.Lock()
				if seen[j.Name] == nil {
					seen[j.Name] = map[types.UID]bool{}
				}
				seen[j.Name][j.UID] = true
				mu.Unlock()
			}
		}
	}()
	return func(name string) int {
		mu.Lock()
		defer mu.Unlock()
		return len(seen[name])
	}
}

// seenByPeople is what kubectl and the commands print.
func seenByPeople(t *testing.T, s *site) {
	p := newProduct(t)
	p.release(t, "1.0.0", true)
	s.Kubectl(t, "create", "namespace", "people")
	s.account(t, "people", "deployer")
	s.subscribe(t, p, "people", "1.0.0")
	s.Apply(t, `apiVersion: delivery.ocm.software/v1alpha1
kind: Resource
metadata: {name: manifests, namespace: people}
spec:
  componentRef: {name: product}
  resource: {byReference: {resource: {name: manifests}}}
---
apiVersion: delivery.ocm.software/v1alpha1
kind: Resource
metadata: {name: image, namespace: people}
spec:
  componentRef: {name: product}
  resource: {byReference: {resource: {name: image}, referencePath: [{name: notes}]}}
---
apiVersion: delivery.ocm.software/v1alpha1
kind: Deployer
metadata: {name: people}
spec:
  resourceRef: {name: manifests, namespace: people}
  serviceAccountName: deployer
  localization: [{name: notes, resource: {resource: {name: image}, referencePath: [{name: notes}]}, replaces: [registry.example.org/acme/notes]}]
  healthGate: {timeout: 60s}
---
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: people}
spec: {containers: [{name: stranger, image: "registry.example.org/stranger@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}
`)
	s.wait(t, "Ready", "deployer/people", "")
	s.wait(t, "Ready", "resource.delivery.ocm.software/image", "people")
	for what, want := range map[string][]string{
		"repositories":                    {"NAME READY AGE", "site "},
		"components":                      {"NAME VERSION VERDICT READY AGE", "product 1.0.0 Verified "},
		"resources.delivery.ocm.software": {"NAME READY AGE", "manifests ", "image "},
		"deployers/people":                {"NAME VERSION READY AGE", "people 1.0.0 "},
	} {
		out := strings.Join(strings.Fields(s.Kubectl(t, "get", what, "-n", "people")), " ")
		for _, w := range want {
			if !strings.Contains(out+" ", w) {
				t.Errorf("%s: expected %q in %s", what, w, out)
			}
		}
	}
	cluster.Eventually(t, time.Minute, func() error {
		report := s.ocmController(t, "report")
		var origin, stranger string
		for line := range strings.Lines(report) {
			if strings.Contains(line, p.host+"/component-descriptors/acme.org/sovereign/notes") {
				origin = line
			} else if strings.Contains(line, "stranger") {
				stranger = line
			}
		}
		if !strings.Contains(origin, "acme.org/sovereign/notes:1.0.0") || !strings.Contains(origin, "Verified") || !strings.Contains(stranger, "none") {
			return fmt.Errorf("the report:\n%s", report)
		}
		return nil
	})
}
