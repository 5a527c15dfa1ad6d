// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"ocm/deploy/v1alpha1"
	"ocm/internal/cluster"
)

// TestCases shares one cluster and one controller, as tenants do: each case is a tenant.
func TestCases(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, run := range map[string]func(*testing.T, *site){
		"drift is repaired":                          driftIsRepaired,
		"what leaves is pruned":                      leavingIsPruned,
		"rollback by hand":                           rollbackByHand,
		"configuration changes without an archive":   configurationChanges,
		"deletion in every order":                    deletionInEveryOrder,
		"the registry is away":                       registryIsAway,
		"a signature turns invalid":                  signatureTurnsInvalid,
		"tenants do not reach each other":            tenantsAreApart,
		"a cluster-admin binding is refused by RBAC": hostileManifests,
		"bombs end in conditions":                    bombs,
		"suspended, depending, and dry":              switches,
		"a namespace goes first":                     namespaceGoesFirst,
		"bad input names the field":                  badInput,
		"what people see":                            seenByPeople,
		"an archive is the registry":                 archiveIsTheRegistry,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, s)
		})
	}
}

func driftIsRepaired(t *testing.T, s *site) {
	x := s.team(t, "drift", "")
	x.deliver(t, "1.0.0", yamls("all", settings("kept", "as delivered")+web("web")))
	x.follow(t, "", "1.0.0", "all")
	x.Apply(t, x.deploying("drift", "all", ""))
	x.wait(t, "Ready", "deployer/drift", "")
	x.Kubectl(t, "scale", "deployment/web", "--replicas=5", "-n", "drift")
	x.is(t, "1", "deployment/web", ".spec.replicas")
	x.Kubectl(t, "delete", "configmap/kept", "-n", "drift")
	x.becomes(t, "as delivered", "configmap", `jsonpath={.items[?(@.metadata.name=="kept")].data.value}`, "-n", "drift")
	x.wait(t, "Drifted=False", "deployer/drift", "")

	x.change(t, "drift", `{"drift":"Report"}`)
	x.Kubectl(t, "scale", "deployment/web", "--replicas=4", "-n", "drift")
	x.wait(t, "Drifted", "deployer/drift", "")
	x.wait(t, "Ready", "deployer/drift", "")
	if got := x.get(t, "deployment/web", ".spec.replicas"); got != "4" {
		t.Errorf("Report has changed the replicas to %s", got)
	}
	x.change(t, "drift", `{"drift":"Repair"}`)
	x.is(t, "1", "deployment/web", ".spec.replicas")
}

func leavingIsPruned(t *testing.T, s *site) {
	x := s.team(t, "prune", "")
	one, two, three := settings("one", "1"), settings("two", "2"), settings("three", "3")
	x.deliver(t, "1.0.0", yamls("all", one+two+three))
	x.deliver(t, "1.1.0", yamls("all", one+two))
	x.deliver(t, "1.2.0", yamls("all", one))
	x.follow(t, "", "1.0.0", "all")
	x.Apply(t, settings("foreign", "stays"), "-n", "prune")
	x.Apply(t, x.deploying("prune", "all", ""))
	x.wait(t, "Ready", "deployer/prune", "")
	if x.get(t, "configmap/three", ".data.value") != "3" {
		t.Error("three is not there")
	}
	x.want(t, "1.1.0")
	x.becomes(t, "1.1.0", "deployer/prune", "jsonpath={"+versionOf+"}")
	x.wait(t, "Ready", "deployer/prune", "")
	x.not(t, "configmap/three")

	x.change(t, "prune", `{"prune":false}`)
	x.want(t, "1.2.0")
	x.becomes(t, "1.2.0", "deployer/prune", "jsonpath={"+versionOf+"}")
	x.wait(t, "Ready", "deployer/prune", "")
	x.Kubectl(t, "delete", "deployer/prune", "--timeout=60s")
	for _, name := range []string{"one", "two", "foreign"} {
		if x.get(t, "configmap/"+name, ".metadata.name") == "" {
			t.Errorf("%s was deleted in spite of prune: false", name)
		}
	}
}

const greeting = `{apiVersion: v1, kind: ConfigMap, metadata: {name: {{ .Release.Name }}}, data: {greeting: {{ .Values.greeting | quote }}, version: VERSION}}`

func greetings(t *testing.T, version string) part {
	return chart(t, strings.ReplaceAll(greeting, "VERSION", version), "greeting: hello")
}

func rollbackByHand(t *testing.T, s *site) {
	x := s.team(t, "rollback", "")
	x.deliver(t, "1.0.0", greetings(t, "1.0.0"))
	x.deliver(t, "1.1.0", greetings(t, "1.1.0"))
	x.follow(t, "", "1.0.0", "chart")
	x.Apply(t, x.deploying("rollback", "chart", ""))
	x.wait(t, "Ready", "deployer/rollback", "")
	x.want(t, "1.1.0")
	x.is(t, "1.1.0", "configmap/rollback", ".data.version")
	x.wait(t, "Ready", "deployer/rollback", "")

	// A downgrade that the policy forbids stays forbidden, also by hand.
	command := func(args ...string) string {
		t.Helper()
		return x.ocmController(t, append([]string{"rollback", "deployer", "rollback"}, args...)...)
	}
	if out := command(); !strings.Contains(out, "revision 1 has acme.org/app:1.0.0") || !strings.Contains(out, "downgradePolicy") {
		t.Errorf("it is asked to go back to an older version: %s", out)
	}
	x.Kubectl(t, "annotate", "deployer/rollback", v1alpha1.AnnotationRollbackTo+"=1")
	x.becomes(t, v1alpha1.ReasonDowngradeForbidden, "deployer/rollback", "jsonpath={"+reasonOf+"}")
	if v := x.get(t, "configmap/rollback", ".data.version"); v != "1.1.0" {
		t.Errorf("%s is deployed", v)
	}
	x.Kubectl(t, "annotate", "deployer/rollback", v1alpha1.AnnotationRollbackTo+"-")
	x.wait(t, "Ready", "deployer/rollback", "")

	// Another configuration of the same version is no downgrade.
	x.change(t, "rollback", `{"values":{"greeting":"changed"}}`)
	x.is(t, "changed", "configmap/rollback", ".data.greeting")
	x.wait(t, "Ready", "deployer/rollback", "")
	x.Kubectl(t, "annotate", "deployer/rollback", v1alpha1.AnnotationRollbackTo+"=2")
	x.is(t, "hello", "configmap/rollback", ".data.greeting")
	x.becomes(t, v1alpha1.ReasonRolledBack, "deployer/rollback", "jsonpath={"+reasonOf+"}")

	// Where downgrades are allowed, the command does it.
	x.Kubectl(t, "patch", "component/app", "-n", x.ns, "--type=merge", "-p", `{"spec":{"downgradePolicy":"Allow"}}`)
	command("--to", "1")
	x.is(t, "1.0.0", "configmap/rollback", ".data.version")
	x.becomes(t, "1.0.0", "deployer/rollback", "jsonpath={"+versionOf+"}")
}

// ocmController runs a command of people.
func (s *site) ocmController(t *testing.T, args ...string) string {
	t.Helper()
	p := s.Program(t, program(t, "ocm-controller"), nil, append(args, "--kubeconfig="+s.AdminKubeconfig())...)
	<-p.Ended()
	return p.Log()
}

func configurationChanges(t *testing.T, s *site) {
	x := s.team(t, "config", "")
	x.deliver(t, "1.0.0", greetings(t, "1.0.0"))
	x.follow(t, "", "1.0.0", "chart")
	values := func(greeting string) {
		t.Helper()
		x.Apply(t, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: values}, data: {values.yaml: %q}}", "greeting: "+greeting), "-n", x.ns)
	}
	values("one")
	x.Apply(t, x.deploying("config", "chart", "valuesFrom: [{kind: ConfigMap, name: values}]"))
	x.is(t, "one", "configmap", `.items[?(@.metadata.name=="config")].data.greeting`)
	x.wait(t, "Ready", "deployer/config", "")
	values("two")
	x.is(t, "two", "configmap/config", ".data.greeting")
	x.becomes(t, "2 1.0.0", "deployer/config", "jsonpath={.status.revision} {"+versionOf+"}")
}

// deletionInEveryOrder asks for the deletion of four objects in all 24 orders.
func deletionInEveryOrder(t *testing.T, s *site) {
	x := s.team(t, "orders", "")
	x.deliver(t, "1.0.0", yamls("all", settings("gone", "x")))
	var all, deployers strings.Builder
	const orders = 24
	for i := range orders {
		all.WriteString(x.following(fmt.Sprint(i), "1.0.0", "all") + "---\n")
		deployers.WriteString(fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: orders-%d}}\n---\n", i))
		deployers.WriteString(x.deploying(fmt.Sprintf("orders-%d", i), fmt.Sprintf("all%d", i), fmt.Sprintf("targetNamespace: orders-%d", i)))
	}
	x.Kubectl(t, "create", "clusterrolebinding", "orders", "--clusterrole=admin", "--serviceaccount=orders:deployer")
	x.Apply(t, all.String(), "-n", x.ns)
	x.Apply(t, deployers.String())
	names := make([]string, orders)
	for i := range orders {
		names[i] = fmt.Sprintf("deployer/orders-%d", i)
	}
	x.Kubectl(t, append([]string{"wait", "--for=condition=Ready", "--timeout=110s"}, names...)...)
	for i, order := range permutations([]string{"repository/repo", "component/app", "resource/all", "deployer/orders-"}) {
		args := []string{"delete", "--wait=false", "-n", x.ns}
		for _, o := range order {
			args = append(args, fmt.Sprintf("%s%d", o, i))
		}
		x.Kubectl(t, args...)
	}
	cluster.Eventually(t, 90*time.Second, func() error {
		left := x.Kubectl(t, "get", "repositories,components,resources.delivery.ocm.software", "-n", x.ns, "-o", "name")
		for line := range strings.Lines(x.Kubectl(t, "get", "deployers", "-o", "name")) {
			if strings.Contains(line, "/orders-") {
				left += line
			}
		}
		if left != "" {
			return fmt.Errorf("still there:\n%s", left)
		}
		return nil
	})
	if left := x.Kubectl(t, "get", "configmaps", "-A", "--field-selector=metadata.name=gone", "-o", "name"); left != "" {
		t.Errorf("not pruned: %s", left)
	}
}

func permutations(all []string) [][]string {
	if len(all) == 0 {
		return [][]string{nil}
	}
	var found [][]string
	for i := range all {
		rest := append(append([]string{}, all[:i]...), all[i+1:]...)
		for _, p := range permutations(rest) {
			found = append(found, append([]string{all[i]}, p...))
		}
	}
	return found
}

func registryIsAway(t *testing.T, s *site) {
	x := s.team(t, "away", "")
	x.deliver(t, "1.0.0", yamls("all", settings("kept", "1.0.0")))
	x.deliver(t, "1.1.0", yamls("all", settings("kept", "1.1.0")))
	x.follow(t, "", "1.0.0", "all")
	x.Apply(t, x.deploying("away", "all", ""))
	x.wait(t, "Ready", "deployer/away", "")
	closed := time.Now()
	x.close()
	x.look(t, "repository/repo", "-n", x.ns)
	x.wait(t, "Ready=False", "repository/repo", x.ns)
	x.want(t, "1.1.0")
	x.wait(t, "Ready=False", "component/app", x.ns)
	if v := x.get(t, "component/app", ".status.verification.verdict"); v != string(v1alpha1.Verified) {
		t.Errorf("a registry that is away makes the verdict %q", v)
	}

	// What runs is looked after.
	x.Kubectl(t, "delete", "configmap/kept", "-n", x.ns)
	x.is(t, "1.0.0", "configmap", `.items[?(@.metadata.name=="kept")].data.value`)

	time.Sleep(time.Until(closed.Add(time.Minute))) // attempts are made, and pauses grow
	x.open(t)
	x.is(t, "1.1.0", "configmap/kept", ".data.value") // by itself
	for _, o := range []string{"repository/repo", "component/app", "resource.delivery.ocm.software/all"} {
		x.wait(t, "Ready", o, x.ns)
	}
	x.wait(t, "Ready", "deployer/away", "")
}

func signatureTurnsInvalid(t *testing.T, s *site) {
	x := s.team(t, "signature", "")
	x.deliver(t, "1.0.0", yamls("all", settings("kept", "genuine")))
	x.follow(t, "", "1.0.0", "all")
	x.Apply(t, x.deploying("signature", "all", ""))
	x.wait(t, "Ready", "deployer/signature", "")

	x.newKeys(t) // of somebody else
	x.deliver(t, "1.0.0", yamls("all", settings("kept", "forged")+settings("evil", "x")))
	x.look(t, "component/app", "-n", x.ns)
	x.is(t, string(v1alpha1.Refused), "component/app", ".status.verification.verdict")
	x.is(t, v1alpha1.ReasonVerificationFailed, "component/app", reasonOf)
	x.wait(t, "Ready=False", "deployer/signature", "")
	x.Apply(t, x.deploying("signature-late", "all", "targetNamespace: signature"))
	x.wait(t, "Ready=False", "deployer/signature-late", "")
	x.look(t, "deployer/signature", "deployer/signature-late", "resource.delivery.ocm.software/all", "-n", x.ns)
	cluster.Eventually(t, time.Minute, func() error {
		if m := x.Kubectl(t, "get", "deployer/signature-late", "-o", "jsonpath={"+reasonOf+"}"); m == v1alpha1.ReasonProgressing || m == v1alpha1.ReasonResolutionInProgress || m == "" {
			return fmt.Errorf("not settled: %s", m)
		}
		return nil
	})
	x.not(t, "configmap/evil")
	if v := x.get(t, "configmap/kept", ".data.value"); v != "genuine" {
		t.Errorf("what ran became %q", v)
	}
	if n := x.Kubectl(t, "get", "deployer/signature-late", "-o", "jsonpath={.status.deployed}"); n != "" {
		t.Errorf("a Deployer that came late has %s", n)
	}
}

func tenantsAreApart(t *testing.T, s *site) {
	a, b := s.team(t, "tenant-a", "of tenant a"), s.team(t, "tenant-b", "")
	a.deliver(t, "1.0.0", greetings(t, "1.0.0"))
	a.follow(t, "", "1.0.0", "chart")
	a.Apply(t, a.deploying("tenant-a", "chart", ""))
	a.Apply(t, "{apiVersion: v1, kind: Secret, metadata: {name: only-a}, stringData: {values.yaml: 'greeting: secret of a', default: x}}", "-n", a.ns)
	a.wait(t, "Ready", "deployer/tenant-a", "")

	// The registry of a, whose answers are in the memory of the controller: by no name, and with no Secret of a.
	const repo = "{apiVersion: delivery.ocm.software/v1alpha1, kind: Repository, metadata: {name: %s}, spec: {interval: 10m, repositorySpec: {type: OCIRegistry, baseUrl: 'http://%s'}%s}}\n---\n"
	const comp = "{apiVersion: delivery.ocm.software/v1alpha1, kind: Component, metadata: {name: %s}, spec: {repositoryRef: {name: %s}, component: acme.org/app, semver: 1.0.0, interval: 10m, ocmConfig: [{apiVersion: delivery.ocm.software/v1alpha1, kind: Repository, name: %[2]s}], verify: [{signature: default, %s}]}}\n---\n"
	value := "value: " + strings.TrimSpace(a.Kubectl(t, "get", "secret/keys", "-n", a.ns, "-o", "jsonpath={.data.default}"))
	b.Apply(t, fmt.Sprintf(repo, "thief", a.address, "")+fmt.Sprintf(comp, "thief", "thief", value)+
		fmt.Sprintf(repo, "borrower", a.address, ", ocmConfig: [{kind: Secret, name: login, namespace: tenant-a}]")+
		fmt.Sprintf(repo, "heir", a.address, ", ocmConfig: [{apiVersion: delivery.ocm.software/v1alpha1, kind: Repository, name: repo, namespace: tenant-a}]")+
		fmt.Sprintf(repo, "own", b.address, "")+fmt.Sprintf(comp, "foreign-key", "own", "secretRef: {name: only-a}"), "-n", b.ns)
	for _, o := range []string{"repository/thief", "repository/borrower", "repository/heir", "component/thief", "component/foreign-key"} {
		cluster.Eventually(t, 90*time.Second, func() error {
			if got := b.get(t, o, reasonOf); got == "" || got == v1alpha1.ReasonResolutionInProgress || got == v1alpha1.ReasonSucceeded {
				return fmt.Errorf("%s: reason %q\n%s", o, got, b.Kubectl(t, "get", o, "-n", b.ns, "-o", "yaml"))
			}
			return nil
		})
	}
	if v := b.get(t, "component/thief", ".status.component"); v != "" {
		t.Errorf("a component of a was resolved for b: %s", v)
	}

	// Objects and Secrets of a, by a Deployer of b.
	b.deliver(t, "1.0.0", greetings(t, "1.0.0"), yamls("intruder", "{apiVersion: v1, kind: ConfigMap, metadata: {name: intruder, namespace: tenant-a}}\n---\n"+settings("beside", "x")),
		part{"reader", "helmChart", "application/vnd.cncf.helm.chart.content.v1.tar+gzip", chart(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: read}, data: {read: {{ (lookup "v1" "Secret" "tenant-a" "only-a").data | toJson | quote }}}}`, "").text})
	b.follow(t, "", "1.0.0", "chart", "intruder", "reader")
	b.Apply(t, b.deploying("tenant-b-intruder", "intruder", "")+b.deploying("tenant-b-target", "chart", "targetNamespace: tenant-a, releaseName: target")+
		b.deploying("tenant-b-values", "chart", "valuesFrom: [{kind: Secret, name: only-a}]")+b.deploying("tenant-b-reader", "reader", ""))
	b.becomes(t, v1alpha1.ReasonForbidden, "deployer/tenant-b-intruder", "jsonpath={"+reasonOf+"}")
	b.becomes(t, v1alpha1.ReasonForbidden, "deployer/tenant-b-target", "jsonpath={"+reasonOf+"}")
	b.becomes(t, v1alpha1.ReasonInvalidSpec, "deployer/tenant-b-values", "jsonpath={"+reasonOf+"}")
	cluster.Eventually(t, 90*time.Second, func() error {
		switch got := b.Kubectl(t, "get", "deployer/tenant-b-reader", "-o", "jsonpath={"+reasonOf+"}"); got {
		case v1alpha1.ReasonForbidden, v1alpha1.ReasonRenderFailed:
			return nil
		default:
			return fmt.Errorf("the reader: %s", got)
		}
	})
	for _, o := range []string{"configmap/intruder", "configmap/target"} {
		a.not(t, o)
	}
	b.not(t, "configmap/beside")
	b.not(t, "configmap/read")
	if out := b.Kubectl(t, "get", "repositories,components,deployers", "-A", "-o", "yaml"); strings.Contains(out, "secret of a") || strings.Contains(out, "of tenant a") {
		t.Error("a secret is in a status")
	}
}

// Hostile manifests are refused by RBAC, as a whole.
func hostileManifests(t *testing.T, s *site) {
	x := s.team(t, "hostile", "")
	const roles = "{apiVersion: rbac.authorization.k8s.io/v1, kind: %s, metadata: {name: hostile}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: deployer, namespace: hostile}]}\n---\n"
	x.deliver(t, "1.0.0", yamls("binding", settings("beside", "x")+fmt.Sprintf(roles, "ClusterRoleBinding")),
		yamls("role", settings("beside", "x")+fmt.Sprintf(roles, "RoleBinding")),
		yamls("webhook", settings("beside", "x")+"{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: hostile}}\n"),
		yamls("system", settings("beside", "x")+"{apiVersion: v1, kind: ConfigMap, metadata: {name: hostile, namespace: kube-system}}\n"))
	x.follow(t, "", "1.0.0", "binding", "role", "webhook", "system")
	for _, name := range []string{"binding", "role", "webhook", "system"} {
		x.Apply(t, x.deploying("hostile-"+name, name, ""))
	}
	// Nobody is named: the identity of the installation has no rights.
	x.Apply(t, strings.Replace(x.deploying("hostile-nobody", "system", ""), ", serviceAccountName: deployer", "", 1))
	for _, name := range []string{"binding", "role", "webhook", "system", "nobody"} {
		x.becomes(t, v1alpha1.ReasonForbidden, "deployer/hostile-"+name, "jsonpath={"+reasonOf+"}")
	}
	x.not(t, "clusterrolebinding/hostile")
	x.not(t, "rolebinding/hostile")
	x.not(t, "validatingwebhookconfiguration/hostile")
	x.not(t, "configmap/beside")
	if m := x.Kubectl(t, "get", "deployer/hostile-binding", "-o", "jsonpath={"+messageOf+"}"); !strings.Contains(m, "hostile:deployer") || !strings.Contains(strings.ToLower(m), "clusterrolebinding") {
		t.Errorf("the condition does not say who may not do what: %s", m)
	}
}

// zeros compress well.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func bombs(t *testing.T, s *site) {
	x := s.team(t, "bombs", "")
	as := func(name string, p part) part { p.name = name; return p }
	large := archive(t, map[string]io.Reader{"web/Chart.yaml": strings.NewReader("{apiVersion: v2, name: web, version: 1.0.0}"),
		"web/files/large": io.LimitReader(zeros{}, 80<<20)})
	x.deliver(t, "1.0.0", as("endless", chart(t, "{{ range until 2000000000 }}{{ range until 2000000000 }}{{ end }}{{ end }}", "")),
		as("deep", chart(t, `{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}`, "")),
		as("wide", chart(t, `a: {{ repeat 1000000000 "aaaaaaaaaaaaaaaa" }}`, "")),
		part{"large", "helmChart", "application/vnd.cncf.helm.chart.content.v1.tar+gzip", large},
		yamls("laughs", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n"),
		yamls("harmless", settings("harmless", "x")))
	names := []string{"endless", "deep", "wide", "large", "laughs"}
	x.follow(t, "", "1.0.0", append(names, "harmless")...)
	for _, name := range append(names, "harmless") {
		x.Apply(t, x.deploying("bombs-"+name, name, ""))
	}
	x.wait(t, "Ready", "deployer/bombs-harmless", "") // nobody else is held up
	for _, name := range names {
		x.becomes(t, v1alpha1.ReasonRenderFailed, "deployer/bombs-"+name, "jsonpath={"+reasonOf+"}")
	}
}

func switches(t *testing.T, s *site) {
	x := s.team(t, "switches", "")
	secret := "{apiVersion: v1, kind: Secret, metadata: {name: hidden}, stringData: {password: correct-horse-%s}}\n---\n"
	x.deliver(t, "1.0.0", yamls("all", settings("switches", "1.0.0")+fmt.Sprintf(secret, "old")), yamls("first", settings("first", "1")))
	x.deliver(t, "1.1.0", yamls("all", settings("switches", "1.1.0")+fmt.Sprintf(secret, "new")), yamls("first", settings("first", "1")))
	x.follow(t, "", "1.0.0", "all", "first")

	// It waits for one that is not there yet.
	x.Apply(t, x.deploying("switches", "all", "dependsOn: [{name: switches-first}]"))
	x.becomes(t, v1alpha1.ReasonDependencyNotReady, "deployer/switches", "jsonpath={"+reasonOf+"}")
	x.not(t, "configmap/switches")
	x.Apply(t, x.deploying("switches-first", "first", ""))
	x.wait(t, "Ready", "deployer/switches", "")

	// A dry run tells the difference, without secrets, and changes nothing.
	x.change(t, "switches", `{"dryRun":true}`)
	x.want(t, "1.1.0")
	cluster.Eventually(t, time.Minute, func() error {
		diff := x.Kubectl(t, "get", "deployer/switches", "-o", "jsonpath={.status.diff}")
		if !strings.Contains(diff, "1.1.0") || !strings.Contains(diff, "hidden") {
			return fmt.Errorf("the difference: %s", diff)
		}
		for _, hidden := range []string{"correct", "horse", "Y29ycmVjdC1ob3JzZS"} {
			if strings.Contains(diff, hidden) {
				t.Fatalf("a secret is in the difference:\n%s", diff)
			}
		}
		return nil
	})
	x.becomes(t, v1alpha1.ReasonDryRun, "deployer/switches", "jsonpath={"+reasonOf+"}")
	if v := x.get(t, "configmap/switches", ".data.value"); v != "1.0.0" {
		t.Errorf("a dry run has deployed %s", v)
	}

	// Suspended, nothing is done: the other Deployer of the site goes on meanwhile.
	x.change(t, "switches", `{"dryRun":false,"suspend":true}`)
	x.Kubectl(t, "delete", "configmap/switches", "configmap/first", "-n", x.ns)
	x.is(t, "1", "configmap", `.items[?(@.metadata.name=="first")].data.value`)
	x.not(t, "configmap/switches")
	x.change(t, "switches", `{"suspend":false}`)
	x.is(t, "1.1.0", "configmap", `.items[?(@.metadata.name=="switches")].data.value`)
	x.wait(t, "Ready", "deployer/switches", "")
}

// Every wrong reference, missing Secret and malformed spec ends in a condition that names the field.
func badInput(t *testing.T, s *site) {
	x := s.team(t, "bad", "")
	x.deliver(t, "1.0.0", greetings(t, "1.0.0"), yamls("broken", "{a: b"))
	x.follow(t, "", "1.0.0", "chart", "missing", "broken")
	x.Apply(t, x.deploying("bad-broken", "broken", "")+x.deploying("bad-values", "chart", "valuesFrom: [{kind: ConfigMap, name: absent}]")+
		x.deploying("bad-expression", "chart", "valueExpressions: {a: resource.nothing.of.it}")+
		x.deploying("bad-resource", "absent", "")+strings.Replace(x.deploying("bad-account", "chart", ""), "serviceAccountName: deployer", "serviceAccountName: absent", 1)+
		x.deploying("bad-image", "chart", "localization: [{name: x, resource: {resource: {name: absent}}, values: [{path: a}]}]"))
	for name, want := range map[string]string{"bad-broken": "broken", "bad-values": "spec.valuesFrom[0]", "bad-expression": "spec.valueExpressions",
		"bad-resource": "spec.resourceRef", "bad-account": "bad:absent", "bad-image": "spec.localization[0]"} {
		cluster.Eventually(t, 90*time.Second, func() error {
			if got := x.Kubectl(t, "get", "deployer/"+name, "-o", "jsonpath={"+messageOf+"}"); !strings.Contains(got, want) {
				return fmt.Errorf("%s: expected %q, found %q", name, want, got)
			}
			return nil
		})
	}
	cluster.Eventually(t, 90*time.Second, func() error {
		if got := x.get(t, "resource.delivery.ocm.software/missing", messageOf); !strings.Contains(got, "missing") || !strings.Contains(got, "spec.resource") {
			return fmt.Errorf("the Resource says %q", got)
		}
		return nil
	})
}

// A namespace is deleted with all that is in it, the account that deploys among them; the Deployer goes later.
func namespaceGoesFirst(t *testing.T, s *site) {
	x := s.team(t, "leaving", "")
	x.deliver(t, "1.0.0", yamls("all", settings("all", "x")))
	x.follow(t, "", "1.0.0", "all")
	x.Apply(t, x.deploying("leaving", "all", ""))
	x.wait(t, "Ready", "deployer/leaving", "")
	x.Kubectl(t, "delete", "namespace", x.ns, "--wait=false")
	x.Kubectl(t, "wait", "--for=delete", "--timeout=60s", "rolebinding/deployer", "-n", x.ns)
	x.Kubectl(t, "delete", "deployer/leaving", "--wait=false")
	x.Kubectl(t, "wait", "--for=delete", "--timeout=90s", "deployer/leaving", "namespace/"+x.ns)
}
