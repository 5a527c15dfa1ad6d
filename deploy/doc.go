// SPDX-License-Identifier: Apache-2.0

// Package deploy carries verified component versions into Kubernetes clusters, and keeps them there: the reconcilers of
// the resources in [ocm/deploy/v1alpha1], and what people ask about them.
//
// A reconciler is a list of steps over the libraries below it; it waits for nobody but the API server. What is slow is asked
// of a pool ([ocm/deploy/work]), which wakes the object when there is an answer.
package deploy
