// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

var update = flag.Bool("update", false, "write manifests.yaml")

// render is what Helm makes of the chart, in the order in which it applies it.
func render(t *testing.T, release, namespace string, values map[string]any) (string, error) {
	t.Helper()
	chart, err := loader.LoadDir("chart")
	if err != nil {
		t.Fatal(err)
	}
	all, err := commonutil.ToRenderValues(chart, values, common.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return "", err
	}
	delete(files, "chart/templates/NOTES.txt")
	_, list, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, m := range list {
		b.WriteString("---\n" + strings.TrimSpace(m.Content) + "\n")
	}
	return b.String(), nil
}

// parseValues reads values of a test.
func parseValues(t *testing.T, text string) map[string]any {
	t.Helper()
	v := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

const head = `# SPDX-License-Identifier: Apache-2.0
# Code generated from the chart by make generate. DO NOT EDIT.
`

func TestManifestsAreWhatTheChartGives(t *testing.T) {
	out, err := render(t, "release-placeholder", "namespace-placeholder", parseValues(t, `
namespace: {create: true}
manager:
  replicas: 4242
  image: {repository: image.placeholder/name, tag: tag}
  imagePullSecrets: [{name: pull-secret-placeholder}]
crd: {keep: false}
`))
	if err != nil {
		t.Fatal(err)
	}
	out = head + out
	if *update {
		if err := os.WriteFile("manifests.yaml", []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	raw, err := os.ReadFile("manifests.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != out {
		t.Error("manifests.yaml is not what the chart gives: run make generate")
	}
}

// kinds are the types that manifests must decode into, without a member left over.
var kinds = map[string]func() runtime.Object{
	"Namespace":                        func() runtime.Object { return &corev1.Namespace{} },
	"ServiceAccount":                   func() runtime.Object { return &corev1.ServiceAccount{} },
	"Service":                          func() runtime.Object { return &corev1.Service{} },
	"Deployment":                       func() runtime.Object { return &appsv1.Deployment{} },
	"NetworkPolicy":                    func() runtime.Object { return &networkingv1.NetworkPolicy{} },
	"PodDisruptionBudget":              func() runtime.Object { return &policyv1.PodDisruptionBudget{} },
	"CustomResourceDefinition":         func() runtime.Object { return &apiextensionsv1.CustomResourceDefinition{} },
	"ClusterRole":                      func() runtime.Object { return &rbacv1.ClusterRole{} },
	"ClusterRoleBinding":               func() runtime.Object { return &rbacv1.ClusterRoleBinding{} },
	"Role":                             func() runtime.Object { return &rbacv1.Role{} },
	"RoleBinding":                      func() runtime.Object { return &rbacv1.RoleBinding{} },
	"ValidatingAdmissionPolicy":        func() runtime.Object { return &admissionregistrationv1.ValidatingAdmissionPolicy{} },
	"ValidatingAdmissionPolicyBinding": func() runtime.Object { return &admissionregistrationv1.ValidatingAdmissionPolicyBinding{} },
	"ServiceMonitor":                   func() runtime.Object { return &unstructured.Unstructured{} },
}

// decode reads manifests strictly, by kind and name.
func decode(t *testing.T, manifests string) map[string]runtime.Object {
	t.Helper()
	objects := map[string]runtime.Object{}
	for _, doc := range strings.Split(manifests, "\n---\n") {
		var meta struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(doc), &meta); err != nil {
			t.Fatalf("%v:\n%s", err, doc)
		}
		if meta.Kind == "" {
			continue
		}
		fresh := kinds[meta.Kind]
		if fresh == nil {
			t.Fatalf("unexpected kind %s", meta.Kind)
		}
		o := fresh()
		if err := yaml.UnmarshalStrict([]byte(doc), o); err != nil {
			t.Errorf("%s %s: %v", meta.Kind, meta.Metadata.Name, err)
		}
		key := meta.Kind + "/" + meta.Metadata.Name
		if objects[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		objects[key] = o
	}
	return objects
}

// names lists objects.
func names(objects map[string]runtime.Object) []string {
	var list []string
	for k := range objects {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

func TestChartWithItsDefaults(t *testing.T) {
	t.Parallel()
	out, err := render(t, "ocm-k8s-toolkit", "ocm-k8s-toolkit-system", nil)
	if err != nil {
		t.Fatal(err)
	}
	objects := decode(t, out)
	want := []string{
		"ClusterRole/ocm-k8s-toolkit-reconciler", "ClusterRoleBinding/ocm-k8s-toolkit-reconciler",
		"CustomResourceDefinition/components.delivery.ocm.software", "CustomResourceDefinition/deployers.delivery.ocm.software",
		"CustomResourceDefinition/replications.delivery.ocm.software", "CustomResourceDefinition/repositories.delivery.ocm.software",
		"CustomResourceDefinition/resources.delivery.ocm.software",
		"Deployment/ocm-k8s-toolkit-controller-manager", "NetworkPolicy/ocm-k8s-toolkit-controller-manager",
		"Role/ocm-k8s-toolkit-leader-election", "RoleBinding/ocm-k8s-toolkit-leader-election",
		"ServiceAccount/ocm-k8s-toolkit-controller-manager", "ServiceAccount/ocm-k8s-toolkit-reconciler",
		"ValidatingAdmissionPolicy/ocm-k8s-toolkit-secrets", "ValidatingAdmissionPolicyBinding/ocm-k8s-toolkit-secrets",
	}
	if got := names(objects); !slices.Equal(got, want) {
		t.Errorf("found %q\nexpected %q", got, want)
	}
	crd := objects["CustomResourceDefinition/deployers.delivery.ocm.software"].(*apiextensionsv1.CustomResourceDefinition)
	if crd.Annotations["helm.sh/resource-policy"] != "keep" {
		t.Error("the definitions would go with the release, and all objects with them")
	}
	pod := objects["Deployment/ocm-k8s-toolkit-controller-manager"].(*appsv1.Deployment).Spec.Template.Spec
	if pod.ServiceAccountName != "ocm-k8s-toolkit-reconciler" {
		t.Errorf("the pod is %s: whoever grants rights to the deploying identity would grant them to the controllers", pod.ServiceAccountName)
	}
	args := pod.Containers[0].Args
	for _, arg := range []string{"--leader-elect", "--deploy-as=$(POD_NAMESPACE)/ocm-k8s-toolkit-controller-manager", "--health-probe-bind-address=:8081",
		"--metrics-bind-address=0", "--resolver-worker-count=10", "--resolver-worker-queue-length=1000", "--resolver-cache-ttl=30",
		"--deployer-download-max-resource-size=2Mi", "--zap-log-level=info", "--zap-encoder=json"} {
		if !slices.Contains(args, arg) {
			t.Errorf("%s is missing in %q", arg, args)
		}
	}
}

// Pods of the chart may run where pod security is restricted.
func TestPodSecurityRestricted(t *testing.T) {
	t.Parallel()
	out, err := render(t, "r", "n", nil)
	if err != nil {
		t.Fatal(err)
	}
	pod := decode(t, out)["Deployment/r-controller-manager"].(*appsv1.Deployment).Spec.Template.Spec
	p, c := pod.SecurityContext, pod.Containers[0].SecurityContext
	if !*p.RunAsNonRoot || *p.RunAsUser == 0 || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || pod.HostNetwork || pod.HostPID {
		t.Errorf("pod: %+v", p)
	}
	if *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || !slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(c.Capabilities.Add) > 0 || c.Privileged != nil {
		t.Errorf("container: %+v", c)
	}
	for _, v := range pod.Volumes {
		if v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil {
			t.Errorf("volume %s is not an empty folder with a limit", v.Name)
		}
	}
}

func TestValuesOfTheChart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, values string
		want, not    []string // regular expressions
	}{
		{"image by digest", `manager: {image: {repository: "reg:5000/x", digest: "sha256:ab"}}`, []string{`image: "reg:5000/x@sha256:ab"`}, nil},
		{"image by tag and digest", `manager: {image: {repository: r/x, tag: v1, digest: "sha256:ab", pullPolicy: Always}}`, []string{`image: "r/x:v1@sha256:ab"`, `imagePullPolicy: Always`}, nil},
		{"several instances", `manager: {replicas: 2}`, []string{`kind: PodDisruptionBudget`, `replicas: 2`}, nil},
		{"one instance", ``, nil, []string{`PodDisruptionBudget`, `kind: Namespace\n`, `kind: ServiceMonitor`, `kind: Service\n`, `tokenreviews`, `-editor`}},
		{"no leader election", `manager: {leaderElection: {enabled: false}}`, nil, []string{`--leader-elect`, `leases`}},
		{"metrics", `metricsServer: {bindAddress: ":8080"}`, []string{`containerPort: 8080`, `- port: 8080`, `kind: Service\n`, `metrics-bind-address=:8080`}, []string{`metrics-secure`}},
		{"metrics of one address", `metricsServer: {bindAddress: "[::1]:8443", secure: true, enableHttp2: true}`, []string{`containerPort: 8443`, `--metrics-secure`, `--enable-http2`, `tokenreviews`, `nonResourceURLs`}, nil},
		{"prometheus", `{prometheus: {enable: true}, metricsServer: {bindAddress: ":8443", secure: true}}`, []string{`kind: ServiceMonitor`, `scheme: https`}, nil},
		{"no definitions", `crd: {enable: false}`, nil, []string{`CustomResourceDefinition`}},
		{"definitions go", `crd: {keep: false}`, []string{`CustomResourceDefinition`}, []string{`resource-policy`}},
		{"roles for people", `rbacHelpers: {enable: true}`, []string{`aggregate-to-edit: "true"`, `aggregate-to-view: "true"`, `r-deployer-editor`}, nil},
		{"roles for people, by hand", `rbacHelpers: {enable: true, aggregateToDefaultRoles: false}`, []string{`name: r-editor`}, []string{`aggregate-to`}},
		{"some identities", `rbac: {impersonate: [shop]}`, []string{`resourceNames: \["r-controller-manager","shop"\]`}, nil},
		{"no policy", `rbac: {confineSecrets: false}`, nil, []string{`ValidatingAdmissionPolicy`}},
		{"no network policy", `networkPolicy: {enable: false}`, nil, []string{`NetworkPolicy`}},
		{"namespace", `namespace: {create: true}`, []string{`^---\napiVersion: v1\nkind: Namespace`, `enforce: restricted`}, nil},
		{"name", `fullnameOverride: other`, []string{`name: other-controller-manager`, `/other-controller-manager`}, []string{`name: r-`}},
		{"log", `manager: {logging: {level: debug, development: true, encoder: console}}`, []string{`--zap-devel`, `--zap-log-level=debug`, `--zap-encoder=console`}, nil},
		{"pod", `manager: {extraArgs: [--archives=/a], env: [{name: A, value: b}], imagePullSecrets: [{name: s}], podLabels: {a: b}, podAnnotations: {c: d}, nodeSelector: {e: f}, priorityClassName: high,
			tolerations: [{operator: Exists}], affinity: {nodeAffinity: {}}, topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}`,
			[]string{`- --archives=/a`, `name: A`, `- name: s`, `a: b`, `c: d`, `e: f`, `priorityClassName: high`, `operator: Exists`, `topologyKey: zone`}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := render(t, "r", "n", parseValues(t, c.values))
			if err != nil {
				t.Fatal(err)
			}
			decode(t, out)
			for _, re := range c.want {
				if !regexp.MustCompile(re).MatchString(out) {
					t.Errorf("%q is missing", re)
				}
			}
			for _, re := range c.not {
				if found := regexp.MustCompile(re).FindString(out); found != "" {
					t.Errorf("%q is there", found)
				}
			}
		})
	}
}

func TestValuesThatCannotBe(t *testing.T) {
	t.Parallel()
	for values, text := range map[string]string{
		`webhook: {enable: true}`:                                       "webhook.enable: these controllers have no webhooks",
		`certManager: {enable: true}`:                                   "certManager.enable: there are no webhooks",
		`prometheus: {enable: true}`:                                    "set metricsServer.bindAddress",
		`metricsServer: {bindAddress: "8080x"}`:                         "expected an address with a port",
		`manager: {replicas: 2, leaderElection: {enabled: false}}`:      "several instances need",
		`manager: {replicas: many}`:                                     "replicas",
		`manager: {image: {digest: 5}}`:                                 "digest",
		`manager: {logging: {encoder: xml}}`:                            "encoder",
		`rbac: {impersonate: all}`:                                      "impersonate",
		`networkPolicy: {egress: {}}`:                                   "egress",
		`manager: {image: {digest: "sha512:abc"}}`:                      "digest",
		`manager: {extraArgs: --archives=/a}`:                           "extraArgs",
		`manager: {concurrency: {resource: 0}}`:                         "resource",
		`{crd: {enable: "yes"}}`:                                        "enable",
		`{manager: {resolver: {workerCount: 10.5}}}`:                    "workerCount",
		`{manager: {cache: {deployerDownloadMaxResourceSize: "lots"}}}`: "deployerDownloadMaxResourceSize",
	} {
		_, err := render(t, "r", "n", parseValues(t, values))
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: expected an error with %q, found %v", values, text, err)
		}
	}
}

// The rights of the controllers themselves, in full: whoever adds one changes this test.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	out, err := render(t, "r", "n", nil)
	if err != nil {
		t.Fatal(err)
	}
	objects := decode(t, out)
	var got []string
	for _, rule := range objects["ClusterRole/r-reconciler"].(*rbacv1.ClusterRole).Rules {
		for _, g := range rule.APIGroups {
			for _, r := range rule.Resources {
				if strings.Contains(g+r, "*") || slices.Contains(rule.Verbs, "*") {
					t.Errorf("a wildcard: %v", rule)
				}
				got = append(got, fmt.Sprintf("%s/%s %s", g, r, strings.Join(rule.Verbs, ",")))
			}
		}
	}
	const group = "delivery.ocm.software/"
	var want []string
	for _, kind := range []string{"repositories", "components", "resources", "deployers", "replications"} {
		want = append(want, group+kind+" get,list,watch,update,patch", group+kind+"/status get,update,patch", group+kind+"/finalizers update")
	}
	want = append(want, "/configmaps get", "/namespaces get", "/secrets get", "/secrets create,update,delete",
		"/events create,patch,update", "events.k8s.io/events create,patch,update", "/serviceaccounts impersonate")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for key, o := range objects {
		b, ok := o.(*rbacv1.ClusterRoleBinding)
		if ok && slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool { return s.Name == "r-controller-manager" }) {
			t.Errorf("%s gives rights to the identity of Deployers that name none", key)
		}
	}
}

func TestRenderedTwiceIsTheSame(t *testing.T) {
	t.Parallel()
	a, _ := render(t, "r", "n", nil)
	b, _ := render(t, "r", "n", nil)
	if a == "" || !bytes.Equal([]byte(a), []byte(b)) {
		t.Error("the chart gives something else each time")
	}
}
