// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/v1alpha1"
)

// Report lists the images that run in a cluster, and where they come from.
type Report struct {
	Images []RunningImage `json:"images"` // by name and digest
}

// RunningImage is an image that containers of pods run.
type RunningImage struct {
	// Image is its name as the pods have it.
	Image string `json:"image"`
	// Digest by which it was pulled (sha256:…); empty if neither the kubelet nor the pod tells it. Without it nothing is known of its origin.
	Digest string `json:"digest,omitempty"`
	// Containers that run it: namespace/pod/container, sorted.
	Containers []string `json:"containers"`
	// Origins are the resources of component versions that have this digest; none: it belongs to no component version that is known here.
	Origins []Origin `json:"origins"`
}

// Origin is a resource of a component version, as a controller has found it.
type Origin struct {
	Component string `json:"component"`
	Version   string `json:"version"`
	Resource  string `json:"resource"`
	// Verdict of the verification, when it was last looked at.
	Verdict v1alpha1.Verdict `json:"verdict"`
	// By is the object that tells it, such as Resource team/image or Deployer shop.
	By string `json:"by"`
}

// Verified reports whether an image belongs to a component version whose signatures are good.
func (i RunningImage) Verified() bool {
	return slices.ContainsFunc(i.Origins, func(o Origin) bool { return o.Verdict == v1alpha1.Verified })
}

// reportPage is how many pods are read at a time.
const reportPage = 500

// NewReport looks at all pods, Resources and Deployers of a cluster. Images are compared by digest; names tell nothing. What is told of origins is what
// the controllers have written into statuses.
func NewReport(ctx context.Context, c client.Client) (*Report, error) {
	origins, err := originsOf(ctx, c)
	if err != nil {
		return nil, err
	}
	running := map[[2]string]*RunningImage{}
	pods := &corev1.PodList{}
	for {
		if err := c.List(ctx, pods, client.Limit(reportPage), client.Continue(pods.Continue)); err != nil {
			return nil, fmt.Errorf("pods: %w", err)
		}
		for i := range pods.Items {
			addPod(running, &pods.Items[i])
		}
		if pods.Continue == "" {
			break
		}
	}
	report := &Report{Images: []RunningImage{}}
	for _, image := range running {
		slices.Sort(image.Containers)
		if image.Origins = []Origin{}; image.Digest != "" {
			image.Origins = append(image.Origins, origins[image.Digest]...)
		}
		report.Images = append(report.Images, *image)
	}
	slices.SortFunc(report.Images, func(a, b RunningImage) int {
		return cmp.Or(cmp.Compare(a.Image, b.Image), cmp.Compare(a.Digest, b.Digest))
	})
	return report, nil
}

// addPod adds the containers of a pod that has not ended.
func addPod(running map[[2]string]*RunningImage, pod *corev1.Pod) {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return
	}
	ids := map[string]string{}
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses) {
		ids[s.Name] = s.ImageID
	}
	images := map[string]string{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		images[c.Name] = c.Image
	}
	for _, c := range pod.Spec.EphemeralContainers {
		images[c.Name] = c.Image
	}
	for _, name := range slices.Sorted(maps.Keys(images)) {
		digest := cmp.Or(pulled(ids[name]), pulled(images[name]))
		key := [2]string{images[name], digest}
		if running[key] == nil {
			running[key] = &RunningImage{Image: images[name], Digest: digest}
		}
		running[key].Containers = append(running[key].Containers, pod.Namespace+"/"+pod.Name+"/"+name)
	}
}

// pulled is the digest by which an image was pulled. An ID that is a digest alone is that of the configuration.
func pulled(image string) string {
	_, digest, _ := strings.Cut(image, "@")
	return digest
}

// originsOf finds the digests of images in what Resources and Deployers tell.
func originsOf(ctx context.Context, c client.Client) (map[string][]Origin, error) {
	all := map[string][]Origin{}
	add := func(digest string, o Origin) {
		if digest != "" && !slices.Contains(all[digest], o) {
			all[digest] = append(all[digest], o)
		}
	}
	resources, deployers := &v1alpha1.ResourceList{}, &v1alpha1.DeployerList{}
	if err := c.List(ctx, resources); err != nil {
		return nil, fmt.Errorf("Resources: %w", err)
	}
	if err := c.List(ctx, deployers); err != nil {
		return nil, fmt.Errorf("Deployers: %w", err)
	}
	for i := range resources.Items {
		r := &resources.Items[i]
		if r.Status.Resource == nil || r.Status.Component == nil {
			continue
		}
		o := Origin{Component: r.Status.Component.Component, Version: r.Status.Component.Version, Resource: r.Status.Resource.Name,
			Verdict: v1alpha1.Unverified, By: nameOf(r)}
		if v := r.Status.Verification; v != nil {
			o.Verdict = v.Verdict
		}
		for _, digest := range artifactDigests(r.Status.Resource) {
			add(digest, o)
		}
	}
	for i := range deployers.Items {
		d := &deployers.Items[i]
		rev := running(d)
		if rev == nil {
			continue
		}
		for _, image := range d.Status.Images {
			add(pulled(image.Image), Origin{Component: image.Component, Version: image.Version, Resource: image.Resource, Verdict: rev.Verdict, By: nameOf(d)})
		}
	}
	return all, nil
}

// artifactDigests are the digests by which a resource is pulled, if it is an OCI artifact.
func artifactDigests(r *v1alpha1.ResourceInfo) []string {
	var all []string
	if d := r.Digest; d != nil && d.NormalisationAlgorithm == ocm.OCIArtifactDigest {
		if algorithm, ok := map[string]string{ocm.SHA256: "sha256", ocm.SHA512: "sha512"}[d.HashAlgorithm]; ok {
			all = append(all, algorithm+":"+d.Value)
		}
	}
	var access struct {
		ImageReference string `json:"imageReference"`
	}
	if r.Access != nil && json.Unmarshal(r.Access.Raw, &access) == nil {
		all = append(all, pulled(access.ImageReference))
	}
	return all
}
