// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// maxHealth bounds the message about one object, in bytes.
const maxHealth = 500

// Health of an object.
type Health struct {
	Ref     Ref
	Healthy bool
	Failed  bool   // it will not become healthy by waiting
	Message string // why not
}

// Health looks at members, by the rules of kstatus, in the order of members. What is not there, or what is deleted, is not healthy. Of a
// workload that does not work the message names pods that cannot start, as far as the identity may see them.
func (c *Cluster) Health(ctx context.Context, members []Ref) ([]Health, error) {
	out := make([]Health, len(members))
	errs := parallel(ctx, len(members), func(i int) error {
		out[i].Ref = members[i]
		o, err := c.live(ctx, members[i])
		if isMissing(err) {
			out[i].Message = "it is not there"
			return nil
		}
		if err != nil {
			return Refusal(members[i], "get", err)
		}
		if members[i].UID != "" && o.GetUID() != members[i].UID {
			out[i].Message = "it was replaced by another object of the same name"
			return nil
		}
		v, err := judge(o)
		if err != nil {
			v = verdict{message: "its status cannot be read: " + err.Error()}
		}
		if !v.healthy {
			v.message = strings.Join(append([]string{v.message}, c.troubles(ctx, o)...), "; ")
		}
		out[i].Healthy, out[i].Failed, out[i].Message = v.healthy, v.failed, bounded(v.message, maxHealth)
		return nil
	})
	return out, join(errs)
}

// verdict is what the status of an object says.
type verdict struct {
	healthy, failed bool
	message         string
}

// judge reads the status of an object, which may be anything.
func judge(o *unstructured.Unstructured) (v verdict, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it does not have the form of one")
		}
	}()
	result, err := status.Compute(o)
	if err != nil {
		return verdict{}, err
	}
	v = verdict{healthy: result.Status == status.CurrentStatus, failed: result.Status == status.FailedStatus, message: result.Message}
	if result.Status == status.TerminatingStatus {
		v.message = "it is being deleted"
	}
	if v.healthy {
		v = beyond(o, v)
	}
	if v.healthy {
		v.message = ""
	}
	return v, nil
}

// speaking are kinds that always say whether they are ready; before they do, nobody has looked at them.
var speaking = []string{
	"GitRepository.source.toolkit.fluxcd.io", "OCIRepository.source.toolkit.fluxcd.io", "Bucket.source.toolkit.fluxcd.io", "HelmChart.source.toolkit.fluxcd.io",
	"HelmRelease.helm.toolkit.fluxcd.io", "Kustomization.kustomize.toolkit.fluxcd.io",
}

// beyond judges what kstatus takes for healthy.
func beyond(o *unstructured.Unstructured, v verdict) verdict {
	gk := o.GroupVersionKind().GroupKind()
	switch gk.String() {
	case "Pod":
		if phase, _, _ := unstructured.NestedString(o.Object, "status", "phase"); phase == "Failed" {
			return verdict{failed: true, message: "the pod has failed"}
		}
		return v
	case "APIService.apiregistration.k8s.io":
		if c, ok := condition(o, "Available"); !ok || c.status != "True" {
			return verdict{message: strings.TrimSpace("the API is not available: " + c.message)}
		}
		return v
	}
	c, told := condition(o, "Ready")
	if told && c.generation != 0 && c.generation < o.GetGeneration() {
		return verdict{message: fmt.Sprintf("condition Ready is about generation %d, and not about %d", c.generation, o.GetGeneration())}
	}
	suspended, _, _ := unstructured.NestedBool(o.Object, "spec", "suspend")
	if !told && !suspended && (gk.Group == "delivery.ocm.software" || gk.Group == "kro.run" || slices.Contains(speaking, gk.String())) {
		return verdict{message: "it has no condition Ready yet"}
	}
	return v
}

type conditionOf struct {
	status, message string
	generation      int64
}

// condition finds one in the status of an object.
func condition(o *unstructured.Unstructured, name string) (conditionOf, bool) {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, e := range list {
		c, _ := e.(map[string]any)
		if c["type"] != name {
			continue
		}
		var out conditionOf
		out.status, _ = c["status"].(string)
		out.message, _ = c["message"].(string)
		out.generation, _ = c["observedGeneration"].(int64)
		return out, true
	}
	return conditionOf{}, false
}
