// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/deploy/render"
	"ocm/internal/cluster"
	"ocm/internal/fixture"
	"ocm/oci"
	"ocm/oci/remote"
)

// shared is the cluster of all tests here that do not stop its API server.
var shared = cluster.Shared{Options: cluster.Options{Workloads: true}}

func TestMain(m *testing.M) {
	render.Main() // charts are rendered in a process of their own, which is this program
	code := shared.Run(m)
	os.RemoveAll(programs.dir) // nothing, where no test has built any
	os.Exit(code)
}

// deployment is a workload of two pods.
func deployment(name, more string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %s}
spec:
  replicas: 2
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers: [{name: app, image: "127.0.0.1:1/app:1"}]
%s`, name, more)
}

func TestClusterMakesPodsReady(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := "--namespace=" + c.Namespace(t)
	if v := c.Kubectl(t, "version"); !strings.Contains(v, "Server Version: v1.") {
		t.Errorf("expected a released version, found %s", v)
	}

	c.Apply(t, deployment("app", ""), ns)
	c.Kubectl(t, "rollout", "status", "deployment/app", "--timeout=60s", ns)
	if pods := c.Kubectl(t, "get", "pods", ns, "-o", "jsonpath={.items[*].status.phase}"); pods != "Running Running" {
		t.Errorf("expected two running pods, found %q", pods)
	}
	c.Kubectl(t, "delete", "deployment", "app", ns)
	c.Kubectl(t, "wait", "--for=delete", "pods", "--all", "--timeout=60s", ns)
}

func TestClusterBindsClaims(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := "--namespace=" + c.Namespace(t)
	c.Apply(t, `apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec:
      containers: [{name: app, image: "127.0.0.1:1/app:1", volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 8Gi}}}
`, ns)
	c.Kubectl(t, "rollout", "status", "statefulset/store", "--timeout=60s", ns)
	if phase := c.Kubectl(t, "get", "persistentvolumeclaim", "data-store-0", "-o", "jsonpath={.status.phase}", ns); phase != "Bound" {
		t.Errorf("expected a bound claim, found %q", phase)
	}
}

func TestClusterRunsJobsToTheirEnd(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := "--namespace=" + c.Namespace(t)
	c.Apply(t, `apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: app, image: "127.0.0.1:1/app:1"}]}
`, ns)
	c.Kubectl(t, "wait", "--for=condition=Complete", "job/once", "--timeout=60s", ns)
}

func TestClusterKeepsPodsPendingThatNoNodeTakes(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	ns := "--namespace=" + c.Namespace(t)
	c.Apply(t, deployment("stuck", "      nodeSelector: {no: node}\n"), ns)
	c.Kubectl(t, "wait", "--for=jsonpath={.status.unavailableReplicas}=2", "deployment/stuck", "--timeout=60s", ns)
	cluster.Eventually(t, time.Minute, func() error {
		if out := c.Kubectl(t, "get", "pods", ns, "-o", "jsonpath={.items[*].status.conditions[?(@.type=='PodScheduled')].reason}"); out != "Unschedulable Unschedulable" {
			return fmt.Errorf("expected two pods without a node, found %q", out)
		}
		return nil
	})
}

func TestClusterRefusesByRBAC(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	name := c.Namespace(t)
	ns := "--namespace=" + name
	c.Kubectl(t, "create", "serviceaccount", "weak", ns)
	weak := "--kubeconfig=" + c.ServiceAccountKubeconfig(t, name, "weak")
	user := "--kubeconfig=" + c.Kubeconfig(t, "jane", "tenants")

	for who, kubeconfig := range map[string]string{"system:serviceaccount:" + name + ":weak": weak, "jane": user} {
		_, err := c.Run(t.Context(), "", "get", "secrets", ns, kubeconfig)
		if err == nil || !strings.Contains(err.Error(), "Forbidden") || !strings.Contains(err.Error(), `"`+who+`"`) {
			t.Errorf("expected that %s may not read secrets, found %v", who, err)
		}
	}

	c.Kubectl(t, "create", "role", "reader", "--verb=list", "--resource=secrets", ns)
	c.Kubectl(t, "create", "rolebinding", "weak", "--role=reader", "--serviceaccount="+name+":weak", ns)
	c.Kubectl(t, "create", "rolebinding", "tenants", "--role=reader", "--group=tenants", ns)
	for who, kubeconfig := range map[string]string{"the account": weak, "the group": user} {
		cluster.Eventually(t, 10*time.Second, func() error { // the authorizer learns of roles by watching them
			if _, err := c.Run(t.Context(), "", "get", "secrets", ns, kubeconfig); err != nil {
				return fmt.Errorf("expected that %s may read secrets now: %w", who, err)
			}
			return nil
		})
	}
	// and still may not give away what it has not
	_, err := c.Run(t.Context(), "", "create", "clusterrolebinding", "mine-"+name, "--clusterrole=cluster-admin", "--serviceaccount="+name+":weak", weak)
	if err == nil || !strings.Contains(err.Error(), "forbidden") && !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("expected that the account may not bind cluster-admin, found %v", err)
	}
}

func TestClusterKeepsItsDataOverARestart(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	ns := "--namespace=" + c.Namespace(t)
	c.Kubectl(t, "create", "configmap", "kept", "--from-literal=a=b", ns)
	uid := c.Kubectl(t, "get", "configmap", "kept", "-o", "jsonpath={.metadata.uid}", ns)

	c.StopAPIServer(t)
	if _, err := c.Run(t.Context(), "", "get", "configmap", "kept", ns); err == nil {
		t.Error("expected that a stopped server does not answer")
	}
	c.StartAPIServer(t)
	if again := c.Kubectl(t, "get", "configmap", "kept", "-o", "jsonpath={.metadata.uid}", ns); again != uid {
		t.Errorf("expected the object of before, %s, found %s", uid, again)
	}
}

func TestClusterStopsQuicklyAndLeavesNobody(t *testing.T) {
	t.Parallel()
	cluster.Need(t)
	c, err := cluster.New(t.TempDir(), cluster.Options{Workloads: true}) // whose parts watch the server
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	c.Stop()
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("expected that a watched cluster ends within seconds, it took %v", took)
	}
	if _, err := c.Run(t.Context(), "", "version", "--request-timeout=2s"); err == nil {
		t.Error("expected that nobody answers any more")
	}
}

func TestKroMakesWhatADefinitionSays(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	c.Kro(t)
	ns := "--namespace=" + c.Namespace(t)
	defer c.Kubectl(t, "delete", "resourcegraphdefinition", "clustertest", "--wait=false", "--ignore-not-found")
	c.Apply(t, `apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: clustertest}
spec:
  schema:
    apiVersion: v1alpha1
    kind: ClusterTest
    spec: {replicas: integer | default=1}
    status: {ready: "${deployment.status.readyReplicas}"}
  resources:
  - id: settings
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: "${schema.metadata.name}-settings"}
      data: {image: "127.0.0.1:1/app:1"}
  - id: deployment
    readyWhen: ["${deployment.status.readyReplicas == deployment.spec.replicas}"]
    template:
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: "${schema.metadata.name}"}
      spec:
        replicas: ${schema.spec.replicas}
        selector: {matchLabels: {app: "${schema.metadata.name}"}}
        template:
          metadata: {labels: {app: "${schema.metadata.name}"}}
          spec: {containers: [{name: app, image: "${settings.data.image}"}]}
`)
	c.Kubectl(t, "wait", "--for=condition=Ready", "resourcegraphdefinition/clustertest", "--timeout=60s")
	c.Apply(t, "{apiVersion: kro.run/v1alpha1, kind: ClusterTest, metadata: {name: demo}, spec: {replicas: 2}}", ns)
	c.Kubectl(t, "wait", "--for=jsonpath={.status.ready}=2", "clustertest/demo", "--timeout=60s", ns)
	if image := c.Kubectl(t, "get", "deployment", "demo", "-o", "jsonpath={.spec.template.spec.containers[0].image}", ns); image != "127.0.0.1:1/app:1" {
		t.Errorf("expected the image of the settings, found %q", image)
	}
	c.Kubectl(t, "delete", "clustertest", "demo", "--timeout=60s", ns) // kro takes its finalizer away only while the definition is there
	c.Kubectl(t, "wait", "--for=delete", "deployment/demo", "--timeout=60s", ns)
}

// pushChart puts a chart with one template into a registry, as helm push does, and tells its manifest's digest.
func pushChart(t *testing.T, registry, repository, tag, template string) digest.Digest {
	t.Helper()
	name := path.Base(repository)
	archive := fixture.Tgz(map[string]string{
		name + "/Chart.yaml":               "apiVersion: v2\nname: " + name + "\nversion: " + tag + "\n",
		name + "/values.yaml":              "replicas: 1\n",
		name + "/templates/workloads.yaml": template,
	})
	store := fixture.Must[*remote.Store](t)(remote.Open(&ocm.Env{}, registry, "", remote.Options{}))
	defer store.Close()
	repo := store.Repo(repository)
	push := func(mediaType string, b []byte) ociv1.Descriptor {
		d := ociv1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
		return fixture.Must[ociv1.Descriptor](t)(repo.Push(t.Context(), d, bytes.NewReader(b)))
	}
	config := push("application/vnd.cncf.helm.config.v1+json", fmt.Appendf(nil, `{"name":%q,"version":%q,"apiVersion":"v2"}`, name, tag))
	chart := push("application/vnd.cncf.helm.chart.content.v1.tar+gzip", archive)
	raw := fixture.Must[[]byte](t)(json.Marshal(ociv1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ociv1.MediaTypeImageManifest, Config: config, Layers: []ociv1.Descriptor{chart}}))
	manifest := ociv1.Descriptor{MediaType: ociv1.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := repo.PutManifest(t.Context(), manifest, raw, tag, oci.Any()); err != nil {
		t.Fatal(err)
	}
	return manifest.Digest
}

func TestFluxInstallsAChartFromARegistry(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	c.Flux(t)
	name := c.Namespace(t)
	ns := "--namespace=" + name
	registry := fixture.Registry(t)
	d := pushChart(t, registry, "charts/hello", "0.1.0",
		strings.Replace(deployment("hello", ""), "replicas: 2", "replicas: {{ .Values.replicas }}", 1))
	c.Apply(t, fmt.Sprintf(`apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: hello}
spec:
  interval: 1m
  url: oci://%s/charts/hello
  insecure: true
  ref: {digest: %q}
  layerSelector: {mediaType: application/vnd.cncf.helm.chart.content.v1.tar+gzip, operation: copy}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: hello}
spec:
  interval: 1m
  chartRef: {kind: OCIRepository, name: hello}
  values: {replicas: 2}
`, strings.TrimPrefix(registry, "http://"), d), ns)
	c.Kubectl(t, "wait", "--for=condition=Ready", "helmrelease/hello", "--timeout=120s", ns)
	if ready := c.Kubectl(t, "get", "deployment", "hello", "-o", "jsonpath={.status.readyReplicas}", ns); ready != "2" {
		t.Errorf("expected two ready pods of the chart, found %q", ready)
	}
	c.Kubectl(t, "delete", "helmrelease", "hello", "--timeout=60s", ns) // while its controller has the namespace still
}

func TestFluxAppliesAFolderFromARegistry(t *testing.T) {
	t.Parallel()
	c := shared.Get(t)
	c.Flux(t)
	name := c.Namespace(t)
	ns := "--namespace=" + name
	registry := fixture.Registry(t)
	d := pushChart(t, registry, "folders/plain", "1.0.0", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {a: b}\n")
	c.Apply(t, fmt.Sprintf(`apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: plain}
spec:
  interval: 1m
  url: oci://%s/folders/plain
  insecure: true
  ref: {digest: %q}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: plain}
spec:
  interval: 1m
  prune: true
  path: ./plain/templates
  targetNamespace: %s
  sourceRef: {kind: OCIRepository, name: plain}
`, strings.TrimPrefix(registry, "http://"), d, name), ns)
	c.Kubectl(t, "wait", "--for=condition=Ready", "kustomization/plain", "--timeout=120s", ns)
	if a := c.Kubectl(t, "get", "configmap", "applied", "-o", "jsonpath={.data.a}", ns); a != "b" {
		t.Errorf("expected the data of the folder, found %q", a)
	}
	c.Kubectl(t, "delete", "kustomization", "plain", "--timeout=60s", ns)
}
