// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VerificationPolicy says whether content is compared with its digest.
// +kubebuilder:validation:Enum=Always;Never
type VerificationPolicy string

// Policies of verification.
const (
	VerifyAlways VerificationPolicy = "Always"
	VerifyNever  VerificationPolicy = "Never"
)

// ResourceSpec says which resource of a component is wanted.
type ResourceSpec struct {
	// ComponentRef names a Component in the same namespace.
	ComponentRef corev1.LocalObjectReference `json:"componentRef"`
	Resource     ResourceID                  `json:"resource"`
	// +optional
	OCMConfig []OCMConfiguration `json:"ocmConfig,omitempty"`
	// +optional
	// +kubebuilder:default:=Always
	VerificationPolicy VerificationPolicy `json:"verificationPolicy,omitempty"`
	// +optional
	Suspend bool `json:"suspend,omitempty"`
	// AdditionalStatusFields are CEL expressions, in objects of any depth; what they give stands in status.additional.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	AdditionalStatusFields *apiextensionsv1.JSON `json:"additionalStatusFields,omitempty"`
}

// ResourceStatus tells the resource that was found.
type ResourceStatus struct {
	Status `json:",inline"`
	// +optional
	Resource *ResourceInfo `json:"resource,omitempty"`
	// Component is the version that has the resource.
	// +optional
	Component *ComponentInfo `json:"component,omitempty"`
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Additional *apiextensionsv1.JSON `json:"additional,omitempty"`
	// Verification is that of the Component, if the resource is covered by it. New here.
	// +optional
	Verification *VerificationStatus `json:"verification,omitempty"`
}

// Resource is a part of a component version.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.resource.version`,priority=1
// +kubebuilder:printcolumn:name="Digest",type=string,JSONPath=`.status.resource.digest.value`,priority=1
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Resource struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ResourceSpec `json:"spec"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status ResourceStatus `json:"status,omitempty"`
}

// ResourceList is a list of them.
// +kubebuilder:object:root=true
type ResourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Resource `json:"items"`
}

// Common implements [Object].
func (o *Resource) Common() *Status { return &o.Status.Status }

// OCMConfig implements [Object].
func (o *Resource) OCMConfig() []OCMConfiguration { return o.Spec.OCMConfig }

// Suspended implements [Object].
func (o *Resource) Suspended() bool { return o.Spec.Suspend }
