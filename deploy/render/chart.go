// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	chartv2 "helm.sh/helm/v4/pkg/chart/v2/util"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"ocm"
	"ocm/deploy/v1alpha1"
)

// What helm knows its objects by: without these, it refuses to take them over, and does not delete them with a release.
const (
	labelManagedBy         = "app.kubernetes.io/managed-by"
	managedByHelm          = "Helm"
	annotationReleaseName  = "meta.helm.sh/release-name"
	annotationReleaseSpace = "meta.helm.sh/release-namespace"
)

const (
	hookTest       = "test"
	beforeCreation = "before-hook-creation"
)

// renderChart renders the chart in a directory.
func renderChart(ctx context.Context, all files, dir string, o Options) (*Result, error) {
	if err := chartv2.ValidateReleaseName(o.ReleaseName); err != nil {
		return nil, fmt.Errorf("spec.releaseName %.100q: %w: %w", o.ReleaseName, err, ocm.ErrInvalid)
	}
	chartFiles, err := all.below(dir)
	if err != nil {
		return nil, err
	}
	t := &chartTask{Files: chartFiles, Name: o.ReleaseName, Namespace: o.Namespace, Values: o.Values,
		Revision: max(o.Revision, 1), Install: o.Install, Lookup: o.Cluster != nil}
	tell := func(context.Context, lookup) (map[string]any, error) {
		return nil, fmt.Errorf("there is no cluster: %w", ocm.ErrInvalid)
	}
	if o.Cluster != nil {
		c, err := newCluster(o.Cluster)
		if err != nil {
			return nil, err
		}
		if t.KubeVersion, t.APIVersions, err = c.capabilities(ctx); err != nil {
			return nil, err
		}
		tell = c.lookup
	}
	a, err := run(ctx, task{Chart: t}, tell)
	if err != nil {
		return nil, err
	}
	return chartResult(a, t)
}

// chartResult reads what a chart has become.
func chartResult(a *answer, t *chartTask) (*Result, error) {
	objects, crds, hooks := parser{}, parser{}, parser{twice: true}
	if err := objects.add(a.Documents); err != nil {
		return nil, err
	}
	if err := crds.add(a.CRDs); err != nil {
		return nil, err
	}
	r := &Result{Format: v1alpha1.FormatHelm, Objects: objects.objects, CRDs: crds.objects}
	rel := &Release{Name: t.Name, Namespace: t.Namespace, Chart: a.Chart.Name, ChartVersion: a.Chart.Version, AppVersion: a.Chart.AppVersion,
		Notes: a.Notes, release: &record{revision: t.Revision, install: t.Install, json: a.Release, objects: objects.objects, sources: objects.sources}}
	for _, h := range a.Hooks {
		if len(h.Delete) == 0 {
			h.Delete = []string{beforeCreation} // as helm does
		}
		before := len(hooks.objects)
		if err := hooks.add(h.Documents); err != nil {
			return nil, err
		}
		for _, u := range hooks.objects[before:] {
			rel.release.(*record).hooks = append(rel.release.(*record).hooks, recordedHook{h, u})
			if events := slices.DeleteFunc(slices.Clone(h.Events), func(e string) bool { return e == hookTest }); len(events) > 0 {
				r.Hooks = append(r.Hooks, Hook{Object: u, Events: events, Weight: h.Weight, Delete: h.Delete})
			}
		}
	}
	slices.SortStableFunc(r.Hooks, func(a, b Hook) int {
		return cmp.Or(cmp.Compare(a.Weight, b.Weight), strings.Compare(a.Object.GetName(), b.Object.GetName()))
	})
	if len(r.Objects)+len(r.CRDs)+len(r.Hooks) == 0 {
		return nil, fmt.Errorf("the chart makes no objects of these values: %w", ocm.ErrInvalid)
	}
	for _, u := range r.Objects {
		own(u, t.Name, t.Namespace)
	}
	r.Release = rel
	return r, nil
}

// own marks an object as helm does.
func own(u *unstructured.Unstructured, name, namespace string) {
	labels, annotations := u.GetLabels(), u.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	labels[labelManagedBy] = managedByHelm
	annotations[annotationReleaseName], annotations[annotationReleaseSpace] = name, namespace
	u.SetLabels(labels)
	u.SetAnnotations(annotations)
}
