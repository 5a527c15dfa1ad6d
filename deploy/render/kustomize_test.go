// SPDX-License-Identifier: Apache-2.0

package render

import (
	"strings"
	"testing"

	"ocm"
	"ocm/deploy/v1alpha1"
)

func TestKustomization(t *testing.T) {
	t.Parallel()
	content := archived(t, map[string]string{
		"base/kustomization.yaml": "resources: [deployment.yaml, sub]\nconfigMapGenerator: [{name: conf, files: [conf.txt, other=conf.txt], literals: [a=b], envs: [env]}]\n",
		"base/deployment.yaml":    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: web, image: nginx, envFrom: [{configMapRef: {name: conf}}]}]}}}\n",
		"base/conf.txt":           "text", "base/env": "x=y\nPATH\nHOME\n",
		"base/sub/kustomization.yml":    "resources: [a.yaml]\n",
		"base/sub/a.yaml":               cm("sub"),
		"overlays/p/Kustomization":      "namePrefix: p-\nnamespace: prod\nresources: [../../base]\ncomponents: [../../extra]\nimages: [{name: nginx, newName: r.example/nginx, digest: 'sha256:aa'}]\npatches:\n- {target: {kind: Deployment}, path: patch.yaml}\n- patch: |-\n    - {op: add, path: /metadata/labels, value: {inline: patch}}\n  target: {kind: Deployment}\n",
		"overlays/p/patch.yaml":         "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 7}\n",
		"extra/kustomization.yaml":      "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\ntransformers:\n- |-\n  apiVersion: builtin\n  kind: AnnotationsTransformer\n  metadata: {name: x}\n  annotations: {by: plugin}\n  fieldSpecs: [{path: metadata/annotations, create: true}]\n",
		"unused/kustomization.yaml":     "helmCharts: [{name: a}]\n",
		"unused/kustomization.txt.yaml": "",
	})
	r, err := renderBytes(t, content, Options{Path: "overlays/p"})
	if err != nil {
		t.Fatal(err)
	}
	text := textOf(t, r.Objects)
	if r.Format != v1alpha1.FormatKustomize || len(r.Objects) != 3 {
		t.Errorf("found %s %s", r.Format, names(r.Objects))
	}
	for _, part := range []string{"name: p-web", "namespace: prod", "replicas: 7", "r.example/nginx@sha256:aa", "inline: patch", "by: plugin", "name: p-conf-", "name: p-sub", "x: \"y\"", "other: text", "PATH: \"\"", "HOME: \"\""} {
		if !strings.Contains(text, part) {
			t.Errorf("expected %q in\n%s", part, text)
		}
	}
}

// What is refused before anything runs names file and field.
func TestKustomizationsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, says string }{
		"helm charts":            {"helmCharts: [{name: a, repo: 'https://127.0.0.1:1'}]", "kustomization.yaml: helmCharts"},
		"helm charts by plugin":  {"helmChartInflationGenerator: [{chartName: a}]", "helmChartInflationGenerator"},
		"helm globals":           {"helmGlobals: {chartHome: a}", "helmGlobals"},
		"a builtin that runs":    {"generators: ['{apiVersion: builtin, kind: HelmChartInflationGenerator, metadata: {name: a}}\n']", "generators[0]"},
		"an exec plugin":         {"generators: [plugin.yaml]", "generators[0]: plugin example.org/v1 Exec"},
		"an inline exec plugin":  {"transformers: [\"apiVersion: example.org/v1\\nkind: Exec\\nmetadata: {name: a}\\n\"]", "transformers[0]"},
		"a function":             {"validators: [\"apiVersion: builtin\\nkind: X\\nmetadata: {name: a, annotations: {config.kubernetes.io/function: 'exec: {path: /bin/true}'}}\\n\"]", "config.kubernetes.io/function"},
		"git":                    {"resources: ['git@github.com:a/b']", "resources[0]"},
		"git with a query":       {"resources: ['https://github.com/a/b?ref=geheim']", "resources[0]"},
		"github":                 {"resources: [github.com/a/b]", "elsewhere"},
		"a file of the machine":  {"resources: [/etc/passwd]", "not in the content"},
		"a file above":           {"resources: [../../../../etc/passwd]", "not in the content"},
		"a directory above":      {"resources: [../..]", "resources[0]"},
		"data of the machine":    {"secretGenerator: [{name: a, files: [/var/run/secrets/kubernetes.io/serviceaccount/token]}]", "secretGenerator[0].files[0]"},
		"data by a name":         {"configMapGenerator: [{name: a, files: [token=/var/run/secrets/kubernetes.io/serviceaccount/token]}]", "configMapGenerator[0].files[0]"},
		"an absent file":         {"resources: [absent.yaml]", `"absent.yaml" is not in the content`},
		"no kustomization there": {"resources: [dir]", "no kustomization.yaml"},
		"itself":                 {"resources: [.]", ""},
		"no list of texts":       {"resources: [{a: b}]", "resources[0]: expected a text"},
		"no object":              {"[a]", "expected an object"},
		"two documents":          {"resources: [a.yaml]\n---\nresources: [b]", "one document"},
		"no YAML":                {"a: [", "kustomization.yaml"},
		"an unknown field":       {"resourcez: [a.yaml]", ""},
		"nothing":                {"namePrefix: a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := renderBytes(t, archived(t, map[string]string{"kustomization.yaml": test.text + "\n", "a.yaml": cm("a"), "dir/x.yaml": cm("b"),
				"plugin.yaml": "apiVersion: example.org/v1\nkind: Exec\nmetadata: {name: a}\n"}), Options{})
			want(t, err, ocm.ErrInvalid, test.says)
			if strings.Contains(err.Error(), "geheim") {
				t.Error(err)
			}
		})
	}
}

// A file above the directory of a kustomization is not its own, as with kubectl.
func TestKustomizationReadsNoFilesAboveIt(t *testing.T) {
	t.Parallel()
	_, err := renderBytes(t, archived(t, map[string]string{"a/kustomization.yaml": "resources: [../b.yaml]\n", "b.yaml": cm("b")}), Options{Path: "a"})
	want(t, err, ocm.ErrInvalid, "b.yaml")
}

// Functions in the objects themselves are data, and nothing is run for them.
func TestKustomizationRunsNoFunctions(t *testing.T) {
	t.Parallel()
	object := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {config.kubernetes.io/function: \"exec: {path: /bin/true}\"}}\n"
	r, err := renderBytes(t, archived(t, map[string]string{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": object}), Options{})
	if err != nil || len(r.Objects) != 1 {
		t.Error(err)
	}
}

func FuzzKustomize(f *testing.F) {
	f.Add("resources: [a.yaml]\n", cm("a"))
	f.Add("resources: [.]\npatches: [{path: a.yaml}]\nconfigMapGenerator: [{name: a, files: [b=a.yaml]}]\n", "- op: add\n")
	f.Add("transformers: [a.yaml]\nreplacements: [{path: a.yaml}]\n", "apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: a}\nprefix: x\n")
	f.Add("vars: [{name: A, objref: {kind: X, name: a}}]\nimages: [{name: a}]\nreplicas: [{name: a, count: 1}]\nlabels: [{pairs: {a: b}}]\n", "{}")
	f.Fuzz(func(t *testing.T, text, other string) {
		all := files{"kustomization.yaml": []byte(text), "a.yaml": []byte(other)}
		if checkKustomizations(all, "") != nil {
			return
		}
		a := do(task{Kustomize: &kustomizeTask{all, ""}}, nil)
		var p parser
		_ = p.add(a.Documents)
	})
}

// An archive that has files under the names of addresses gets nothing loaded from there.
func TestKustomizationWithFilesThatLookLikeAddresses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"resources: ['https://127.0.0.1:1/x.yaml']", "resources: ['HTTP:x.yaml']", "resources: [github.com/a/b]", "resources: ['git@host:a']",
		"configMapGenerator: [{name: a, files: [b=https://127.0.0.1:1/x.yaml]}]", "patches: [{path: 'https://127.0.0.1:1/x.yaml'}]"} {
		all := files{"kustomization.yaml": []byte(text)}
		for _, name := range []string{"https:/127.0.0.1:1/x.yaml", "HTTP:x.yaml", "github.com/a/b/kustomization.yaml", "git@host:a/kustomization.yaml"} {
			all[name] = []byte("resources: []\n")
		}
		want(t, checkKustomizations(all, ""), ocm.ErrInvalid, "elsewhere")
	}
}
