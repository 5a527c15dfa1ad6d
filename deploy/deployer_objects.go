// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"ocm/deploy/apply"
	"ocm/deploy/v1alpha1"
)

// Labels and annotations of what is deployed.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelName      = "app.kubernetes.io/name"
	labelVersion   = "app.kubernetes.io/version"
	labelPartOf    = "app.kubernetes.io/part-of"
	managedBy      = "deployer." + v1alpha1.Group

	annotationComponent = "component." + v1alpha1.Group + "/"
	annotationResource  = "resource." + v1alpha1.Group + "/"
	annotationIdentity  = "identity.resource." + v1alpha1.Group + "/"
	annotationDigest    = "digest.resource." + v1alpha1.Group + "/"
	annotationKeep      = "helm.sh/resource-policy"
)

// maxAnnotation bounds one annotation that comes from a descriptor, in bytes; what is longer is left out. An object may have 256 KiB of them.
const maxAnnotation = 4 << 10

// origin writes into all objects of a job where they come from. Charts have labels of their own, which stay.
func origin(w *wanted, j *job) {
	res := w.resource
	labels := map[string]string{labelManagedBy: managedBy, labelName: labelValue(res.Name), labelVersion: labelValue(res.Resource.Version), labelPartOf: labelValue(j.d.Name)}
	annotations := map[string]string{annotationComponent + "name": res.Component, annotationComponent + "version": res.Version}
	if access, err := json.Marshal(res.Access); err == nil {
		annotations[annotationResource+"access"] = string(access)
	}
	for key, value := range res.ExtraIdentity {
		annotations[annotationIdentity+key] = value
	}
	annotations[annotationIdentity+"name"] = res.Name
	if sum := res.Resource.Digest; sum != nil {
		annotations[annotationDigest+"value"] = sum.Value
		annotations[annotationDigest+"hashAlgorithm"] = sum.HashAlgorithm
		annotations[annotationDigest+"normalisationAlgorithm"] = sum.NormalisationAlgorithm
	}
	maps.DeleteFunc(annotations, func(k, v string) bool {
		return len(v) > maxAnnotation || len(validation.IsQualifiedName(strings.ToLower(k))) > 0
	})
	for _, o := range j.Objects {
		mark(o, labels, annotations, j.release != nil)
	}
	for _, h := range j.Hooks {
		mark(h.Object, labels, annotations, true)
	}
}

// mark puts labels and annotations on an object.
func mark(o metav1.Object, labels, annotations map[string]string, polite bool) {
	l, a := o.GetLabels(), o.GetAnnotations()
	if l == nil {
		l = map[string]string{}
	}
	if a == nil {
		a = map[string]string{}
	}
	for key, value := range labels {
		if _, has := l[key]; value != "" && !(has && polite) {
			l[key] = value
		}
	}
	maps.Copy(a, annotations)
	o.SetLabels(l)
	o.SetAnnotations(a)
}

// labelValue makes a label of text from a descriptor: at most 63 letters, digits, and - _ . between them.
func labelValue(s string) string {
	s = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' {
			return c
		}
		return '_'
	}, s)
	return strings.Trim(s[:min(len(s), 63)], "-_.")
}

// keepCRD keeps the definitions of a chart's crds folder when the Deployer goes, as helm does: with them everything would go that users made
// of them.
func keepCRD(crd *unstructured.Unstructured) {
	mark(crd, nil, map[string]string{annotationKeep: "keep"}, true)
}

// announce says on a Deployer what its set has members of: before they are applied that is joined with what was there, afterwards it is what is
// there. At any time everything is found by it (KEP-3659).
func (r *deployers) announce(ctx context.Context, p apply.Parent, kinds, namespaces []string) error {
	d := &v1alpha1.Deployer{}
	if err := r.GetAPIReader().Get(ctx, types.NamespacedName{Name: p.Name}, d); err != nil {
		return err
	}
	return r.label(ctx, d, func(o *v1alpha1.Deployer) {
		mark(o, p.Labels(), p.Annotations(kinds, namespaces), false)
	})
}

// sameMeta reports whether nothing of the metadata that controllers write differs.
func sameMeta(a, b *v1alpha1.Deployer) bool {
	return apiequality.Semantic.DeepEqual(a.Labels, b.Labels) && apiequality.Semantic.DeepEqual(a.Annotations, b.Annotations) && slices.Equal(a.Finalizers, b.Finalizers)
}

func addFinalizer(d *v1alpha1.Deployer, f string) {
	if !slices.Contains(d.Finalizers, f) {
		d.Finalizers = append(d.Finalizers, f)
	}
}

func dropFinalizer(d *v1alpha1.Deployer, f string) {
	d.Finalizers = slices.DeleteFunc(d.Finalizers, func(s string) bool { return s == f })
}

// prunes reports whether objects are deleted that are no longer wanted.
func prunes(d *v1alpha1.Deployer) bool { return d.Spec.Prune == nil || *d.Spec.Prune }

func refOf(o v1alpha1.DeployedObject) apply.Ref {
	return apply.Ref{APIVersion: o.APIVersion, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, UID: o.UID}
}

// deployed writes into the status what is there. After a failure nothing is forgotten that was there before.
func deployed(d *v1alpha1.Deployer, a *apply.Applied, whole bool) {
	if a == nil {
		return
	}
	var now []v1alpha1.DeployedObject
	seen := map[apply.Ref]bool{}
	for _, ref := range a.Members {
		now = append(now, v1alpha1.DeployedObject{APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name, UID: ref.UID})
		ref.UID = ""
		seen[ref] = true
	}
	for _, o := range d.Status.Deployed {
		ref := refOf(o)
		ref.UID = ""
		if !whole && !seen[ref] {
			now = append(now, o)
		}
	}
	d.Status.Deployed = now
}
