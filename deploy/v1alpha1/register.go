// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group.
const Group = "delivery.ocm.software"

// Kinds.
const (
	KindRepository  = "Repository"
	KindComponent   = "Component"
	KindResource    = "Resource"
	KindDeployer    = "Deployer"
	KindReplication = "Replication"
)

// GroupVersion is what stands in apiVersion.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: Group, Version: "v1alpha1"}
}

// AddToScheme makes the types known.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion(),
		&Repository{}, &RepositoryList{}, &Component{}, &ComponentList{}, &Resource{}, &ResourceList{},
		&Deployer{}, &DeployerList{}, &Replication{}, &ReplicationList{})
	metav1.AddToGroupVersion(s, GroupVersion())
	return nil
}
