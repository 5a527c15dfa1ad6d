// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"ocm"
	"ocm/deploy/expression"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

// MaxResourceInfo bounds status.resource, in bytes: the API server takes objects of about one megabyte.
const MaxResourceInfo = 256 << 10

// tellAbout makes the status of a resource that was found; what all kinds have in common is left empty.
func (r *resources) tellAbout(ctx context.Context, obj *v1alpha1.Resource, s *resourceSearch) (*v1alpha1.ResourceStatus, error) {
	info, err := resourceInfo(s.found)
	if err != nil {
		return nil, stalled(v1alpha1.ReasonMarshalFailed, fmt.Errorf("resource %s of %s:%s: %w", s.found.Element.String(), s.found.Component, s.found.Version, err))
	}
	repository, err := stored(s.found.Repository.Raw)
	if err != nil {
		return nil, stalled(v1alpha1.ReasonMarshalFailed, fmt.Errorf("repository of %s:%s: %w", s.found.Component, s.found.Version, err))
	}
	status := &v1alpha1.ResourceStatus{Resource: info, Verification: verdictOn(obj, s), Component: &v1alpha1.ComponentInfo{
		RepositorySpec: repository, Component: s.found.Component, Version: s.found.Version, Digest: digestInfo(&s.found.Digest),
	}}
	if obj.Spec.AdditionalStatusFields == nil {
		return status, nil
	}
	variable, err := expression.Variable(s.found.Resource)
	if err != nil {
		return nil, stalled(v1alpha1.ReasonMarshalFailed, err)
	}
	raw, err := r.expressions.Evaluate(ctx, "spec.additionalStatusFields", obj.Spec.AdditionalStatusFields.Raw, map[string]any{"resource": variable}, s.found)
	if err != nil {
		return nil, stalled(v1alpha1.ReasonStatusSetFailed, err)
	}
	if raw != nil {
		status.Additional, err = stored(raw)
	}
	return status, err
}

// resourceInfo is what a status tells of a resource; [ocm.ErrLimit] if that is too much.
func resourceInfo(found *resolve.Resource) (*v1alpha1.ResourceInfo, error) {
	info := &v1alpha1.ResourceInfo{
		Name: found.Name, Type: found.Type, Version: found.Resource.Version, ExtraIdentity: v1alpha1.Identity(found.ExtraIdentity), Digest: digestInfo(found.Resource.Digest),
	}
	var err error
	if info.Access, err = stored(found.Access.Raw); err != nil {
		return nil, err
	}
	for _, l := range found.Labels {
		value, err := stored(l.Value)
		if err != nil {
			return nil, err
		}
		label := v1alpha1.Label{Name: l.Name, Value: *value, Version: l.Version, Signing: l.Signing}
		if l.Merge != nil {
			raw, err := jsonv2.Marshal(l.Merge)
			if err != nil {
				return nil, err
			}
			if label.Merge, err = stored(raw); err != nil {
				return nil, err
			}
		}
		info.Labels = append(info.Labels, label)
	}
	if raw, err := json.Marshal(info); err != nil || len(raw) > MaxResourceInfo {
		return nil, errors.Join(err, fmt.Errorf("%d bytes, published are at most %d: %w", len(raw), MaxResourceInfo, ocm.ErrLimit))
	}
	return info, nil
}

// stored is a JSON value in the form in which the API server gives it back, so that the same is never written again: keys are sorted, and
// a member that is null is a member that is not there.
func stored(raw []byte) (*apiextensionsv1.JSON, error) {
	if len(raw) == 0 {
		raw = []byte("null")
	}
	var v any
	if err := utiljson.Unmarshal(raw, &v); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	out, err := json.Marshal(withoutNull(v))
	return &apiextensionsv1.JSON{Raw: out}, err
}

func withoutNull(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			if v[key] = withoutNull(member); member == nil {
				delete(v, key)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutNull(v[i])
		}
	}
	return v
}

func digestInfo(d *ocm.Digest) *v1alpha1.Digest {
	if d.Empty() {
		return nil
	}
	return &v1alpha1.Digest{HashAlgorithm: d.HashAlgorithm, NormalisationAlgorithm: d.NormalisationAlgorithm, Value: d.Value}
}

// verdictOn is the verdict on the Component, as far as it is about this content. The time of the verdict stays what it was while nothing
// else changes: a Component that is looked at again is no news for its resources.
func verdictOn(obj *v1alpha1.Resource, s *resourceSearch) *v1alpha1.VerificationStatus {
	verdict := s.component.Status.Verification.DeepCopy()
	switch {
	case verdict == nil:
		verdict = &v1alpha1.VerificationStatus{Verdict: v1alpha1.Unverified}
	case obj.Spec.VerificationPolicy == v1alpha1.VerifyNever:
		verdict = &v1alpha1.VerificationStatus{Verdict: v1alpha1.Unverified, Message: "spec.verificationPolicy is Never: the content was not compared with its digest"}
	}
	if before := obj.Status.Verification.DeepCopy(); before != nil && obj.Status.Component != nil && s.found.Digest.Value == publishedDigest(obj.Status.Component) {
		now := *verdict
		before.Time, now.Time = nil, nil
		if apiequality.Semantic.DeepEqual(*before, now) {
			verdict.Time = obj.Status.Verification.Time
		}
	}
	return verdict
}

func publishedDigest(c *v1alpha1.ComponentInfo) string {
	if c.Digest == nil {
		return ""
	}
	return c.Digest.Value
}
