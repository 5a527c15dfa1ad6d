// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// secretOf is a Secret with its data in all places where it is kept.
func secretOf(t testing.TB, kind, data string) *unstructured.Unstructured {
	t.Helper()
	return object(t, fmt.Sprintf(`
apiVersion: v1
kind: %s
metadata:
  name: creds
  labels: {app: a}
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"data":{"key":"HUSH-%[2]s"}}'
    tool.example.org/copy: HUSH-%[2]s
  managedFields: [{manager: HUSH}]
type: Opaque
data: {key: HUSH-%[2]s, same: HUSH}
stringData: {plain: HUSH-%[2]s}
unknown: HUSH-%[2]s
`, kind, data))
}

func TestCVE_2026_42880_SecretsInDiffsAreKeysOnly(t *testing.T) {
	t.Parallel()
	old, wanted := secretOf(t, "Secret", "1"), secretOf(t, "Secret", "2")
	ref := Ref{APIVersion: "v1", Kind: "Secret", Namespace: "ns", Name: "creds"}
	for name, c := range map[string]struct {
		live, merged *unstructured.Unstructured
		want         []string
	}{
		"change":   {old, wanted, []string{"-  key: (hidden)\n+  key: (hidden, changed)\n", " same: (hidden)\n", "+  plain: (hidden, changed)"}},
		"creation": {nil, wanted, []string{"+  key: (hidden)\n", "--- /dev/null\n"}},
		// as other groups have it, and as it looks when only one side has the kind
		"other group": {secretOf(t, "ConfigMap", "1"), wanted, []string{"+  key: (hidden, changed)\n"}},
	} {
		text, err := difference(ref, c.live, c.merged, 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "HUSH") {
			t.Errorf("%s: the diff has data of a Secret:\n%s", name, text)
		}
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: expected %q in\n%s", name, want, text)
			}
		}
	}
}

// TestCVE_2026_45737_LastAppliedIsNeverShown: the annotation is a copy of the object, also of one that was a Secret's source.
func TestCVE_2026_45737_LastAppliedIsNeverShown(t *testing.T) {
	t.Parallel()
	a, b := secretOf(t, "ConfigMap", "1"), secretOf(t, "ConfigMap", "1")
	a.SetAnnotations(nil)
	b.SetAnnotations(map[string]string{annotationLastApply: "HUSH", "other": "x"})
	text, err := difference(Ref{Kind: "ConfigMap", Name: "a"}, a, b, 1<<16)
	if err != nil || strings.Contains(text, "+    kubectl") || strings.Contains(text, ": HUSH\n+") || !strings.Contains(text, "+    other: x") {
		t.Errorf("found %v\n%s", err, text)
	}
}

// TestCVE_2026_45737_ErrorsAboutSecretsHaveNoData: servers and webhooks repeat what they refuse.
func TestCVE_2026_45737_ErrorsAboutSecretsHaveNoData(t *testing.T) {
	t.Parallel()
	gr := schema.GroupResource{Resource: "secrets"}
	rbac := `User "system:serviceaccount:ns:default" cannot patch resource "secrets" in API group "" in the namespace "ns"`
	for name, err := range map[string]error{
		"webhook":   apierrors.NewForbidden(gr, "creds", errors.New("admission webhook denied it: HUSH")),
		"both":      apierrors.NewForbidden(gr, "creds", errors.New(rbac+": HUSH")),
		"invalid":   apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, "creds", field.ErrorList{field.Invalid(field.NewPath("data").Key("key"), "HUSH", "not HUSH")}),
		"bad":       apierrors.NewBadRequest("HUSH"),
		"internal":  apierrors.NewInternalError(errors.New("HUSH")),
		"something": errors.New("cannot decode HUSH"),
	} {
		got := Refusal(Ref{APIVersion: "v1", Kind: "Secret", Namespace: "ns", Name: "creds"}, "apply", err)
		if strings.Contains(got.Error(), "HUSH") || strings.Contains(fmt.Sprintf("%+v %v", got, errors.Unwrap(got)), "HUSH") {
			t.Errorf("%s: found %v", name, got)
		}
		if name == "both" && !strings.Contains(got.Error(), rbac) {
			t.Errorf("%s: expected what RBAC says in %v", name, got)
		}
		if name == "invalid" && !strings.Contains(got.Error(), "data[key]") {
			t.Errorf("%s: expected the field in %v", name, got)
		}
	}
}

func TestDiffIsBounded(t *testing.T) {
	t.Parallel()
	many := &unstructured.Unstructured{Object: map[string]any{"kind": "ConfigMap", "metadata": map[string]any{"name": "a"}, "data": map[string]any{}}}
	for i := range 1000 {
		many.Object["data"].(map[string]any)[fmt.Sprintf("key%d", i)] = strings.Repeat("x", 50) + "\x1b[31m\u202e"
	}
	text, err := difference(Ref{Kind: "ConfigMap", Name: "a"}, nil, many, 10_000)
	if err != nil || len(text) > 5200 || !strings.Contains(text, "more lines of ConfigMap a\n") || strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("found %v, %d bytes: %s", err, len(text), text)
	}
	for _, max := range []int{-1, 0, 1, 20, 40, 80, 200} {
		if got := fit([]string{strings.Repeat("a", 30), "", strings.Repeat("b", 30), strings.Repeat("c", 30)}, max); len(got) > max && got != "" || max == 200 && len(got) != 90 || max == 80 && got != strings.Repeat("a", 30)+"# 2 more objects change\n" {
			t.Errorf("%d: %q", max, got)
		}
		if _, err := difference(Ref{}, nil, many, max); err != nil {
			t.Error(err)
		}
	}
}

// FuzzObject reads any JSON as an object, and does with it what does not need a cluster.
func FuzzObject(f *testing.F) {
	for _, s := range []string{
		`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","labels":{"a":"b"},"annotations":{"a":"b"},"ownerReferences":[{"controller":true,"uid":1}]},"data":{"HUSH":"HUSH-x"}}`,
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","generation":1},"status":{"phase":"Running","observedGeneration":"x","containerStatuses":[1,{"name":[],"state":{"waiting":{"reason":5}}}],"conditions":[{"type":"Ready","status":1}]}}`,
		`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"},"spec":{"replicas":"x"},"status":{"conditions":{}}}`,
		`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"a"},"spec":{"versions":[1]}}`,
		`{"metadata":[]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var content map[string]any
		if json.Unmarshal(data, &content) != nil {
			return
		}
		it, err := read(&unstructured.Unstructured{Object: content})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("control characters in %q", err)
			}
			return
		}
		it.kind.namespaced = true
		_ = definitions([]*item{it})
		if it.place("ns") != nil {
			return
		}
		if err := it.mark(Set{Parent: parent, Prune: true}); err != nil {
			return
		}
		if it.obj.GetLabels()[LabelPartOf] != parent.ID() {
			t.Errorf("no label in %v", it.obj.Object)
		}
		_, _ = judge(it.obj)
		_ = troubleOf(it.obj)
		text, err := difference(it.ref, nil, it.obj, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if values, ok := it.obj.Object["data"].(map[string]any); ok && it.ref.Kind == "Secret" {
			for _, v := range values {
				if s, ok := v.(string); ok && strings.Contains(s, "HUSH-") && strings.Contains(text, s) && !strings.Contains(string(data), "labels") {
					t.Errorf("%q is in\n%s", s, text)
				}
			}
		}
	})
}
