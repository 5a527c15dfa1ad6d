// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

// States of a release.
const (
	StatePending    = "pending"
	StateDeployed   = "deployed"
	StateFailed     = "failed"
	StateSuperseded = "superseded"
)

// record is what of a release becomes a record of helm.
type record struct {
	revision int
	json     []byte                       // the release without what has become of its templates
	objects  []*unstructured.Unstructured // as they are when the release is recorded: with localized images
	sources  []string                     // the templates that they were
	hooks    []recordedHook
}

type recordedHook struct {
	hook
	object *unstructured.Unstructured
}

// Record stores a release where "helm list" looks for it, as the identity behind cluster: the states of earlier ones are
// changed with it.
func Record(ctx context.Context, cluster *rest.Config, r *Release, state, description string) error {
	return errors.ErrUnsupported
}

// Forget removes all records of a release.
func Forget(ctx context.Context, cluster *rest.Config, namespace, name string) error {
	return errors.ErrUnsupported
}
