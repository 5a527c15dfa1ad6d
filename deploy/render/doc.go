// SPDX-License-Identifier: Apache-2.0

// Package render makes Kubernetes objects of the content of a resource: of manifests, Helm charts and Kustomize directories.
package render

import (
	_ "helm.sh/helm/v4/pkg/action"
	_ "sigs.k8s.io/kustomize/api/krusty"
)
