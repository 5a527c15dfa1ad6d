// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ocm/deploy/v1alpha1"
)

func TestReport(t *testing.T) {
	t.Parallel()
	digest := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
	pod := func(name, image, id string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
			Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "main", ImageID: id}}}}
	}
	res := shopResource()
	res.Status.Resource.Digest = &v1alpha1.Digest{HashAlgorithm: "SHA-256", NormalisationAlgorithm: "ociArtifactDigest/v1", Value: strings.Repeat("a", 64)}
	d := testDeployer()
	d.Status.Revision = 1
	d.Status.History = []v1alpha1.Revision{{Revision: 1, Verdict: v1alpha1.Unverified}}
	d.Status.Images = []v1alpha1.DeployedImage{{Name: "web", Image: "r/web@" + digest("b"), Component: "acme.org/web", Version: "2.0.0", Resource: "image"}}
	ended := pod("ended", "r/old", "r/old@"+digest("d"))
	ended.Status.Phase = corev1.PodSucceeded
	two := pod("two", "r/app:1", "docker-pullable://r/app@"+digest("a"))
	two.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "r/web@" + digest("b")}}
	two.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox"}}}
	bed := newTestbed(t, res, d, pod("one", "r/app:1", "r/app@"+digest("a")), two, ended, pod("bare", "r/bare", digest("a")))

	report, err := NewReport(t.Context(), bed.GetClient())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range report.Images {
		line := i.Image + " " + strings.Join(i.Containers, ",")
		for _, o := range i.Origins {
			line += " " + o.Component + ":" + o.Version + " " + o.Resource + " " + string(o.Verdict) + " " + o.By
		}
		got = append(got, line)
	}
	want := []string{
		"busybox shop/two/debug",
		"r/app:1 shop/one/main,shop/two/main acme.org/app:1.0.0 manifests Verified Resource team/app",
		"r/bare shop/bare/main", // the digest is that of a configuration
		"r/web@" + digest("b") + " shop/two/init acme.org/web:2.0.0 image Unverified Deployer app",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("expected\n%s\nfound\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	if !report.Images[1].Verified() || report.Images[3].Verified() || report.Images[0].Verified() {
		t.Error("Verified")
	}
}
