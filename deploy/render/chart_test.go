// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"ocm"
)

const crdThing = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec: {group: example.org, names: {kind: Thing, plural: things}, scope: Namespaced, versions: [{name: v1, served: true, storage: true}, {name: v2, served: false, storage: false}]}
`

func rendered(t *testing.T, contents map[string]string, o Options) *Result {
	t.Helper()
	r, err := renderBytes(t, chartArchive(t, contents), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestChartIsRenderedAsHelmDoes(t *testing.T) {
	t.Parallel()
	r := rendered(t, map[string]string{
		"values.yaml":           "a: {b: 1, c: 2}\nsub: {text: parent}\nglobal: {g: all}\n",
		"templates/z.yaml":      cm(`z-{{ .Values.a.b }}-{{ .Values.a.c }}-{{ .Release.Name }}-{{ .Release.Namespace }}-{{ .Release.Revision }}-{{ .Release.IsInstall }}-{{ .Release.Service }}`),
		"templates/a.yaml":      `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}`,
		"templates/s.yaml":      `{apiVersion: v1, kind: ServiceAccount, metadata: {name: s}}`,
		"templates/_x.tpl":      `{{ define "x" }}no{{ end }}`,
		"templates/empty.yaml":  "{{ if .Values.absent }}" + cm("no") + "{{ end }}",
		"templates/NOTES.txt":   "Thank you, {{ .Release.Name }}, for {{ .Chart.Name }}",
		"templates/list.yaml":   "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Secret, metadata: {name: one}}]\n",
		"templates/crd.yaml":    `{{ if and (.Capabilities.APIVersions.Has "example.org/v1/Thing") (not (.Capabilities.APIVersions.Has "example.org/v2")) }}` + cm("knows-crd") + "{{ end }}",
		"crds/thing.yaml":       crdThing,
		"Chart.yaml":            "apiVersion: v2\nname: web\nversion: 1.2.3\nappVersion: 4.5.6\ndependencies: [{name: sub, version: 1.x, repository: https://127.0.0.1:1/}, {name: extra, version: 1.x, condition: extra.enabled, repository: ''}]\n",
		"charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n", "charts/sub/values.yaml": "text: own\nmore: own\n",
		"charts/sub/templates/s.yaml": cm("sub-{{ .Values.text }}-{{ .Values.more }}-{{ .Values.global.g }}"),
		"charts/extra/Chart.yaml":     "apiVersion: v2\nname: extra\nversion: 1.0.0\n", "charts/extra/templates/s.yaml": cm("extra"),
		"charts/extra/values.yaml": "enabled: false\n",
		"templates/hook.yaml":      `{apiVersion: batch/v1, kind: Job, metadata: {name: late, annotations: {helm.sh/hook: post-install, helm.sh/hook-weight: "2", helm.sh/hook-delete-policy: "hook-succeeded,hook-failed"}}}`,
		"templates/hook2.yaml":     `{apiVersion: batch/v1, kind: Job, metadata: {name: early, annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-weight: "-2"}}}`,
		"templates/test.yaml":      `{apiVersion: v1, kind: Pod, metadata: {name: test, annotations: {helm.sh/hook: test}}}`,
	}, Options{ReleaseName: "rel", Namespace: "ns", Revision: 3, Values: map[string]any{"a": map[string]any{"c": "x"}}})
	const objects = "ServiceAccount/s ConfigMap/sub-parent-own-all ConfigMap/knows-crd ConfigMap/z-1-x-rel-ns-3-false-Helm Deployment/d Secret/one"
	if found := names(r.Objects); found != objects {
		t.Errorf("expected %s\nfound    %s", objects, found)
	}
	if names(r.CRDs) != "CustomResourceDefinition/things.example.org" {
		t.Errorf("found %s", names(r.CRDs))
	}
	var hooks []string
	for _, h := range r.Hooks {
		hooks = append(hooks, fmt.Sprintf("%s %v %d %v", h.Object.GetName(), h.Events, h.Weight, h.Delete))
	}
	if found := strings.Join(hooks, "; "); found != "early [pre-install pre-upgrade] -2 [before-hook-creation]; late [post-install] 2 [hook-succeeded hook-failed]" {
		t.Errorf("found %s", found)
	}
	if rel := r.Release; rel.Notes != "Thank you, rel, for web" || rel.Chart != "web" || rel.ChartVersion != "1.2.3" || rel.AppVersion != "4.5.6" || rel.Name != "rel" || rel.Namespace != "ns" {
		t.Errorf("found %+v", r.Release)
	}
	for _, u := range r.Objects {
		if u.GetLabels()[labelManagedBy] != "Helm" || u.GetAnnotations()[annotationReleaseName] != "rel" || u.GetAnnotations()[annotationReleaseSpace] != "ns" {
			t.Errorf("helm would not know %s", describe(u))
		}
	}
}

func TestChartsThatAreRefused(t *testing.T) {
	t.Parallel()
	good := map[string]string{"templates/a.yaml": cm("a")}
	for name, test := range map[string]struct {
		files map[string]string
		o     Options
		says  string
	}{
		"a library":               {map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\ntype: library\n"}, Options{}, "library"},
		"another Kubernetes":      {map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\nkubeVersion: '>=1.99.0'\n"}, Options{}, ">=1.99.0"},
		"a missing dependency":    {map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: sub, version: 1.x, repository: 'https://127.0.0.1:1'}]\n"}, Options{}, `"sub"`},
		"no version":              {map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\n"}, Options{}, "version"},
		"no objects":              {map[string]string{"templates/a.yaml": ""}, Options{}, "no objects"},
		"no YAML":                 {map[string]string{"templates/a.yaml": "a: ["}, Options{}, "templates/a.yaml"},
		"no name":                 {map[string]string{"templates/a.yaml": "apiVersion: v1\nkind: X\n"}, Options{}, "templates/a.yaml"},
		"an error":                {map[string]string{"templates/a.yaml": `{{ fail "not like this" }}`}, Options{}, "not like this"},
		"no template":             {map[string]string{"templates/a.yaml": `{{ `}, Options{}, "templates/a.yaml"},
		"two of one":              {map[string]string{"templates/a.yaml": cm("a"), "templates/b.yaml": cm("a")}, Options{}, "second time"},
		"a release name":          {good, Options{ReleaseName: "A_b"}, "spec.releaseName"},
		"a long release name":     {good, Options{ReleaseName: strings.Repeat("a", 54)}, "spec.releaseName"},
		"environment":             {map[string]string{"templates/a.yaml": `{{ env "PATH" }}`}, Options{}, `"env" not defined`},
		"expanded environment":    {map[string]string{"templates/a.yaml": `{{ expandenv "$PATH" }}`}, Options{}, `"expandenv" not defined`},
		"CVE-2025-55198 null":     {map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [null]\nmaintainers: [null]\n"}, Options{}, ""},
		"CVE-2022-23526 schema":   {map[string]string{"templates/a.yaml": cm("a"), "values.schema.json": `{"properties":{"a":{"$ref":"#/definitions/b"}}}`}, Options{}, "values.schema.json"},
		"CVE-2022-36055 index":    {map[string]string{"templates/a.yaml": cm("a"), "values.schema.json": `[[[[`}, Options{}, "values.schema.json"},
		"CVE-2025-55199 endless":  {map[string]string{"templates/a.yaml": cm("a"), "values.schema.json": `{"$ref":"file:///dev/zero"}`}, Options{}, "not in the chart"},
		"a schema of the machine": {map[string]string{"templates/a.yaml": cm("a"), "values.schema.json": `{"$ref":"file:///etc/passwd"}`}, Options{}, "not in the chart"},
		"a schema of a file":      {map[string]string{"templates/a.yaml": cm("a"), "values.schema.json": `{"$ref":"other.json"}`}, Options{}, "not in the chart"},
		"a schema by name":        {map[string]string{"templates/a.yaml": cm("a"), "values.schema.json": `{"$ref":"urn:example:x"}`}, Options{}, "not in the chart"},
		"a schema in itself":      {map[string]string{"templates/a.yaml": cm("a"), "values.schema.json": `{"$ref":"#"}`}, Options{}, ""},
		"values for a subchart":   {map[string]string{"templates/a.yaml": cm("a"), "charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n", "charts/sub/values.schema.json": `{}`}, Options{ReleaseName: "rel", Values: map[string]any{"sub": "x"}}, "sub"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := renderBytes(t, chartArchive(t, test.files), test.o)
			want(t, err, ocm.ErrInvalid, test.says)
		})
	}
}

// Values may be secrets, which messages do not repeat.
func TestSchemaTellsNoValues(t *testing.T) {
	t.Parallel()
	schema := `{"type":"object","required":["needed"],"additionalProperties":false,"properties":{"password":{"type":"string","pattern":"^a$","maxLength":3},"kind":{"enum":["one","two"]},"n":{"type":"integer"},"needed":{}}}`
	_, err := renderBytes(t, chartArchive(t, map[string]string{"templates/a.yaml": cm("a"), "values.schema.json": schema}),
		Options{ReleaseName: "rel", Values: map[string]any{"password": "hunter2", "kind": "hunter2", "n": "hunter2", "odd": "hunter2"}})
	want(t, err, ocm.ErrInvalid, "spec.values", `"password"`, "pattern", "maxLength", "[one two]", "expected integer, found string", `["needed"]`, `["odd"]`)
	if strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

// No chart and no kustomization reaches a server, by whatever it names one.
func TestNothingIsLoadedFromServers(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("a request for %s", r.URL) }))
	t.Cleanup(server.Close)
	for name, contents := range map[string]map[string]string{
		"schema":     {"templates/a.yaml": cm("a"), "values.schema.json": `{"$ref":"` + server.URL + `/x?token=geheim"}`},
		"metaschema": {"templates/a.yaml": cm("a"), "values.schema.json": `{"$schema":"` + server.URL + `/x?token=geheim"}`},
	} {
		_, err := renderBytes(t, chartArchive(t, contents), Options{})
		want(t, err, ocm.ErrInvalid, "not in the chart")
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, host, _ := strings.Cut(server.URL, "//")
	r := rendered(t, map[string]string{"templates/a.yaml": cm(`a{{ getHostByName "localhost" }}`)}, Options{})
	if names(r.Objects) != "ConfigMap/a" {
		t.Errorf("a name was looked up: %s", names(r.Objects))
	}
	for _, field := range []string{"resources: [%s/a.yaml]", "bases: [%s/a.yaml]", "components: [%s/a.yaml]", "crds: [%s/a.yaml]", "configurations: [%s/a.yaml]", "patches: [{path: %s/a.yaml}]",
		"patchesStrategicMerge: [%s/a.yaml]", "patchesJson6902: [{path: %s/a.yaml}]", "replacements: [{path: %s/a.yaml}]", "configMapGenerator: [{name: a, files: [%s/a.yaml]}]",
		"configMapGenerator: [{name: a, files: [x=%s/a.yaml]}]", "secretGenerator: [{name: a, envs: [%s/a.yaml]}]", "secretGenerator: [{name: a, env: %s/a.yaml}]", "openapi: {path: %s/a.yaml}",
		"generators: [%s/a.yaml]", "transformers: [%s/a.yaml]", "validators: [%s/a.yaml]", "helmCharts: [{name: a, repo: %s}]", "resources: ['git::%s/a//b?ref=c']"} {
		text := fmt.Sprintf(field, server.URL)
		_, err := renderBytes(t, archived(t, map[string]string{"kustomization.yaml": text + "\n", "a.yaml": cm("a")}), Options{})
		name, _, _ := strings.Cut(field, ":")
		want(t, err, ocm.ErrInvalid, "kustomization.yaml: "+name)
	}
	// Also where the check were to miss one, kustomize does not get through.
	_, err := run(t.Context(), task{Kustomize: &kustomizeTask{Files: files{"kustomization.yaml": []byte("resources: ['" + server.URL + "/a.yaml', 'ssh://git@" + host + "/a/b']\n")}}}, nil)
	want(t, err, ocm.ErrInvalid)
}

// api is an API server that knows very little.
func api(t *testing.T, objects map[string]string) *rest.Config {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch text, ok := objects[r.URL.Path]; {
		case r.Header.Get("Impersonate-User") != "tenant":
			http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}`, http.StatusUnauthorized)
		case text == "forbidden":
			http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"tenant cannot","reason":"Forbidden","code":403}`, http.StatusForbidden)
		case ok:
			fmt.Fprint(w, text)
		default:
			http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`, http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL, Impersonate: rest.ImpersonationConfig{UserName: "tenant"}}
}

func TestLookupIsAskedAsTheIdentity(t *testing.T) {
	t.Parallel()
	const name = "/api/v1/namespaces/ns/configmaps/"
	served := map[string]string{
		"/version": `{"major":"1","minor":"33","gitVersion":"v1.33.4-gke.1245000"}`,
		"/api":     `{"kind":"APIVersions","versions":["v1"]}`,
		"/apis":    `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`,
		"/api/v1":  `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"configmaps","kind":"ConfigMap","namespaced":true,"verbs":["get"]}]}`,
		name + "a": `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}`, name + "secret": "forbidden",
		name + "large":                     `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"` + strings.Repeat("x", maxAnswer) + `"}}`,
		"/api/v1/namespaces/ns/configmaps": `{"apiVersion":"v1","kind":"ConfigMapList","metadata":{},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]}`,
		"/api/v1/configmaps":               `{"apiVersion":"v1","kind":"ConfigMapList","metadata":{"continue":"x"},"items":[]}`,
	}
	o := Options{ReleaseName: "rel", Namespace: "ns", Cluster: api(t, served)}
	r := rendered(t, map[string]string{
		"Chart.yaml":       "apiVersion: v2\nname: web\nversion: 1.0.0\nkubeVersion: '>=1.30.0 <1.40.0'\n",
		"templates/a.yaml": cm(`{{ (lookup "v1" "ConfigMap" "ns" "a").data.k }}-{{ len (lookup "v1" "ConfigMap" "ns" "").items }}-{{ len (lookup "v1" "ConfigMap" "ns" "absent") }}-{{ len (lookup "v1" "Absent" "ns" "x") }}-{{ .Capabilities.KubeVersion.Version }}-{{ .Capabilities.APIVersions.Has "v1/ConfigMap" }}-{{ .Capabilities.APIVersions.Has "apps/v1" }}`),
	}, o)
	if found := names(r.Objects); found != "ConfigMap/v-2-0-0-v1.33.4-gke.1245000-true-false" {
		t.Errorf("found %s", found)
	}
	for call, test := range map[string]struct {
		kind error
		says string
	}{
		`"v1" "ConfigMap" "ns" "secret"`:           {ocm.ErrDenied, `"secret"`},
		`"v1" "ConfigMap" "ns" "large"`:            {ocm.ErrLimit, "more than"},
		`"v1" "ConfigMap" "" ""`:                   {ocm.ErrLimit, "more than"},
		`"a/b/c" "ConfigMap" "ns" "a"`:             {ocm.ErrInvalid, "a/b/c"},
		`"absent/v1" "ConfigMap" "ns" "a"`:         {ocm.ErrNotFound, "absent/v1"},
		`"v1" "ConfigMap" "ns" "../../secrets/a"`:  {ocm.ErrInvalid, "not a name"},
		`"v1" "ConfigMap" "../../kube-system" "a"`: {ocm.ErrInvalid, "not a name"},
	} {
		_, err := renderBytes(t, chartArchive(t, map[string]string{"templates/a.yaml": cm(`a{{ lookup ` + call + ` }}`)}), o)
		want(t, err, test.kind, test.says)
	}
	_, err := renderBytes(t, chartArchive(t, map[string]string{"templates/a.yaml": `{{ range until 2000 }}{{ lookup "v1" "Absent" "a" "b" }}{{ end }}`}), o)
	want(t, err, ocm.ErrInvalid, "lookups")
	o.Cluster = &rest.Config{Host: o.Cluster.Host}
	_, err = renderBytes(t, chartArchive(t, map[string]string{"templates/a.yaml": cm("a")}), o)
	want(t, err, ocm.ErrDenied)
}

// Without a cluster nothing is looked up, and nothing listens.
func TestLookupWithoutCluster(t *testing.T) {
	t.Parallel()
	r := rendered(t, map[string]string{"templates/a.yaml": cm(`a{{ len (lookup "v1" "Secret" "kube-system" "") }}`)}, Options{})
	if names(r.Objects) != "ConfigMap/a0" {
		t.Errorf("found %s", names(r.Objects))
	}
}

func TestClusterThatIsDown(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close()
	_, err = renderBytes(t, chartArchive(t, map[string]string{"templates/a.yaml": cm("a")}), Options{ReleaseName: "rel", Cluster: &rest.Config{Host: host}})
	if err == nil || strings.Contains(err.Error(), "invalid") {
		t.Errorf("found %v", err)
	}
}

func FuzzChart(f *testing.F) {
	f.Add("apiVersion: v2\nname: web\nversion: 1.0.0\n", cm("a"), "a: b\n", `{"type":"object"}`)
	f.Add("apiVersion: v1\nname: web\nversion: 1.0.0\ndependencies: [null]\n", `{{ include "x" . }}`, "- a\n", `{"$ref":"#/a"}`)
	f.Add("apiVersion: v2\nname: web\nversion: 1.0.0\nkubeVersion: '>1'\n", `{{ toYaml .Values }}`, "a: &a [*a]\n", `{"properties":{"a":{"pattern":"("}}}`)
	f.Fuzz(func(t *testing.T, meta, template, values, schema string) {
		if strings.Contains(template, "{{") {
			return // programs need a process of their own, which is tested otherwise
		}
		c := &chartTask{Files: files{chartFile: []byte(meta), "templates/a.yaml": []byte(template), "values.yaml": []byte(values), "values.schema.json": []byte(schema),
			"charts/sub/Chart.yaml": []byte(meta)}, Name: "rel", Values: map[string]any{"a": "b"}}
		a := do(task{Chart: c}, nil)
		if err := a.err(); err != nil {
			return
		}
		_, _ = chartResult(a, c)
	})
}

// BenchmarkChart renders a chart of 200 objects, with the process that does it.
func BenchmarkChart(b *testing.B) {
	contents := map[string]string{"values.yaml": "replicas: 2\n", "templates/_h.tpl": `{{ define "labels" }}app: {{ .Chart.Name }}{{ end }}`}
	for i := range 200 {
		contents[fmt.Sprintf("templates/%03d.yaml", i)] = fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web-%d\n  labels: {{- include \"labels\" . | nindent 4 }}\nspec:\n  replicas: {{ .Values.replicas }}\n  template:\n    spec:\n      containers: [{name: web, image: nginx}]\n", i)
	}
	content := chartArchive(b, contents)
	for b.Loop() {
		r, err := renderBytes(b, content, Options{})
		if err != nil || len(r.Objects) != 200 {
			b.Fatal(err)
		}
	}
}
