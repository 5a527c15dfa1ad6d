// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DowngradePolicy says whether an older version may follow a newer one.
// +kubebuilder:validation:Enum=Deny;Allow
type DowngradePolicy string

// Policies of downgrades.
const (
	DowngradeDeny  DowngradePolicy = "Deny"
	DowngradeAllow DowngradePolicy = "Allow"
)

// ComponentSpec says which version of a component is wanted.
type ComponentSpec struct {
	// RepositoryRef names a Repository in the same namespace.
	RepositoryRef corev1.LocalObjectReference `json:"repositoryRef"`
	// +kubebuilder:validation:MinLength=1
	Component string `json:"component"`
	// Semver is a version, taken as it is, or a constraint, of whose versions the highest is taken.
	// +kubebuilder:validation:MinLength=1
	Semver string `json:"semver"`
	// SemverFilter is a regular expression (RE2); only versions in which it is found count. It is for constraints.
	// +optional
	SemverFilter string `json:"semverFilter,omitempty"`
	// +optional
	// +kubebuilder:default:=Deny
	DowngradePolicy DowngradePolicy `json:"downgradePolicy,omitempty"`
	// Verify lists signatures that must all be there and good.
	// +optional
	Verify []Verification `json:"verify,omitempty"`
	// VerifyContent reads the content of all resources of the whole graph when the version is verified. Without it content is compared
	// with what the signatures cover when it is used. New here.
	// +optional
	VerifyContent bool `json:"verifyContent,omitempty"`
	// +optional
	OCMConfig []OCMConfiguration `json:"ocmConfig,omitempty"`
	// Interval between two looks for versions.
	Interval metav1.Duration `json:"interval"`
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// ComponentStatus tells the version that counts now. It stays while a newer one is refused; what depends on it keeps what it has, and takes nothing new.
type ComponentStatus struct {
	Status `json:",inline"`
	// +optional
	Component *ComponentInfo `json:"component,omitempty"`
	// Verification tells who vouches for that version. New here.
	// +optional
	Verification *VerificationStatus `json:"verification,omitempty"`
	// RefusedVersion is a version that would be taken, and is not: the Ready condition says why. New here.
	// +optional
	RefusedVersion string `json:"refusedVersion,omitempty"`
}

// Component is a component version that is wanted.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.component.version`
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.status.verification.verdict`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Component struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ComponentSpec `json:"spec"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status ComponentStatus `json:"status,omitempty"`
}

// ComponentList is a list of them.
// +kubebuilder:object:root=true
type ComponentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Component `json:"items"`
}

// Common implements [Object].
func (o *Component) Common() *Status { return &o.Status.Status }

// OCMConfig implements [Object].
func (o *Component) OCMConfig() []OCMConfiguration { return o.Spec.OCMConfig }

// Suspended implements [Object].
func (o *Component) Suspended() bool { return o.Spec.Suspend }
