// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ReplicationSpec says what is copied where to.
type ReplicationSpec struct {
	// ComponentRef names a Component in the same namespace.
	ComponentRef corev1.LocalObjectReference `json:"componentRef"`
	// TargetRepositoryRef names a Repository in the same namespace.
	TargetRepositoryRef corev1.LocalObjectReference `json:"targetRepositoryRef"`
	// OCMConfig may have an entry of type transfer.config.ocm.software: recursive, copyMode, uploadType.
	// +optional
	OCMConfig []OCMConfiguration `json:"ocmConfig,omitempty"`
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// ReplicationStatus tells what was copied.
type ReplicationStatus struct {
	Status `json:",inline"`
	// +optional
	Component *ComponentInfo `json:"component,omitempty"`
	// +optional
	LastTransferredVersion string `json:"lastTransferredVersion,omitempty"`
	// +optional
	LastTransferredDigest string `json:"lastTransferredDigest,omitempty"`
	// LastTarget is where it was copied to. New here.
	// +optional
	LastTarget string `json:"lastTarget,omitempty"`
	// +optional
	LastFailedTransferEvents []FailedTransferEvent `json:"lastFailedTransferEvents,omitempty"`
	// Progress of the transfer that is running, or was the last. New here.
	// +optional
	Progress *TransferProgress `json:"progress,omitempty"`
}

// FailedTransferEvent is something that could not be copied.
type FailedTransferEvent struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Error string `json:"error"`
}

// TransferProgress counts what was done.
type TransferProgress struct {
	// Versions of the plan, and those that are done.
	Versions     int64 `json:"versions"`
	VersionsDone int64 `json:"versionsDone"`
	// Bytes that are to be looked at, as far as they are known, and those that are done.
	Bytes     int64 `json:"bytes"`
	BytesDone int64 `json:"bytesDone"`
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// +optional
	UpdateTime *metav1.Time `json:"updateTime,omitempty"`
}

// Replication copies a component version, with all that belongs to it.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.lastTransferredVersion`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Replication struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ReplicationSpec `json:"spec"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status ReplicationStatus `json:"status,omitempty"`
}

// ReplicationList is a list of them.
// +kubebuilder:object:root=true
type ReplicationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Replication `json:"items"`
}

// Common implements [Object].
func (o *Replication) Common() *Status { return &o.Status.Status }

// OCMConfig implements [Object].
func (o *Replication) OCMConfig() []OCMConfiguration { return o.Spec.OCMConfig }

// Suspended implements [Object].
func (o *Replication) Suspended() bool { return o.Spec.Suspend }
