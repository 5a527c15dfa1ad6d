// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Format says how content becomes objects.
// +kubebuilder:validation:Enum=Auto;Manifests;Helm;Kustomize
type Format string

// Formats.
const (
	FormatAuto      Format = "Auto" // by the type of the resource, and by what is in it
	FormatManifests Format = "Manifests"
	FormatHelm      Format = "Helm"
	FormatKustomize Format = "Kustomize"
)

// DriftPolicy says what happens when somebody else changes what was deployed.
// +kubebuilder:validation:Enum=Repair;Report;Ignore
type DriftPolicy string

// Policies of drift.
const (
	DriftRepair DriftPolicy = "Repair"
	DriftReport DriftPolicy = "Report"
	DriftIgnore DriftPolicy = "Ignore"
)

// DeployerSpec says what is deployed, and how. All but resourceRef, ocmConfig and suspend is new here, and optional.
type DeployerSpec struct {
	// ResourceRef names the Resource whose content is deployed.
	ResourceRef ObjectKey `json:"resourceRef"`
	// +optional
	OCMConfig []OCMConfiguration `json:"ocmConfig,omitempty"`
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// ServiceAccountName is the identity, in the namespace of the Resource, that deploys. Without it that is the identity of the
	// installation for this purpose, which has no rights unless somebody grants them.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// TargetNamespace is where objects go that name no namespace, and the release of a chart; default: the namespace of the Resource.
	// +optional
	TargetNamespace string `json:"targetNamespace,omitempty"`
	// +optional
	// +kubebuilder:default:=Auto
	Format Format `json:"format,omitempty"`
	// Path of the directory, or of the chart, inside of an archive; default: its top.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path,omitempty"`
	// ReleaseName of a chart; default: the name of the Deployer.
	// +optional
	// +kubebuilder:validation:MaxLength=53
	ReleaseName string `json:"releaseName,omitempty"`

	// Values of a chart. They win over valuesFrom, and localized ones win over both.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
	// ValuesFrom are sources of values in the namespace of the Resource; later ones win.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	ValuesFrom []ValuesReference `json:"valuesFrom,omitempty"`
	// ValueExpressions are CEL expressions, in objects of any depth, that become values of a chart. They know resource and component
	// (of what is deployed) and images, which has the coordinates of each entry of localization by its name:
	// {image: {repository: images.backend.image}}.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	ValueExpressions *apiextensionsv1.JSON `json:"valueExpressions,omitempty"`
	// Localization says where images of the component are put in, as the coordinates that they have here.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	Localization []Localization `json:"localization,omitempty"`

	// Prune says whether objects are deleted that are no longer part of the content, and all of them when the Deployer is deleted.
	// +optional
	// +kubebuilder:default:=true
	Prune *bool `json:"prune,omitempty"`
	// DryRun changes nothing; status.diff tells what would be changed.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
	// DependsOn names Deployers that must be ready before.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	DependsOn []DeployerReference `json:"dependsOn,omitempty"`
	// HealthGate waits until what was deployed works. Without it a Deployer is ready when everything is applied.
	// +optional
	HealthGate *HealthGate `json:"healthGate,omitempty"`
	// +optional
	// +kubebuilder:default:=Repair
	Drift DriftPolicy `json:"drift,omitempty"`
	// HistoryLimit is how many revisions are kept.
	// +optional
	// +kubebuilder:default:=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=50
	HistoryLimit int32 `json:"historyLimit,omitempty"`
}

// ObjectKey names an object in a namespace.
type ObjectKey struct {
	// +kubebuilder:validation:MinLength=1
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

// ValuesReference names values of a chart in a ConfigMap or Secret.
type ValuesReference struct {
	// +kubebuilder:validation:Enum=ConfigMap;Secret
	Kind string `json:"kind"`
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Key of the data; default values.yaml.
	// +optional
	Key string `json:"key,omitempty"`
	// TargetPath puts the text as it is at this path of the values, such as database.password. Without it the text is YAML.
	// +optional
	TargetPath string `json:"targetPath,omitempty"`
	// Optional accepts that it is not there.
	// +optional
	Optional bool `json:"optional,omitempty"`
}

// Part of the coordinates of an image: registry.example.org/team/app:1.0@sha256:… has the registry registry.example.org, the path
// team/app, the repository registry.example.org/team/app, the tag 1.0, the digest sha256:…, and the image
// registry.example.org/team/app@sha256:….
// +kubebuilder:validation:Enum=Image;Registry;Path;Repository;Tag;Digest
type Part string

// Parts of coordinates.
const (
	PartImage      Part = "Image"
	PartRegistry   Part = "Registry"
	PartPath       Part = "Path"
	PartRepository Part = "Repository"
	PartTag        Part = "Tag"
	PartDigest     Part = "Digest"
)

// Localization puts the coordinates of an image where they are needed.
type Localization struct {
	// Name of the image in expressions: images.NAME.
	// +kubebuilder:validation:Pattern=`^[a-z][a-zA-Z0-9_]*$`
	Name string `json:"name"`
	// Resource is the image, seen from the Component of the Resource that is deployed.
	Resource ResourceReference `json:"resource"`
	// Values of a chart.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	Values []LocalizedValue `json:"values,omitempty"`
	// Fields of objects.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	Fields []LocalizedField `json:"fields,omitempty"`
	// Replaces lists names of images, without tag and digest; wherever a container has one of them, it gets this image. That no container
	// has any of them is an error.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	Replaces []string `json:"replaces,omitempty"`
}

// LocalizedValue is a value of a chart.
type LocalizedValue struct {
	// Path of the value, such as image.repository or sidecars[0].image.
	// +kubebuilder:validation:MinLength=1
	Path string `json:"path"`
	// +optional
	// +kubebuilder:default:=Image
	Part Part `json:"part,omitempty"`
}

// LocalizedField is a field of objects.
type LocalizedField struct {
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`
	// +kubebuilder:validation:MinLength=1
	Kind string `json:"kind"`
	// Name of the object; empty: all of the kind.
	// +optional
	Name string `json:"name,omitempty"`
	// Path of the field, such as spec.template.spec.containers[name=web].image or spec.image.
	// +kubebuilder:validation:MinLength=1
	Path string `json:"path"`
	// +optional
	// +kubebuilder:default:=Image
	Part Part `json:"part,omitempty"`
}

// DeployerReference names another Deployer.
type DeployerReference struct {
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// FailurePolicy says what happens when a health gate is not passed.
// +kubebuilder:validation:Enum=Keep;Rollback
type FailurePolicy string

// Policies of failures.
const (
	FailureKeep     FailurePolicy = "Keep"
	FailureRollback FailurePolicy = "Rollback" // to the last revision that was good
)

// HealthGate waits for health.
type HealthGate struct {
	// Timeout is how long everything that was applied may take.
	// +optional
	// +kubebuilder:default:="5m"
	Timeout metav1.Duration `json:"timeout,omitempty"`
	// +optional
	// +kubebuilder:default:=Keep
	OnFailure FailurePolicy `json:"onFailure,omitempty"`
}

// DeployerStatus tells what was deployed.
type DeployerStatus struct {
	Status `json:",inline"`
	// +optional
	Deployed []DeployedObject `json:"deployed,omitempty"`
	// Revision of the history that is deployed. New here, as all that follows.
	// +optional
	Revision int64 `json:"revision,omitempty"`
	// History of what was deployed, newest first.
	// +optional
	History []Revision `json:"history,omitempty"`
	// Release of a chart, namespace/name.
	// +optional
	Release string `json:"release,omitempty"`
	// Unhealthy lists objects that do not work, each with the reason; at most 20.
	// +optional
	Unhealthy []string `json:"unhealthy,omitempty"`
	// Diff tells what a dry run would change. Values of Secrets are never in it.
	// +optional
	Diff string `json:"diff,omitempty"`
	// HandledRollback is the value of the annotation that was followed.
	// +optional
	HandledRollback string `json:"handledRollback,omitempty"`
	// Images are those that were put in by localization, where they are now; at most 256.
	// +optional
	Images []DeployedImage `json:"images,omitempty"`
	// Held is the input that is not deployed, because it was rolled back: a digest over content and configuration. It is tried again
	// when any of it changes.
	// +optional
	Held string `json:"held,omitempty"`
}

// DeployedObject is an object in the cluster.
type DeployedObject struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// +optional
	UID types.UID `json:"uid,omitempty"`
}

// DeployedImage is an image of a component version as it is pulled here.
type DeployedImage struct {
	// Name of the entry of localization.
	Name string `json:"name"`
	// Image is registry/path@digest.
	Image     string `json:"image"`
	Component string `json:"component"`
	Version   string `json:"version"`
	Resource  string `json:"resource"`
}

// Outcome of a revision.
type Outcome string

// Outcomes.
const (
	OutcomePending    Outcome = "Pending"    // applied, and the health gate is waiting
	OutcomeGood       Outcome = "Good"       // applied, and the health gate, if there is one, was passed
	OutcomeFailed     Outcome = "Failed"     // not applied as a whole, or not healthy in time
	OutcomeRolledBack Outcome = "RolledBack" // failed, and an earlier revision took its place
)

// Revision is one state that was deployed.
type Revision struct {
	Revision  int64  `json:"revision"`
	Component string `json:"component"`
	Version   string `json:"version"`
	// ComponentDigest is that of the normalised descriptor, ResourceDigest that of the content.
	// +optional
	ComponentDigest string `json:"componentDigest,omitempty"`
	// +optional
	ResourceDigest string `json:"resourceDigest,omitempty"`
	// Input is a digest over content and configuration.
	Input   string  `json:"input"`
	Verdict Verdict `json:"verdict"`
	// +optional
	Signer  string      `json:"signer,omitempty"`
	Outcome Outcome     `json:"outcome"`
	Time    metav1.Time `json:"time"`
	// +optional
	Message string `json:"message,omitempty"`
	// RollbackOf is the revision that is deployed again by this one.
	// +optional
	RollbackOf int64 `json:"rollbackOf,omitempty"`
	// Stored says that the objects are kept, so that the revision can be deployed again.
	Stored bool `json:"stored"`
	// StoredDigest is that of what is kept; what has another one is not deployed.
	// +optional
	StoredDigest string `json:"storedDigest,omitempty"`
}

// Deployer brings the content of a Resource into the cluster.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Revision",type=integer,JSONPath=`.status.revision`,priority=1
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.history[0].version`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Deployer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec DeployerSpec `json:"spec"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status DeployerStatus `json:"status,omitempty"`
}

// DeployerList is a list of them.
// +kubebuilder:object:root=true
type DeployerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Deployer `json:"items"`
}

// Common implements [Object].
func (o *Deployer) Common() *Status { return &o.Status.Status }

// OCMConfig implements [Object].
func (o *Deployer) OCMConfig() []OCMConfiguration { return o.Spec.OCMConfig }

// Suspended implements [Object].
func (o *Deployer) Suspended() bool { return o.Spec.Suspend }
