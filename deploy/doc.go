// SPDX-License-Identifier: Apache-2.0

// Package deploy carries verified component versions into Kubernetes clusters, and keeps them there: the reconcilers of
// the resources in [ocm/deploy/v1alpha1], and what people ask about them.
package deploy

import (
	_ "github.com/google/cel-go/cel"
	_ "github.com/google/cel-go/ext"
	_ "sigs.k8s.io/controller-runtime"
	_ "sigs.k8s.io/controller-runtime/pkg/client/fake"
	_ "sigs.k8s.io/controller-runtime/pkg/envtest"
)
