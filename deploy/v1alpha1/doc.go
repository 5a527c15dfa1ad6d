// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the API of the controllers: the custom resources of the group delivery.ocm.software.
//
// A Repository says where component versions are, a Component which one is wanted and by whom it must be signed, a Resource
// which part of it, a Deployer that this part is brought into the cluster, and a Replication that the whole is copied elsewhere:
//
//	Repository <- Component <- Resource <- Deployer
//	                        <- Replication -> Repository
//
// Group, kinds, fields, conditions and finalizers are those of the existing controllers; what is new is optional, and says so.
//
// +kubebuilder:object:generate=true
// +groupName=delivery.ocm.software
package v1alpha1
