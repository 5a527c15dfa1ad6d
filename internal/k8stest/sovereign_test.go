// SPDX-License-Identifier: Apache-2.0

package k8stest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ocm/deploy/v1alpha1"
	"ocm/internal/cluster"
)

// byKro is the site of the scenario's reference: a definition for kro comes in the component, and Flux installs its charts.
type byKro struct {
	*site
	*delivery
	ns string
}

// The bootstrap that users of the existing controllers have, and what may happen to it afterwards.
func TestProductByKroAndFlux(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	k := &byKro{site: s, delivery: newDelivery(t, s), ns: "sovereign-product"}
	k.Kro(t)
	k.Flux(t)
	k.release(t, "1.0.0")
	for _, stage := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"nothing is deployed with another key", k.wrongKey},
		{"bootstrap", k.bootstrap},
		{"everything settles", k.settles},
		{"again", k.again},
		{"configuration", k.configuration},
		{"upgrade", k.upgrade},
		{"downgrade", k.downgrade},
		{"a version that does not work", k.broken},
		{"without the registry", k.offline},
		{"delete the Deployer", k.deleteDeployer},
	} {
		if !t.Run(stage.name, stage.run) {
			return // later stages begin where this one should have ended
		}
	}
}

const readyReason = `jsonpath={.status.conditions[?(@.type=="Ready")].reason}`

// apply applies as an administrator does, on the side of the client.
func (k *byKro) apply(t *testing.T, manifest string) {
	t.Helper()
	if out, err := k.Run(t.Context(), manifest, "apply", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// instance wants a version.
func (k *byKro) instance(t *testing.T, version, more string) {
	t.Helper()
	k.apply(t, strings.ReplaceAll(k.manifest(t, "instance.yaml"), `version: "1.0.0"`, fmt.Sprintf("version: %q\n%s", version, more)))
}

// key puts a public key where the Component looks for it, and lets that look now.
func (k *byKro) key(t *testing.T, file string) {
	t.Helper()
	secret := k.Kubectl(t, "create", "secret", "generic", "acme-signing-key", "-n", k.ns, "--from-file=default="+k.dir+"/"+file, "--dry-run=client", "-o", "yaml")
	k.Apply(t, secret)
	k.Kubectl(t, "annotate", "component", "sovereign-product-component", "-n", k.ns, "--overwrite", v1alpha1.AnnotationReconcile+"="+file)
}

// runs says which image the notes service has, and that it comes from where the component is.
func (k *byKro) runs(t *testing.T) string {
	t.Helper()
	image := k.Kubectl(t, "get", "deployment", "sovereign-notes", "-n", k.ns, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	if want := k.host + "/component-descriptors/acme.org/sovereign/notes@sha256:"; !strings.HasPrefix(image, want) {
		t.Errorf("expected an image of %s…, found %s", want, image)
	}
	return image
}

func (k *byKro) wrongKey(t *testing.T) {
	k.apply(t, k.manifest(t, "bootstrap.yaml"))
	k.ocm(t, "create", "rsakeypair", "--bits", "2048", "tmp/keys/other", "tmp/keys/other.pub")
	k.key(t, "tmp/keys/other.pub")
	k.becomes(t, v1alpha1.ReasonVerificationFailed, "component/sovereign-product-component", readyReason, "-n", k.ns)
	k.becomes(t, v1alpha1.ReasonResourceIsNotAvailable, "deployer/sovereign-product-deployer", readyReason)
	if found := k.Kubectl(t, "get", "resourcegraphdefinitions", "-o", "name"); found != "" {
		t.Errorf("deployed: %s", found)
	}
}

func (k *byKro) bootstrap(t *testing.T) {
	k.key(t, "tmp/keys/acme-public.pem")
	k.wait(t, "Ready", "deployer/sovereign-product-deployer", "")
	k.wait(t, "Ready", "resourcegraphdefinition/sovereign-product", "")
	k.instance(t, "1.0.0", "")
	k.wait(t, "Ready", "sovereignproduct/sovereign-product", "")
	k.runs(t)
	for _, name := range []string{"notes", "postgres"} {
		got := k.Kubectl(t, "get", "ocirepository", "sovereign-"+name, "-n", k.ns, "-o", "jsonpath={.spec.url}@{.spec.ref.digest}")
		if want := "oci://" + k.host + "/component-descriptors/acme.org/sovereign/" + name + "@sha256:"; !strings.HasPrefix(got, want) {
			t.Errorf("expected a chart of %s…, found %s", want, got)
		}
	}
}

// state is what kro, Flux and we write, in the versions that the API server gives.
func (k *byKro) state(t *testing.T, version string) string {
	t.Helper()
	return k.Kubectl(t, "get", "repositories,components,resources.delivery.ocm.software,deployers.delivery.ocm.software,configmaps,secrets,ocirepositories,helmreleases,deployments,"+
		"resourcegraphdefinitions,namespaces", "-n", k.ns, "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.`+version+`}{"\n"}{end}`)
}

// quiet says that nobody writes anything for a while. Flux writes what it has looked at, once in a minute, and for that another try is left.
func (k *byKro) quiet(t *testing.T) {
	t.Helper()
	const quietTime = 8 * time.Second
	var before string
	since := time.Now()
	cluster.Eventually(t, time.Minute, func() error {
		if now := k.state(t, "resourceVersion"); now != before {
			was := before
			before, since = now, time.Now()
			return fmt.Errorf("it was\n%s\nand is\n%s", was, now)
		}
		if time.Since(since) < quietTime {
			return fmt.Errorf("quiet since %v", since)
		}
		return nil
	})
}

// The objects of the bootstrap have two appliers now, which must not write against each other.
func (k *byKro) settles(t *testing.T) {
	managers := k.Kubectl(t, "get", "component", "sovereign-product-component", "-n", k.ns, "--show-managed-fields", "-o", "jsonpath={.metadata.managedFields[*].manager}")
	if !strings.Contains(managers, "kro") || !strings.Contains(managers, "kubectl") {
		t.Errorf("expected an object of two appliers, found %s", managers)
	}
	k.quiet(t)
}

// Every stage can be run again, and changes nothing.
func (k *byKro) again(t *testing.T) {
	before := k.state(t, "generation")
	k.carry(t, "1.0.0")
	k.apply(t, k.manifest(t, "bootstrap.yaml"))
	k.instance(t, "1.0.0", "")
	k.wait(t, "Ready", "deployer/sovereign-product-deployer", "")
	k.wait(t, "Ready", "sovereignproduct/sovereign-product", "")
	k.quiet(t)
	if now := k.state(t, "generation"); now != before {
		t.Errorf("generations were\n%s\nand are\n%s", before, now)
	}
}

// No archive is needed for what the instance says.
func (k *byKro) configuration(t *testing.T) {
	k.instance(t, "1.0.0", "  notes: {replicas: 3}")
	k.wait(t, "Ready", "sovereignproduct/sovereign-product", "")
	k.becomes(t, "3", "deployment/sovereign-notes", "jsonpath={.status.readyReplicas}", "-n", k.ns)
}

// When the instance is ready after nothing but its version was changed, the new version runs.
func (k *byKro) upgrade(t *testing.T) {
	before := k.runs(t)
	k.release(t, "1.1.0")
	k.instance(t, "1.1.0", "  notes: {replicas: 3}")
	k.wait(t, "Ready", "sovereignproduct/sovereign-product", "")
	if after := k.runs(t); after == before {
		t.Errorf("it is ready, and still %s", after)
	}
	if v := k.Kubectl(t, "get", "component", "sovereign-product-component", "-n", k.ns, "-o", "jsonpath={.status.component.version}"); v != "1.1.0" {
		t.Errorf("the Component has %s", v)
	}
	k.quiet(t)
}

func (k *byKro) downgrade(t *testing.T) {
	before := k.runs(t)
	k.instance(t, "1.0.0", "  notes: {replicas: 3}")
	k.becomes(t, v1alpha1.ReasonDowngradeForbidden, "component/sovereign-product-component", readyReason, "-n", k.ns)
	k.quiet(t)
	if after := k.runs(t); after != before {
		t.Errorf("from %s to %s", before, after)
	}
	k.instance(t, "1.1.0", "  notes: {replicas: 3}")
	k.wait(t, "Ready", "sovereignproduct/sovereign-product", "")

	// The bootstrap says 1.0.0, and the instance has the last word.
	k.apply(t, k.manifest(t, "bootstrap.yaml"))
	k.becomes(t, "1.1.0", "component/sovereign-product-component", "jsonpath={.spec.semver}", "-n", k.ns)
	k.wait(t, "Ready", "sovereignproduct/sovereign-product", "")
	if after := k.runs(t); after != before {
		t.Errorf("from %s to %s", before, after)
	}
}

// Flux goes back by itself.
func (k *byKro) broken(t *testing.T) {
	before := k.runs(t)
	k.breakNotes(t)
	k.release(t, "1.2.0")
	k.instance(t, "1.2.0", "  notes: {replicas: 3}")
	k.becomes(t, "RollbackSucceeded", "helmrelease/sovereign-notes", `jsonpath={.status.conditions[?(@.type=="Remediated")].reason}`, "-n", k.ns)
	if after := k.runs(t); after != before {
		t.Errorf("from %s to %s", before, after)
	}
	if ready := k.Kubectl(t, "get", "sovereignproduct", "sovereign-product", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); ready == "True" {
		t.Error("the product is said to be ready, in a version that does not work")
	}
}

// What runs needs no registry, and what is wanted goes on when there is one again.
func (k *byKro) offline(t *testing.T) {
	before := k.runs(t)
	k.registry.Stop()
	for _, object := range []string{"repository/sovereign-repo", "component/sovereign-product-component"} {
		k.Kubectl(t, "annotate", object, "-n", k.ns, "--overwrite", v1alpha1.AnnotationReconcile+"=offline")
		k.becomes(t, "False", object, `jsonpath={.status.conditions[?(@.type=="Ready")].status}`, "-n", k.ns)
	}
	k.becomes(t, "3", "deployment/sovereign-notes", "jsonpath={.status.readyReplicas}", "-n", k.ns)
	k.serve()
	k.Kubectl(t, "annotate", "repository/sovereign-repo", "-n", k.ns, "--overwrite", v1alpha1.AnnotationReconcile+"=online")
	k.wait(t, "Ready", "component/sovereign-product-component", k.ns)
	k.wait(t, "Ready", "deployer/sovereign-product-deployer", "")
	// The version that does not work is still the wanted one. Flux may try it once more now, and goes back again.
	k.quiet(t)
	k.becomes(t, before, "deployment/sovereign-notes", "jsonpath={.spec.template.spec.containers[0].image}", "-n", k.ns)
	k.becomes(t, "3", "deployment/sovereign-notes", "jsonpath={.status.readyReplicas}", "-n", k.ns)
}

// With the Deployer its definition goes, which has this Deployer in it; it does not come back by that, and what runs stays.
func (k *byKro) deleteDeployer(t *testing.T) {
	before := k.runs(t)
	k.Kubectl(t, "delete", "deployer", "sovereign-product-deployer", "--timeout=60s")
	k.quiet(t)
	if found := k.Kubectl(t, "get", "deployers.delivery.ocm.software,resourcegraphdefinitions", "-o", "name"); found != "" {
		t.Errorf("it came back: %s", found)
	}
	k.becomes(t, before, "deployment/sovereign-notes", "jsonpath={.spec.template.spec.containers[0].image}", "-n", k.ns)
	k.apply(t, strings.Replace(k.manifest(t, "bootstrap.yaml"), `semver: "1.0.0"`, `semver: "1.2.0"`, 1))
	k.wait(t, "Ready", "resourcegraphdefinition/sovereign-product", "")
	k.becomes(t, before, "deployment/sovereign-notes", "jsonpath={.spec.template.spec.containers[0].image}", "-n", k.ns)
}

// The same product where there is neither kro nor Flux: Deployers of the product, which a Deployer of the site brings in, with no more rights
// than the site's manifests give.
func TestProductByTheDeployerAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := newDelivery(t, s)
	const ns, notes = "sovereign-alone", "deployer/sovereign-alone-notes"
	image := func() string {
		return s.Kubectl(t, "get", "deployment", "sovereign-notes", "-n", ns, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	}
	want := func(version string) {
		s.Kubectl(t, "patch", "component", "sovereign-product", "-n", ns, "--type=merge", "-p", `{"spec":{"semver":"`+version+`"}}`)
	}
	d.release(t, "1.0.0")
	s.Apply(t, strings.NewReplacer("NAMESPACE", ns, "FOLDER", "/nowhere").Replace(d.manifest(t, "volume.yaml")))
	s.Apply(t, d.manifest(t, "alone.yaml"))
	s.Kubectl(t, "create", "configmap", "sovereign-postgres", "-n", ns, `--from-literal=values.yaml=persistence: {storageClassName: ""}`) // kwok has classes
	s.Kubectl(t, "create", "secret", "generic", "acme-signing-key", "-n", ns, "--from-file=default="+d.dir+"/tmp/keys/acme-public.pem")
	s.Kubectl(t, "create", "secret", "generic", "sovereign-database", "-n", ns, "--from-literal=database.username=sovereign_user", "--from-literal=database.password=secret")
	s.wait(t, "Ready", "deployer/sovereign-alone", "")
	s.wait(t, "Ready", "deployer/sovereign-alone-postgres", "")
	s.wait(t, "Ready", notes, "")
	if volume := s.Kubectl(t, "get", "persistentvolumeclaim", "data-postgres-0", "-n", ns, "-o", "jsonpath={.spec.volumeName}"); volume != "postgres-"+ns {
		t.Errorf("the data are on %q", volume)
	}
	first := image()
	if want := d.host + "/component-descriptors/acme.org/sovereign/notes@sha256:"; !strings.HasPrefix(first, want) {
		t.Errorf("expected an image of %s…, found %s", want, first)
	}

	// The site's own settings, and no archive.
	s.Apply(t, d.manifest(t, "settings.yaml"))
	s.becomes(t, "3", "deployment/sovereign-notes", "jsonpath={.status.readyReplicas}", "-n", ns)

	d.release(t, "1.1.0")
	want("1.1.0")
	s.becomes(t, "1.1.0", notes, "jsonpath={.status.history[0].version}")
	s.wait(t, "Ready", notes, "")
	second := image()
	if second == first {
		t.Errorf("1.1.0 is ready, and still %s", first)
	}

	d.breakNotes(t)
	d.release(t, "1.2.0")
	want("1.2.0")
	s.becomes(t, "RolledBack", notes, readyReason)
	if now := image(); now != second {
		t.Errorf("from %s to %s", second, now)
	}
	s.becomes(t, "3", "deployment/sovereign-notes", "jsonpath={.status.readyReplicas}", "-n", ns)
	revision := s.Kubectl(t, "get", notes, "-o", "jsonpath={.status.revision}")
	if of := s.Kubectl(t, "get", "secrets", "-n", ns, "-l", "owner=helm,name=sovereign-notes,status=deployed", "-o", `jsonpath={.items[*].metadata.labels.delivery\.ocm\.software/revision}`); of != revision {
		t.Errorf("helm takes revision %q for deployed, that is %s", of, revision)
	}
	s.confines(t, ns)
}

// confines says that a product, whatever it brings, deploys in its own namespace, as nobody but its own service account, and no pods that could
// take over the node.
func (s *site) confines(t *testing.T, ns string) {
	t.Helper()
	as := "--as=system:serviceaccount:" + ns + ":delivery"
	refused := func(says, manifest string, args ...string) {
		t.Helper()
		if _, err := s.Run(t.Context(), manifest, append(args, "--dry-run=server", as)...); err == nil {
			t.Errorf("the product could write %s%s", manifest, args)
		} else if !strings.Contains(err.Error(), says) {
			t.Errorf("%s%s: expected %q in %v", manifest, args, says, err)
		}
	}
	for spec, says := range map[string]string{
		`{"resourceRef": {"namespace": "kube-system"}}`:                                    "the namespace sovereign-alone only",
		`{"targetNamespace": "kube-system"}`:                                               "the namespace sovereign-alone only",
		`{"serviceAccountName": null}`:                                                     "the service account product only",
		`{"serviceAccountName": "delivery"}`:                                               "the service account product only",
		`{"ocmConfig": [{"kind": "Secret", "name": "other", "namespace": "kube-system"}]}`: "no configuration of its own",
	} {
		refused(says, "", "patch", "deployer", "sovereign-alone-notes", "--type=merge", "-p", `{"spec": `+spec+`}`)
	}
	refused("forbidden", `{apiVersion: delivery.ocm.software/v1alpha1, kind: Deployer, metadata: {name: another}, spec: {resourceRef: {name: x, namespace: `+ns+`}, serviceAccountName: product}}`,
		"apply", "--server-side", "-f", "-")
	const pod = `{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {volumes: [{name: node, hostPath: {path: /}}], containers: [{name: c, image: x, securityContext: {privileged: true}}]}}`
	if _, err := s.Run(t.Context(), pod, "create", "--dry-run=server", "-n", ns, "-f", "-"); err == nil || !strings.Contains(err.Error(), "PodSecurity") {
		t.Errorf("a pod that has the node: %v", err)
	}
}
