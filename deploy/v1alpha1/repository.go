// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RepositorySpec says where component versions are.
type RepositorySpec struct {
	// RepositorySpec is the typed specification of an OCM repository, such as {type: OCIRegistry, baseUrl: ghcr.io, subPath: acme}.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	RepositorySpec *apiextensionsv1.JSON `json:"repositorySpec"`
	// +optional
	OCMConfig []OCMConfiguration `json:"ocmConfig,omitempty"`
	// Interval between two looks at the repository.
	Interval metav1.Duration `json:"interval"`
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// RepositoryStatus tells whether it can be reached.
type RepositoryStatus struct {
	Status `json:",inline"`
}

// Repository is a place of component versions.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Repository struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec RepositorySpec `json:"spec"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status RepositoryStatus `json:"status,omitempty"`
}

// RepositoryList is a list of them.
// +kubebuilder:object:root=true
type RepositoryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Repository `json:"items"`
}

// Common implements [Object].
func (o *Repository) Common() *Status { return &o.Status.Status }

// OCMConfig implements [Object].
func (o *Repository) OCMConfig() []OCMConfiguration { return o.Spec.OCMConfig }

// Suspended implements [Object].
func (o *Repository) Suspended() bool { return o.Spec.Suspend }
