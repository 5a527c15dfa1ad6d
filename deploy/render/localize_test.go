// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/deploy/v1alpha1"
)

var here = map[string]Image{
	"web":  {Registry: "r.example:5000", Path: "team/web", Tag: "1.0", Digest: "sha256:aa"},
	"side": {Registry: "r.example:5000", Path: "side", Digest: "sha256:bb"},
	"old":  {Registry: "r.example:5000", Path: "old", Tag: "2"},
}

func TestPartsOfAnImage(t *testing.T) {
	t.Parallel()
	for p, text := range map[v1alpha1.Part]string{
		"": "r.example:5000/team/web@sha256:aa", v1alpha1.PartImage: "r.example:5000/team/web@sha256:aa", v1alpha1.PartRegistry: "r.example:5000",
		v1alpha1.PartPath: "team/web", v1alpha1.PartRepository: "r.example:5000/team/web", v1alpha1.PartTag: "1.0", v1alpha1.PartDigest: "sha256:aa", "X": "",
	} {
		if found := here["web"].Part(p); found != text {
			t.Errorf("%s: expected %q, found %q", p, text, found)
		}
	}
	if found := here["old"].Part(v1alpha1.PartImage); found != "r.example:5000/old:2" {
		t.Error(found)
	}
	if found := (Image{Registry: "r", Path: "p"}).Part(v1alpha1.PartImage); found != "" {
		t.Errorf("an image without tag and digest: %q", found)
	}
}

func values(paths ...v1alpha1.LocalizedValue) []v1alpha1.Localization {
	return []v1alpha1.Localization{{Name: "web", Values: paths}}
}

func TestSetValues(t *testing.T) {
	t.Parallel()
	v := map[string]any{"image": map[string]any{"tag": "old", "pullPolicy": "Always"}, "sidecars": []any{map[string]any{"name": "a"}}}
	err := SetValues(v, here, values(
		v1alpha1.LocalizedValue{Path: "image.repository", Part: v1alpha1.PartRepository},
		v1alpha1.LocalizedValue{Path: "image.tag", Part: v1alpha1.PartTag},
		v1alpha1.LocalizedValue{Path: "sidecars[0].image"},
		v1alpha1.LocalizedValue{Path: "sidecars[1].image"},
		v1alpha1.LocalizedValue{Path: `labels.example\.org/image.x[0][0]`, Part: v1alpha1.PartDigest},
	))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := json.Marshal(v)
	const expected = `{"image":{"pullPolicy":"Always","repository":"r.example:5000/team/web","tag":"1.0"},"labels":{"example.org/image":{"x":[["sha256:aa"]]}},` +
		`"sidecars":[{"image":"r.example:5000/team/web@sha256:aa","name":"a"},{"image":"r.example:5000/team/web@sha256:aa"}]}`
	if string(raw) != expected {
		t.Errorf("found %s", raw)
	}
}

func TestSetValuesThatDoNotFit(t *testing.T) {
	t.Parallel()
	for p, says := range map[string]string{
		"": "a key", "a..b": "a key", "a.": "a key", "[0]": "a key", "a[": "]", "a[1": "]", "a[x]": "number", "a[-1]": "number", "a[99999]": "number", "a[0]b": "a dot",
		`a\`: "backslash", "list[2]": "next one is [1]", "list[0].x": "an object", "map[0]": "a list", "map": "found an object", "text.x": "an object",
		"list[*]": "by number", "list[name=a]": "by number", strings.Repeat("a.", 40) + "a": "steps", strings.Repeat("a", 2000): "bytes",
	} {
		v := map[string]any{"list": []any{"a"}, "map": map[string]any{"a": "b"}, "text": "a"}
		err := SetValues(v, here, values(v1alpha1.LocalizedValue{Path: "fits"}, v1alpha1.LocalizedValue{Path: p}))
		want(t, err, ocm.ErrInvalid, "spec.localization[0].values[1]", says)
	}
	err := SetValues(map[string]any{}, here, []v1alpha1.Localization{{Name: "other", Values: []v1alpha1.LocalizedValue{{Path: "a"}}}})
	want(t, err, ocm.ErrInvalid, `image "other"`)
	err = SetValues(map[string]any{}, here, []v1alpha1.Localization{{Name: "side", Values: []v1alpha1.LocalizedValue{{Path: "a", Part: v1alpha1.PartTag}}}})
	want(t, err, ocm.ErrInvalid, "part Tag")
}

const workloads = `
apiVersion: v1
kind: Pod
metadata: {name: pod}
spec: {containers: [{name: a, image: nginx}, {name: b, image: "nginx:1@sha256:cc"}, {name: c, image: nginxx}], ephemeralContainers: [{name: d, image: docker.io/nginx}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: deployment}
spec: {template: {spec: {initContainers: [{name: a, image: "docker.io/library/nginx:1"}], containers: [{name: web, image: "other.example:5000/nginx:1"}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: cron}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: web, image: "index.docker.io/library/nginx"}]}}}}}
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: rollout}
spec: {image: nginx, template: {spec: {containers: [{name: web, image: nginx}]}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: text}
data: {image: nginx, containers: "image: nginx"}
`

func objectsOf(t testing.TB, text string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := manifests(t.Context(), files{"": []byte(text)}, "")
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func textOf(t *testing.T, objects []*unstructured.Unstructured) string {
	t.Helper()
	var out []string
	for _, u := range objects {
		raw, err := yaml.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(raw))
	}
	return strings.Join(out, "---\n")
}

// Images of containers are replaced wherever a pod is described, and nothing else is changed.
func TestReplaces(t *testing.T) {
	t.Parallel()
	objects := objectsOf(t, workloads)
	if err := Localize(objects, here, []v1alpha1.Localization{{Name: "web", Replaces: []string{"nginx"}}}); err != nil {
		t.Fatal(err)
	}
	expected := workloads
	for _, image := range []string{`"docker.io/library/nginx:1"`, `"index.docker.io/library/nginx"`, `"nginx:1@sha256:cc"`, "docker.io/nginx"} {
		expected = strings.ReplaceAll(expected, "image: "+image+"}", "image: r.example:5000/team/web@sha256:aa}")
	}
	expected = strings.ReplaceAll(expected, "image: nginx}", "image: r.example:5000/team/web@sha256:aa}")
	if found, expected := textOf(t, objects), textOf(t, objectsOf(t, expected)); found != expected {
		t.Errorf("expected\n%s\nfound\n%s", expected, found)
	}
}

func TestReplacesThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, l := range [][]v1alpha1.Localization{
		{{Name: "web", Replaces: []string{""}}},
		{{Name: "web", Replaces: []string{"@sha256:aa"}}},
		{{Name: "other", Replaces: []string{"nginx"}}},
		{{Name: "web", Replaces: []string{"nginx"}}, {Name: "side", Replaces: []string{"docker.io/library/nginx"}}},
	} {
		want(t, Localize(objectsOf(t, workloads), here, l), ocm.ErrInvalid, "replaces[0]")
	}
	// Nothing is replaced: the image would be pulled from elsewhere.
	met := v1alpha1.Localization{Name: "web", Replaces: []string{"absent", "nginx"}} // one of them is enough
	err := Localize(objectsOf(t, workloads), here, []v1alpha1.Localization{met, {Name: "side", Replaces: []string{"ngnix"}}})
	want(t, err, ocm.ErrNotFound, `spec.localization[1].replaces: image "side"`, `"ngnix"`)
	if err := Localize(objectsOf(t, workloads), here, []v1alpha1.Localization{met}); err != nil {
		t.Error(err)
	}
	// What is put in is not looked for again.
	objects := objectsOf(t, `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{image: a}, {image: "r.example:5000/side:1"}]}}`)
	if err := Localize(objects, here, []v1alpha1.Localization{{Name: "side", Replaces: []string{"a"}}, {Name: "old", Replaces: []string{"r.example:5000/side"}}}); err != nil {
		t.Fatal(err)
	}
	if text := textOf(t, objects); !strings.Contains(text, "side@sha256:bb") || !strings.Contains(text, "old:2") {
		t.Error(text)
	}
}

func TestImageNames(t *testing.T) {
	t.Parallel()
	for ref, name := range map[string]string{
		"nginx": "docker.io/library/nginx", "nginx:1": "docker.io/library/nginx", "a/b": "docker.io/a/b", "docker.io/a": "docker.io/library/a",
		"localhost/a": "localhost/a", "localhost:5000/a:1": "localhost:5000/a", "r.example/a/b:1@sha256:c": "r.example/a/b", "index.docker.io/a": "docker.io/library/a",
		"": "", "a/": "", ":1": "", "@x": "",
	} {
		if found := imageName(ref); found != name {
			t.Errorf("%q: expected %q, found %q", ref, name, found)
		}
	}
}

func field(f v1alpha1.LocalizedField) []v1alpha1.Localization {
	return []v1alpha1.Localization{{Name: "web", Fields: []v1alpha1.LocalizedField{f}}}
}

func TestFields(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		field  v1alpha1.LocalizedField
		places int
	}{
		{v1alpha1.LocalizedField{Kind: "Pod", Path: "spec.containers[name=b].image"}, 1},
		{v1alpha1.LocalizedField{Kind: "Pod", Name: "pod", APIVersion: "v1", Path: "spec.containers[*].image"}, 3},
		{v1alpha1.LocalizedField{Kind: "Pod", Path: "spec.containers[0].image"}, 1},
		{v1alpha1.LocalizedField{Kind: "Rollout", Path: "spec.image"}, 1},
		{v1alpha1.LocalizedField{Kind: "Rollout", Path: "spec.newField"}, 1},
		{v1alpha1.LocalizedField{Kind: "ConfigMap", Path: `data.the\.image`}, 1},
	} {
		objects := objectsOf(t, workloads)
		if err := Localize(objects, here, field(test.field)); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(textOf(t, objects), "team/web@sha256:aa"); n != test.places {
			t.Errorf("%+v: expected %d places, found %d", test.field, test.places, n)
		}
	}
}

func TestFieldsThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		field v1alpha1.LocalizedField
		kind  error
	}{
		{v1alpha1.LocalizedField{Kind: "Pod", Path: "spec.containers[name=z].image"}, ocm.ErrNotFound},
		{v1alpha1.LocalizedField{Kind: "Pod", Path: "spec.containers[7].image"}, ocm.ErrNotFound},
		{v1alpha1.LocalizedField{Kind: "Pod", Path: "absent.image"}, ocm.ErrNotFound},
		{v1alpha1.LocalizedField{Kind: "Pod", Name: "other", Path: "spec.image"}, ocm.ErrNotFound},
		{v1alpha1.LocalizedField{Kind: "Pod", APIVersion: "v2", Path: "spec.image"}, ocm.ErrNotFound},
		{v1alpha1.LocalizedField{Kind: "Absent", Path: "spec.image"}, ocm.ErrNotFound},
		{v1alpha1.LocalizedField{Kind: "Pod", Path: "spec.containers"}, ocm.ErrInvalid},
		{v1alpha1.LocalizedField{Kind: "Pod", Path: "spec["}, ocm.ErrInvalid},
		{v1alpha1.LocalizedField{Kind: "Pod", Path: "metadata"}, ocm.ErrInvalid},
	} {
		err := Localize(objectsOf(t, workloads), here, field(test.field))
		want(t, err, test.kind, "spec.localization[0].fields[0]", test.field.Path)
	}
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"a.b[0].c", "spec.containers[name=web].image", "a[*]", `a\.b`, `a[b\]=c]`, "a[0][1]", "[", "a[=]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		steps, err := parsePath(text)
		if err != nil || len(text) > maxPath/2 { // it may become longer by backslashes
			return
		}
		again, err := parsePath(format(steps))
		if err != nil || !reflect.DeepEqual(steps, again) {
			t.Errorf("%q was read as %+v, and that as %+v: %v", text, steps, again, err)
		}
		v := map[string]any{"a": []any{map[string]any{"name": "web"}}}
		_, _ = put(v, steps, "x")
		_, _ = grow(v, steps, "x")
	})
}

// format writes a path.
func format(steps []step) string {
	escape := strings.NewReplacer(`\`, `\\`, ".", `\.`, "[", `\[`, "]", `\]`, "=", `\=`).Replace
	var b strings.Builder
	for i, s := range steps {
		switch s.kind {
		case byKey:
			if i > 0 {
				b.WriteString(".")
			}
			b.WriteString(escape(s.key))
		case byIndex:
			raw, _ := json.Marshal(s.index)
			b.WriteString("[" + string(raw) + "]")
		case byField:
			b.WriteString("[" + escape(s.key) + "=" + escape(s.value) + "]")
		case byAll:
			b.WriteString("[*]")
		}
	}
	return b.String()
}
