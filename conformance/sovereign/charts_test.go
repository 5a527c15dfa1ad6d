// SPDX-License-Identifier: Apache-2.0

// Package sovereign_test judges the charts of the product; the scenario itself is run by make sovereign.
package sovereign_test

import (
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

const digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123"

// What an orchestrator puts in: coordinates of an image, and the fields of an instance of the product.
const (
	notesValues = `
replicaCount: 3
image: {repository: "registry:5000/component-descriptors/acme.org/sovereign/notes", digest: "` + digest + `"}
databaseConfigRef: {name: sovereign-product-config}
databaseSecretRef: {name: sovereign-product-secrets}
resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m, memory: 128Mi}}
`
	postgresValues = `
fullnameOverride: postgres
image: {repository: "registry:5000/component-descriptors/acme.org/sovereign/postgres", digest: "` + digest + `"}
database: {name: sovereign_notes, username: sovereign_user}
databaseSecretRef: {name: sovereign-product-secrets}
persistence: {size: 1Gi, storageClassName: ""}
`
)

// render gives what Helm makes of the chart of a service, by the names of its templates.
func render(t *testing.T, service, values string) (map[string]string, error) {
	t.Helper()
	chart, err := loader.LoadDir(filepath.Join(service, "deploy", "chart"))
	if err != nil {
		t.Fatal(err)
	}
	v := map[string]any{}
	if err := yaml.Unmarshal([]byte(values), &v); err != nil {
		t.Fatal(err)
	}
	release := common.ReleaseOptions{Name: "sovereign-" + service, Namespace: "sovereign-product", Revision: 1, IsInstall: true}
	all, err := commonutil.ToRenderValues(chart, v, release, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, all)
	made := map[string]string{}
	for name, text := range files {
		made[filepath.Base(name)] = strings.TrimSpace(text)
	}
	return made, err
}

// object reads what a template made, strictly: a field that Kubernetes does not know is an error.
func object[T any](t *testing.T, service, values, template string) T {
	t.Helper()
	files, err := render(t, service, values)
	if err != nil {
		t.Fatal(err)
	}
	var o T
	if err := yaml.UnmarshalStrict([]byte(files[template]), &o); err != nil {
		t.Fatalf("%s: %v\n%s", template, err, files[template])
	}
	return o
}

func checkPod(t *testing.T, pod corev1.PodSpec, user int64, service string) corev1.Container {
	t.Helper()
	c, s := pod.Containers[0], pod.SecurityContext
	if want := "registry:5000/component-descriptors/acme.org/sovereign/" + service + "@" + digest; c.Image != want {
		t.Errorf("the image is %s, want %s", c.Image, want)
	}
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser != user ||
		s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s runs as %+v", service, s)
	}
	own := c.SecurityContext
	if own == nil || !*own.ReadOnlyRootFilesystem || *own.AllowPrivilegeEscalation || len(own.Capabilities.Drop) != 1 || own.Capabilities.Drop[0] != "ALL" {
		t.Errorf("%s may do more than it needs: %+v", service, own)
	}
	if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 || c.StartupProbe == nil || c.LivenessProbe == nil || c.ReadinessProbe == nil {
		t.Errorf("%s: want one container with all probes", service)
	}
	for _, e := range c.Env {
		if strings.Contains(e.Name, "PASSWORD") && (e.ValueFrom == nil || e.ValueFrom.SecretKeyRef.Name != "sovereign-product-secrets") {
			t.Errorf("%s: %s is not taken from the Secret", service, e.Name)
		}
	}
	return c
}

func TestChartOfNotes(t *testing.T) {
	t.Parallel()
	d := object[appsv1.Deployment](t, "notes", notesValues, "deployment.yaml")
	c := checkPod(t, d.Spec.Template.Spec, 1001, "notes")
	if r := d.Spec.Strategy.RollingUpdate; d.Name != "sovereign-notes" || *d.Spec.Replicas != 3 || r.MaxSurge.IntValue() != 1 || r.MaxUnavailable.IntValue() != 0 {
		t.Errorf("found %+v", d.Spec)
	}
	if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Errorf("probes: %+v, %+v", c.LivenessProbe, c.ReadinessProbe)
	}
	if e := c.Env[1]; e.Name != "PGHOST" || e.ValueFrom == nil || e.ValueFrom.ConfigMapKeyRef.Key != "database.host" {
		t.Errorf("the host of the database: %+v", e)
	}
	s := object[corev1.Service](t, "notes", notesValues, "service.yaml")
	if p := s.Spec.Ports[0]; s.Name != "sovereign-notes" || p.Port != 80 || c.Ports[0].Name != p.TargetPort.String() || c.Ports[0].ContainerPort != 8080 {
		t.Errorf("found %+v", s.Spec)
	}
	values := strings.Replace(notesValues, "databaseConfigRef: {name: sovereign-product-config}", "database: {host: db, port: 5433}", 1)
	plain := object[appsv1.Deployment](t, "notes", values, "deployment.yaml")
	if e := plain.Spec.Template.Spec.Containers[0].Env; e[1].Value != "db" || e[2].Value != "5433" {
		t.Errorf("without a ConfigMap: %+v", e)
	}
}

func TestChartOfPostgres(t *testing.T) {
	t.Parallel()
	s := object[appsv1.StatefulSet](t, "postgres", postgresValues, "statefulset.yaml")
	c := checkPod(t, s.Spec.Template.Spec, 999, "postgres")
	claim := s.Spec.VolumeClaimTemplates[0].Spec
	if size := claim.Resources.Requests.Storage().String(); s.Name != "postgres" || size != "1Gi" || claim.StorageClassName == nil || *claim.StorageClassName != "" {
		t.Errorf("%s asks for %+v", s.Name, claim)
	}
	if got := c.ReadinessProbe.Exec.Command; got[0] != "pg_isready" || c.VolumeMounts[0].MountPath != "/var/lib/postgresql/data" {
		t.Errorf("found %v, %v", got, c.VolumeMounts)
	}
	fromMap := postgresValues + "databaseConfigRef: {name: sovereign-product-config}\n"
	for values, want := range map[string]bool{postgresValues: false, fromMap: true} {
		db := object[appsv1.StatefulSet](t, "postgres", values, "statefulset.yaml").Spec.Template.Spec.Containers[0].Env[1]
		if db.Name != "POSTGRES_DB" || (db.ValueFrom != nil) != want || (db.Value == "sovereign_notes") == want {
			t.Errorf("the name of the database: %+v", db)
		}
	}
	service := object[corev1.Service](t, "postgres", postgresValues, "service.yaml")
	if service.Name != "postgres" || service.Spec.Ports[0].Port != 5432 {
		t.Errorf("found %+v", service)
	}

	own := strings.Replace(postgresValues, "username: sovereign_user", `username: sovereign_user, password: "a\"b: {c}"`, 1)
	own = strings.Replace(own, "databaseSecretRef: {name: sovereign-product-secrets}", "", 1)
	own = strings.Replace(own, `, storageClassName: ""`, "", 1)
	if secret := object[corev1.Secret](t, "postgres", own, "secret.yaml"); secret.StringData["database.password"] != `a"b: {c}` {
		t.Errorf("found %+v", secret.StringData)
	}
	if s := object[appsv1.StatefulSet](t, "postgres", own, "statefulset.yaml"); s.Spec.VolumeClaimTemplates[0].Spec.StorageClassName != nil {
		t.Error("a class of storage is asked for that nobody named")
	}
}

func TestChartsRefuseWhatIsNotPinned(t *testing.T) {
	t.Parallel()
	for service, good := range map[string]string{"notes": notesValues, "postgres": postgresValues} {
		if _, err := render(t, service, good); err != nil {
			t.Errorf("%s: %v", service, err)
		}
		for _, c := range []struct{ old, new, want string }{
			{`, digest: "` + digest + `"`, "", "image.digest"},
			{digest, "sha256:12", "digest"},
			{digest, "latest", "digest"},
			{`repository: "registry:5000/component-descriptors/acme.org/sovereign/` + service + `", `, "", "image.repository"},
			{"image: {", "image: {tag: latest, ", "tag"},
			{"image: {", "imagePullPolice: Always\nimage: {", "imagePullPolice"},
		} {
			if _, err := render(t, service, strings.Replace(good, c.old, c.new, 1)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s with %q for %q: %v", service, c.new, c.old, err)
			}
		}
	}
	if _, err := render(t, "postgres", strings.Replace(postgresValues, "databaseSecretRef: {name: sovereign-product-secrets}", "", 1)); err == nil || !strings.Contains(err.Error(), "database.password") {
		t.Errorf("without a password: %v", err)
	}
}
