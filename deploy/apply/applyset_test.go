// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"ocm"
)

// inCluster is a ConfigMap as a server has it.
func inCluster(t *testing.T, name, partOf string, controller types.UID, manager string) *unstructured.Unstructured {
	t.Helper()
	o := object(t, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, namespace: ns, uid: uid-%[1]s}}", name))
	if partOf != "" {
		o.SetLabels(map[string]string{LabelPartOf: partOf})
	}
	if controller != "" {
		yes := true
		o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "X", Name: "x", UID: controller, Controller: &yes}})
	}
	o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: manager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:data":{}}`)}}})
	return o
}

func TestObjectsOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		partOf     string
		controller types.UID
		declared   types.UID
		conflict   bool
	}{
		{"", "", "", false},
		{parent.ID(), parent.UID, "", false},
		{"", "theirs", "theirs", false},
		{"", "theirs", "", true},
		{"applyset-other\x1b-v1", "", "", true},
		{parent.ID(), "theirs", "", true},
	} {
		err := parent.Claimed(inCluster(t, "a", c.partOf, c.controller, "kro"), c.declared)
		if errors.Is(err, ocm.ErrConflict) != c.conflict || err != nil && strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestOnlyMembersAreDeleted: not what merely looks like one.
func TestOnlyMembersAreDeleted(t *testing.T) {
	t.Parallel()
	id := parent.ID()
	kept := inCluster(t, "kept", id, parent.UID, FieldManager)
	kept.SetAnnotations(map[string]string{AnnotationPrune: "disabled"})
	needed := inCluster(t, "needed", id, parent.UID, FieldManager)
	c := fakeCluster(t, interceptor.Funcs{},
		inCluster(t, "member", id, parent.UID, FieldManager), inCluster(t, "unowned", id, "", FieldManager), inCluster(t, "replaced", id, parent.UID, FieldManager),
		inCluster(t, "taken", "", parent.UID, FieldManager), inCluster(t, "foreign", "applyset-other-v1", "", FieldManager),
		inCluster(t, "controlled", id, "theirs", FieldManager), inCluster(t, "copied", id, "", "kubectl"), kept, needed)
	var members []Ref
	for _, name := range []string{"member", "unowned", "taken", "foreign", "controlled", "copied", "kept", "needed", "nowhere"} {
		members = append(members, Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "ns", Name: name})
	}
	members = append(members, Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "ns", Name: "replaced", UID: "before"},
		Ref{APIVersion: "gone.example.org/v1", Kind: "Gone", Namespace: "ns", Name: "a"}, Ref{APIVersion: parent.APIVersion, Kind: parent.Kind, Name: parent.Name})
	p := parent
	p.Keep = []Ref{{APIVersion: "v1", Kind: "ConfigMap", Namespace: "ns", Name: "needed"}}
	done, err := c.Apply(t.Context(), Set{Parent: p, Known: members, Prune: true})
	if err != nil || refNames(done.Pruned) != "ConfigMap ns/member, ConfigMap ns/unowned" || refNames(done.Kept) != "ConfigMap ns/kept" {
		t.Errorf("found %+v, %v", done, err)
	}
	for _, name := range []string{"taken", "foreign", "controlled", "copied", "kept", "needed", "replaced"} {
		o, err := c.live(t.Context(), Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "ns", Name: name})
		if err != nil {
			t.Errorf("%s was deleted: %v", name, err)
		}
		if released := o.GetLabels()[LabelPartOf] == "" && len(o.GetOwnerReferences()) == 0; released != (name == "kept") {
			t.Errorf("%s: found labels %v and owners %v", name, o.GetLabels(), o.GetOwnerReferences())
		}
	}
	// by their label, too
	c = fakeCluster(t, interceptor.Funcs{}, inCluster(t, "member", id, parent.UID, FieldManager), inCluster(t, "copied", id, "", "kubectl"), inCluster(t, "controlled", id, "theirs", FieldManager))
	if done, err = c.Apply(t.Context(), Set{Parent: p, GroupKinds: []string{"ConfigMap", "Gone.example.org", "..", ""}, Namespaces: []string{"ns", "other"}, Prune: true}); err != nil || refNames(done.Pruned) != "ConfigMap ns/member" {
		t.Errorf("found %+v, %v", done, err)
	}
	if _, err = c.Apply(t.Context(), Set{Parent: p, GroupKinds: make([]string, 40), Namespaces: make([]string, 40), Prune: true}); !errors.Is(err, ocm.ErrLimit) {
		t.Errorf("found %v", err)
	}
}
