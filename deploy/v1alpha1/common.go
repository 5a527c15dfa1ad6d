// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Types of conditions.
const (
	ConditionReady              = "Ready"
	ConditionReconciling        = "Reconciling"
	ConditionStalled            = "Stalled"
	ConditionTransferInProgress = "TransferInProgress"
	// ConditionHealthy tells whether what was deployed works; on a Deployer with a health gate. New here.
	ConditionHealthy = "Healthy"
	// ConditionDrifted is true while objects in the cluster are not as they were deployed. New here.
	ConditionDrifted = "Drifted"
)

// Reasons of conditions and events that the existing controllers have, too.
const (
	ReasonSucceeded                          = "Succeeded"
	ReasonProgressingWithRetry               = "ProgressingWithRetry"
	ReasonGetConfigurationFailed             = "GetConfigurationFailed"
	ReasonCheckVersionFailed                 = "CheckVersionFailed"
	ReasonResourceIsNotAvailable             = "ResourceIsNotAvailable"
	ReasonReplicationFailed                  = "ReplicationFailed"
	ReasonTransferInProgress                 = "TransferInProgress"
	ReasonTransferComplete                   = "TransferComplete"
	ReasonGetRepositoryFailed                = "GetRepositoryFailed"
	ReasonGetComponentVersionFailed          = "GetComponentVersionFailed"
	ReasonGetOCMResourceFailed               = "GetOCMResourceFailed"
	ReasonMarshalFailed                      = "MarshalFailed"
	ReasonApplyFailed                        = "ApplyFailed"
	ReasonGetReferenceFailed                 = "GetReferenceFailed"
	ReasonGetResourceFailed                  = "GetResourceFailed"
	ReasonStatusSetFailed                    = "StatusSetFailed"
	ReasonDeletionFailed                     = "DeletionFailed"
	ReasonResourceNotSynced                  = "ResourceNotSynced"
	ReasonResolutionInProgress               = "ResolutionInProgress"
	ReasonComponentDriftResolutionInProgress = "ComponentDriftResolutionInProgress"
)

// Reasons that are new here.
const (
	ReasonVerificationFailed = "VerificationFailed" // a signature or a digest is not good, or could not be judged
	ReasonDowngradeForbidden = "DowngradeForbidden" // by the policy of the Component
	ReasonInvalidSpec        = "InvalidSpec"        // a field of the spec cannot be right
	ReasonRenderFailed       = "RenderFailed"       // the content gives no objects
	ReasonForbidden          = "Forbidden"          // the cluster does not allow it to the identity that deploys
	ReasonDependencyNotReady = "DependencyNotReady" // of dependsOn
	ReasonUnhealthy          = "Unhealthy"          // the health gate was not passed in time
	ReasonProgressing        = "Progressing"        // the health gate is waiting
	ReasonRolledBack         = "RolledBack"         // an earlier revision is deployed in place of the wanted one
	ReasonDryRun             = "DryRun"             // nothing was changed
	ReasonPruneFailed        = "PruneFailed"
	ReasonDriftDetected      = "DriftDetected"
	ReasonDriftRepaired      = "DriftRepaired"
)

// Finalizers: a parent is not deleted while something refers to it.
const (
	FinalizerRepository  = "finalizers.ocm.software/repository"
	FinalizerComponent   = "finalizers.ocm.software/component"
	FinalizerResource    = "finalizers.ocm.software/resource"
	FinalizerReplication = "finalizers.ocm.software/replication"
	FinalizerPrune       = Group + "/applyset-prune"
	FinalizerWatch       = Group + "/watch"
)

// Annotations on resources of this API.
const (
	// AnnotationRollbackTo on a Deployer asks for a revision of its history, once for each change of the value:
	// "<revision>", or "<revision>/<any text>" to ask for the same again. New here.
	AnnotationRollbackTo = Group + "/rollback-to"
	// AnnotationReconcile asks for a reconciliation now, once for each change of the value. New here.
	AnnotationReconcile = Group + "/reconcile-at"
)

// ConfigPolicy says whether configuration is passed on to those that refer to an object.
// +kubebuilder:validation:Enum=Propagate;DoNotPropagate
type ConfigPolicy string

// Policies of configuration.
const (
	Propagate      ConfigPolicy = "Propagate"
	DoNotPropagate ConfigPolicy = "DoNotPropagate"
)

// OCMConfiguration names a source of configuration: a Secret (keys .ocmconfig or .dockerconfigjson), a ConfigMap (key .ocmconfig),
// or an object of this API whose effective configuration is taken over as far as it is propagated.
// +kubebuilder:validation:XValidation:rule="((!has(self.apiVersion) || size(self.apiVersion) == 0 || self.apiVersion == 'v1') && (self.kind == 'Secret' || self.kind == 'ConfigMap')) || (has(self.apiVersion) && self.apiVersion == 'delivery.ocm.software/v1alpha1' && (self.kind == 'Repository' || self.kind == 'Component' || self.kind == 'Resource' || self.kind == 'Replication'))",message="kind must be Secret or ConfigMap of apiVersion v1, or Repository, Component, Resource or Replication of apiVersion delivery.ocm.software/v1alpha1"
type OCMConfiguration struct {
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Namespace of the source; default: that of the object. Only cluster-scoped objects may name another one.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// +optional
	// +kubebuilder:default:=Propagate
	Policy ConfigPolicy `json:"policy,omitempty"`
}

// Verification demands a signature.
// Exactly one of secretRef, value and sigstore says who may have made it.
type Verification struct {
	// Signature is the name of the signature.
	// +kubebuilder:validation:MinLength=1
	Signature string `json:"signature"`
	// SecretRef names a Secret in the namespace of the object; under the name of the signature it has the public key: PEM (a key or
	// certificates), or an armored OpenPGP key.
	// +optional
	SecretRef *corev1.LocalObjectReference `json:"secretRef,omitempty"`
	// Value is the same, in base64.
	// +optional
	Value string `json:"value,omitempty"`
	// CASecretRef names a Secret with the authorities (key ca.crt, PEM) to which the certificates in the signature must lead. New here.
	// +optional
	CASecretRef *corev1.LocalObjectReference `json:"caSecretRef,omitempty"`
	// TSASecretRef names a Secret with the time stamping authorities (key ca.crt, PEM) whose word counts. New here.
	// +optional
	TSASecretRef *corev1.LocalObjectReference `json:"tsaSecretRef,omitempty"`
	// Issuer is the distinguished name that the signer's certificate must have, such as CN=release,O=acme. New here.
	// +optional
	Issuer string `json:"issuer,omitempty"`
	// KeyFingerprint says which of several OpenPGP keys must have signed: 40 or 64 hex digits. New here.
	// +optional
	// +kubebuilder:validation:Pattern=`^([0-9a-fA-F]{40}|[0-9a-fA-F]{64})$`
	KeyFingerprint string `json:"keyFingerprint,omitempty"`
	// Sigstore judges a keyless signature. New here.
	// +optional
	Sigstore *SigstoreVerification `json:"sigstore,omitempty"`
}

// SigstoreVerification says who must have signed, and whose word counts for it. Nothing is downloaded.
// +kubebuilder:validation:XValidation:rule="has(self.certificateIdentity) != has(self.certificateIdentityRegexp)",message="exactly one of certificateIdentity and certificateIdentityRegexp must be set"
// +kubebuilder:validation:XValidation:rule="has(self.certificateOIDCIssuer) != has(self.certificateOIDCIssuerRegexp)",message="exactly one of certificateOIDCIssuer and certificateOIDCIssuerRegexp must be set"
type SigstoreVerification struct {
	// TrustedRootSecretRef names a Secret in the namespace of the object; under trusted_root.json it has the authorities.
	TrustedRootSecretRef corev1.LocalObjectReference `json:"trustedRootSecretRef"`
	// +optional
	CertificateIdentity string `json:"certificateIdentity,omitempty"`
	// CertificateIdentityRegexp must match the whole identity.
	// +optional
	CertificateIdentityRegexp string `json:"certificateIdentityRegexp,omitempty"`
	// +optional
	CertificateOIDCIssuer string `json:"certificateOIDCIssuer,omitempty"`
	// CertificateOIDCIssuerRegexp must match the whole issuer.
	// +optional
	CertificateOIDCIssuerRegexp string `json:"certificateOIDCIssuerRegexp,omitempty"`
	// PrivateInfrastructure does without a transparency log; the signature then needs a timestamp.
	// +optional
	PrivateInfrastructure bool `json:"privateInfrastructure,omitempty"`
}

// ResourceID finds a resource below a component version.
type ResourceID struct {
	ByReference ResourceReference `json:"byReference"`
}

// Identity is a name, and further members that must be equal.
type Identity map[string]string

// ResourceReference finds a resource by its identity, in the component version at the end of a path of references.
type ResourceReference struct {
	// Resource is the identity: name, and as much of version and extra identity as tells it apart.
	// +kubebuilder:validation:XValidation:rule="'name' in self && self['name'] != ''",message="name must be set"
	Resource Identity `json:"resource"`
	// ReferencePath leads to the component version, one reference after the other.
	// +optional
	ReferencePath []Identity `json:"referencePath,omitempty"`
}

// ComponentInfo tells a component version, and where it was found.
type ComponentInfo struct {
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	RepositorySpec *apiextensionsv1.JSON `json:"repositorySpec"`
	Component      string                `json:"component"`
	Version        string                `json:"version"`
	// Digest of the normalised descriptor.
	// +optional
	Digest *Digest `json:"digest,omitempty"`
}

// Digest is a digest as it stands in descriptors.
type Digest struct {
	HashAlgorithm          string `json:"hashAlgorithm"`
	NormalisationAlgorithm string `json:"normalisationAlgorithm"`
	Value                  string `json:"value"`
}

// ResourceInfo tells a resource.
type ResourceInfo struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// +optional
	Version string `json:"version,omitempty"`
	// +optional
	ExtraIdentity Identity `json:"extraIdentity,omitempty"`
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Access *apiextensionsv1.JSON `json:"access"`
	// +optional
	Digest *Digest `json:"digest,omitempty"`
	// +optional
	Labels []Label `json:"labels,omitempty"`
}

// Label is a label of a resource.
type Label struct {
	Name string `json:"name"`
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	Value apiextensionsv1.JSON `json:"value"`
	// +optional
	Version string `json:"version,omitempty"`
	// +optional
	Signing bool `json:"signing,omitempty"`
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +optional
	Merge *apiextensionsv1.JSON `json:"merge,omitempty"`
}

// Verdict says what a verification found.
type Verdict string

// Verdicts.
const (
	Verified   Verdict = "Verified"   // all signatures that are demanded are good, and cover what is used
	Unverified Verdict = "Unverified" // none was demanded
	Refused    Verdict = "Refused"    // not good, or it could not be judged
)

// VerificationStatus tells who vouches for a component version. New here.
type VerificationStatus struct {
	Verdict Verdict `json:"verdict"`
	// +optional
	Signatures []SignatureStatus `json:"signatures,omitempty"`
	// Message says why not, where the verdict is Refused.
	// +optional
	Message string `json:"message,omitempty"`
	// Time of the verification.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`
}

// SignatureStatus is a signature that was judged.
type SignatureStatus struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	// Signer is the key, certificate or identity that signed.
	// +optional
	Signer string `json:"signer,omitempty"`
}

// Status is what all kinds have in common.
type Status struct {
	// ObservedGeneration is the generation of the spec that the conditions are about. It begins with -1, so that nobody takes an object that
	// no controller has seen yet for one that is settled.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// EffectiveOCMConfig lists the sources of the configuration that counts.
	// +optional
	EffectiveOCMConfig []OCMConfiguration `json:"effectiveOCMConfig,omitempty"`
}

// Object is what reconcilers need from every kind.
// +kubebuilder:object:generate=false
type Object interface {
	metav1.Object
	// Common is the part of the status that all kinds have.
	Common() *Status
	// OCMConfig is the configuration that the spec names.
	OCMConfig() []OCMConfiguration
	// Suspended reports whether nothing is to be done.
	Suspended() bool
}
