// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"ocm"
	"ocm/deploy/install"
)

const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestManifests(t *testing.T) {
	t.Parallel()
	o := install.Options{Image: "registry.local:5000/a/component-descriptors/ocm.software/controller@" + digest}
	raw, err := install.Manifests(o)
	if err != nil {
		t.Fatal(err)
	}
	if i := bytes.Index(raw, []byte("placeholder")); i >= 0 {
		t.Errorf("something was not put in: %s", raw[max(0, i-80):i+40])
	}
	if !bytes.HasPrefix(raw, []byte("# SPDX")) || bytes.Index(raw, []byte("\nkind: Namespace\n")) > bytes.Index(raw, []byte("\nkind: NetworkPolicy\n")) {
		t.Error("the namespace is not the first object")
	}
	objects := decode(t, string(raw))
	if objects["Namespace/ocm-k8s-toolkit-system"] == nil || objects["ServiceAccount/ocm-k8s-toolkit-controller-manager"] == nil {
		t.Errorf("names are not those of the contract: %q", names(objects))
	}
	d := objects["Deployment/ocm-k8s-toolkit-controller-manager"].(*appsv1.Deployment)
	if d.Namespace != "ocm-k8s-toolkit-system" || *d.Spec.Replicas != 1 || d.Spec.Template.Spec.Containers[0].Image != o.Image || len(d.Spec.Template.Spec.ImagePullSecrets) != 0 {
		t.Errorf("%+v", d)
	}
	again, _ := install.Manifests(o)
	if !bytes.Equal(raw, again) {
		t.Error("equal options give other bytes")
	}
}

func TestManifestsWithOptions(t *testing.T) {
	t.Parallel()
	raw, err := install.Manifests(install.Options{Namespace: "ocm", Release: "r", Image: "[::1]:5000/c:v1@" + digest, PullSecret: "pull.me", Replicas: 3, Version: "1.0.0+build/5"})
	if err != nil {
		t.Fatal(err)
	}
	objects := decode(t, string(raw))
	d := objects["Deployment/r-controller-manager"].(*appsv1.Deployment)
	pod := d.Spec.Template.Spec
	if d.Namespace != "ocm" || *d.Spec.Replicas != 3 || len(pod.ImagePullSecrets) != 1 || pod.ImagePullSecrets[0].Name != "pull.me" || pod.ServiceAccountName != "r-reconciler" {
		t.Errorf("%+v", d)
	}
	if got := d.Labels["app.kubernetes.io/version"]; got != "1.0.0_build_5" {
		t.Errorf("version %q", got)
	}
}

// hostile are values that would be more than what they stand for.
var hostile = []string{"a\nkind: Secret", "a: b", "a #", `a"`, "a'", "{a}", "A", "-a", "a-", "a_b", "a b", "../a", "a\x00", strings.Repeat("a", 300), "release-placeholder\n"}

func TestCVE_2025_47284_NamesInManifests(t *testing.T) {
	t.Parallel()
	good := install.Options{Image: "r.local/c:1"}
	for _, text := range hostile {
		for field, set := range map[string]func(*install.Options){
			"namespace": func(o *install.Options) { o.Namespace = text }, "release": func(o *install.Options) { o.Release = text },
			"image": func(o *install.Options) { o.Image = "r.local/c:1" + text + "/" }, "image pull secret": func(o *install.Options) { o.PullSecret = text },
		} {
			o := good
			set(&o)
			_, err := install.Manifests(o)
			if !errors.Is(err, ocm.ErrInvalid) || !strings.HasPrefix(err.Error(), field+" ") {
				t.Errorf("%s %q: %v", field, text, err)
			}
		}
	}
	for _, o := range []install.Options{{}, {Image: "http://r.local/c"}, {Image: "r.local/c@sha256:ab"}, {Image: "r.local/c", Replicas: -1}, {Image: "r.local/c", Replicas: 10}} {
		if _, err := install.Manifests(o); !errors.Is(err, ocm.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func FuzzManifests(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, text, text, text, text)
	}
	f.Add("ns", "release", "reg.local:5000/a/b:v1@"+digest, "secret", "1.0.0")
	f.Add("namespace-placeholder", "release-placeholder", "image.placeholder/name:tag", "pull-secret-placeholder", "latest")
	want, err := install.Manifests(install.Options{Image: "a", PullSecret: "a"})
	if err != nil {
		f.Fatal(err)
	}
	lines := bytes.Count(want, []byte("\n"))
	f.Fuzz(func(t *testing.T, namespace, release, image, pull, version string) {
		raw, err := install.Manifests(install.Options{Namespace: namespace, Release: release, Image: image, PullSecret: pull, Version: version})
		if err != nil {
			if !errors.Is(err, ocm.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if n := bytes.Count(raw, []byte("\n")); n != lines && !(pull == "" && n == lines-2) {
			t.Fatalf("%d lines, expected %d", n, lines)
		}
	})
}
