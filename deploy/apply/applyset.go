// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"ocm"
)

// Labels and annotations of ApplySets (KEP-3659).
const (
	LabelID              = "applyset.kubernetes.io/id"                        // of the parent
	LabelPartOf          = "applyset.kubernetes.io/part-of"                   // of members
	AnnotationTooling    = "applyset.kubernetes.io/tooling"                   // of the parent, as all that follow
	AnnotationGroupKinds = "applyset.kubernetes.io/contains-group-kinds"      // joined by commas
	AnnotationNamespaces = "applyset.kubernetes.io/additional-namespaces"     // joined by commas
	AnnotationPrune      = "delivery.ocm.software/prune"                      // of members: "disabled" keeps them when they are no longer wanted
	annotationHelmPolicy = "helm.sh/resource-policy"                          // of members: "keep"
	annotationFluxPrune  = "kustomize.toolkit.fluxcd.io/prune"                // of members: "disabled"
	annotationLastApply  = "kubectl.kubernetes.io/last-applied-configuration" // a copy of the object
)

// Parent is the object that owns what is applied: a Deployer.
type Parent struct {
	APIVersion, Kind, Name string
	UID                    types.UID
	Tooling                string // for applyset.kubernetes.io/tooling, such as ocm/1.2.0
	// Keep names what the parent itself needs, such as the Resource whose content is applied. If the set contains such an object, it is
	// applied, but never gets the parent as its owner, is never pruned, and never deleted with the others. The parent itself is kept
	// without being named, and never becomes a member of its own set.
	Keep []Ref
}

// ID is the value of the label applyset.kubernetes.io/part-of of members (KEP-3659).
func (p Parent) ID() string {
	sum := sha256.Sum256([]byte(p.Name + ".." + p.Kind + "." + schema.FromAPIVersionAndKind(p.APIVersion, p.Kind).Group))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// Labels are what the parent is told apart by.
func (p Parent) Labels() map[string]string { return map[string]string{LabelID: p.ID()} }

// Annotations are what the parent records: by whom it is handled, and where its members are. They are to be written before anything is
// applied, with what [Set.Contains] tells beside what was recorded before, and after that with what is in [Applied].
func (p Parent) Annotations(groupKinds, namespaces []string) map[string]string {
	return map[string]string{
		AnnotationTooling:    p.Tooling,
		AnnotationGroupKinds: strings.Join(distinct(slices.Clone(groupKinds)), ","),
		AnnotationNamespaces: strings.Join(distinct(slices.Clone(namespaces)), ","),
	}
}

// Recorded reads back what [Parent.Annotations] recorded.
func Recorded(annotations map[string]string) (groupKinds, namespaces []string) {
	list := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
	}
	return list(annotations[AnnotationGroupKinds]), list(annotations[AnnotationNamespaces])
}

// isParent reports whether an object is the parent.
func (p Parent) isParent(k key) bool {
	return k == key{schema.FromAPIVersionAndKind(p.APIVersion, p.Kind).GroupKind(), "", p.Name}
}

// needs reports whether an object is the parent, or something that it needs.
func (p Parent) needs(k key) bool {
	return p.isParent(k) || slices.ContainsFunc(p.Keep, func(r Ref) bool { return r.key() == k })
}

// owner is the reference by which the parent owns an object. It does not block the deletion of the parent: that is what finalizers are
// for, and who deploys need not have a right on Deployers for it.
func (p Parent) owner() map[string]any {
	return map[string]any{"apiVersion": p.APIVersion, "kind": p.Kind, "name": p.Name, "uid": string(p.UID), "controller": true}
}

// Claimed tells why an object in the cluster must not be applied to: it belongs to another set, or somebody else controls it.
// declared is the controller that the object names itself, if any.
func (p Parent) Claimed(live metav1.Object, declared types.UID) error {
	if id := live.GetLabels()[LabelPartOf]; id != "" && id != p.ID() {
		return fmt.Errorf("%w: it belongs to the ApplySet %s, not to %s of %s %s; remove it from there, or its label %s, first",
			ocm.ErrConflict, printable(id), p.ID(), p.Kind, printable(p.Name), LabelPartOf)
	}
	if c := metav1.GetControllerOf(live); c != nil && c.UID != p.UID && c.UID != declared {
		return fmt.Errorf("%w: it is controlled by %s %s", ocm.ErrConflict, printable(c.Kind), printable(c.Name))
	}
	return nil
}

// isMember reports whether an object in the cluster is a member of the set, and was applied by this package: a copy of a member with
// all of its labels, that somebody else made, is none, nor is what a controller made of one.
func (p Parent) isMember(live metav1.Object) bool {
	if live.GetLabels()[LabelPartOf] != p.ID() {
		return false
	}
	if c := metav1.GetControllerOf(live); c != nil && c.UID != p.UID {
		return false
	}
	return slices.ContainsFunc(live.GetManagedFields(), func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager == FieldManager && m.Operation == metav1.ManagedFieldsOperationApply
	})
}

// stays reports whether an object says that it is to stay when it is no longer wanted.
func stays(annotations map[string]string) bool {
	return annotations[annotationHelmPolicy] == "keep" || annotations[annotationFluxPrune] == "disabled" || annotations[AnnotationPrune] == "disabled"
}
