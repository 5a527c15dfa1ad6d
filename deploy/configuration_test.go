// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

const dockerJSON, ocmJSON = `{"auths":{}}`, `{"type":"generic.config.ocm.software/v1","configurations":[]}`

// secret is an entry of a list of sources.
func secret(name string, policy ...v1alpha1.ConfigPolicy) v1alpha1.OCMConfiguration {
	c := v1alpha1.OCMConfiguration{Kind: "Secret", Name: name}
	if len(policy) > 0 {
		c.Policy = policy[0]
	}
	return c
}

// from takes over the configuration of a Repository.
func from(name string, policy v1alpha1.ConfigPolicy) v1alpha1.OCMConfiguration {
	return v1alpha1.OCMConfiguration{APIVersion: v1alpha1.GroupVersion().String(), Kind: v1alpha1.KindRepository, Name: name, Policy: policy}
}

// effective is a Repository whose effective configuration is known.
func effective(name string, list ...v1alpha1.OCMConfiguration) *v1alpha1.Repository {
	r := testRepository()
	r.Name = name
	for _, c := range list {
		c.APIVersion, c.Namespace = "v1", "team"
		r.Status.EffectiveOCMConfig = append(r.Status.EffectiveOCMConfig, c)
	}
	return beReady(r)
}

func TestConfigurationIsPassedOn(t *testing.T) {
	t.Parallel()
	const no = v1alpha1.DoNotPropagate
	for name, c := range map[string]struct {
		own    []v1alpha1.OCMConfiguration
		parent *v1alpha1.Repository
		want   string
	}{
		"nothing":             {nil, effective("repo"), ""},
		"of the parent":       {nil, effective("repo", secret("a"), secret("b", no), secret("c")), "a c"},
		"own replaces":        {[]v1alpha1.OCMConfiguration{secret("b"), secret("a", no)}, effective("repo", secret("c")), "b a(DoNotPropagate)"},
		"own and that of":     {[]v1alpha1.OCMConfiguration{from("repo", ""), secret("c")}, effective("repo", secret("a"), secret("b", no)), "a c"},
		"with another policy": {[]v1alpha1.OCMConfiguration{from("repo", no)}, effective("repo", secret("a")), "a(DoNotPropagate)"},
		"the last one counts": {[]v1alpha1.OCMConfiguration{secret("a"), secret("b"), secret("a", no), from("repo", "")}, effective("repo", secret("b"), secret("c")), "a(DoNotPropagate) b c"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := testComponent()
			obj.Spec.OCMConfig = c.own
			bed := newTestbed(t, obj, c.parent, testSecret("a", resolve.OCMConfig, ocmJSON), testSecret("b", resolve.DockerConfig, dockerJSON),
				testSecret("c", resolve.DockerConfig, dockerJSON, resolve.OCMConfig, ocmJSON))
			if _, err := bed.configure(t.Context(), obj, obj.Namespace, c.parent); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range obj.Status.EffectiveOCMConfig {
				if e.APIVersion != "v1" || e.Kind != "Secret" || e.Namespace != "team" {
					t.Errorf("%+v", e)
				}
				got = append(got, strings.TrimSuffix(fmt.Sprintf("%s(%s)", e.Name, e.Policy), "(Propagate)"))
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("it is %q, not %q", text, c.want)
			}
		})
	}
}

func TestConfigurationThatCannotBe(t *testing.T) {
	t.Parallel()
	own := func(c v1alpha1.OCMConfiguration) []v1alpha1.OCMConfiguration {
		return []v1alpha1.OCMConfiguration{secret("a"), c}
	}
	foreign := effective("evil", secret("a"))
	foreign.Status.EffectiveOCMConfig[0].Namespace = "other"
	replication := from("x", "")
	replication.Kind = v1alpha1.KindReplication
	for name, c := range map[string]struct {
		own  []v1alpha1.OCMConfiguration
		want string
		kind kind
	}{
		// A tenant that names the Secret of another one must not be given it: the controller may read it, and is not to be confused.
		"CVE-2021-41254, CVE-2025-48710: another namespace":                {own(v1alpha1.OCMConfiguration{Kind: "Secret", Name: "a", Namespace: "other"}), `spec.ocmConfig[1].namespace: "other" is not the namespace of the object`, stalls},
		"CVE-2022-24768: an object of another namespace":                   {own(v1alpha1.OCMConfiguration{APIVersion: v1alpha1.GroupVersion().String(), Kind: "Repository", Name: "repo", Namespace: "other"}), `spec.ocmConfig[1].namespace: "other"`, stalls},
		"CVE-2022-24768, CVE-2023-22736: passed on from another namespace": {own(from("evil", "")), "spec.ocmConfig[1]: status.effectiveOCMConfig of Repository team/evil names Secret other/a: access denied", again},
		"Replication":    {own(replication), `spec.ocmConfig[1]: unsupported reference kind "Replication"`, stalls},
		"another kind":   {own(v1alpha1.OCMConfiguration{Kind: "Pod", Name: "a"}), `spec.ocmConfig[1]: unsupported reference kind "Pod"`, stalls},
		"another group":  {own(v1alpha1.OCMConfiguration{APIVersion: "apps/v1", Kind: "Secret", Name: "a"}), `spec.ocmConfig[1]: unsupported reference kind "Secret" of apiVersion "apps/v1"`, stalls},
		"no name":        {own(secret("")), "spec.ocmConfig[1].name: it must be set", stalls},
		"another policy": {own(secret("a", "Maybe")), `spec.ocmConfig[1].policy: "Maybe" is neither`, stalls},
		"no Secret":      {own(secret("none")), "spec.ocmConfig[1]: Secret team/none: not found", again},
		"no key":         {own(secret("empty")), "spec.ocmConfig[1]: Secret team/empty: not found: it has no key .dockerconfigjson or .ocmconfig", again},
		"no ConfigMap":   {own(v1alpha1.OCMConfiguration{Kind: "ConfigMap", Name: "none"}), "spec.ocmConfig[1]: ConfigMap team/none: not found", again},
		"no object":      {own(from("none", "")), "spec.ocmConfig[1]: Repository team/none: not found", again},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := testComponent()
			obj.Spec.OCMConfig = c.own
			other := testSecret("a", resolve.OCMConfig, ocmJSON)
			other.Namespace = "other"
			bed := newTestbed(t, obj, foreign.DeepCopy(), other, testSecret("a", resolve.OCMConfig, ocmJSON), testSecret("empty", "x", "y"))
			_, err := bed.configure(t.Context(), obj, obj.Namespace)
			o, ok := err.(*outcome)
			if !ok || !strings.HasPrefix(o.Error(), c.want) || o.kind != c.kind || o.reason != v1alpha1.ReasonGetConfigurationFailed {
				t.Errorf("%+v", err)
			}
			if len(obj.Status.EffectiveOCMConfig) != 0 {
				t.Errorf("effective is %v", obj.Status.EffectiveOCMConfig)
			}
		})
	}
}

func TestADeployerNamesTheNamespace(t *testing.T) {
	t.Parallel()
	obj := &v1alpha1.Deployer{Spec: v1alpha1.DeployerSpec{OCMConfig: []v1alpha1.OCMConfiguration{secret("a")}}}
	obj.Name = "d"
	bed := newTestbed(t, testSecret("a", resolve.OCMConfig, ocmJSON))
	if _, err := bed.configure(t.Context(), obj, ""); err == nil || !strings.HasPrefix(err.Error(), "spec.ocmConfig[0].namespace: it must be set") {
		t.Errorf("%v", err)
	}
	obj.Spec.OCMConfig[0].Namespace = "team"
	if _, err := bed.configure(t.Context(), obj, ""); err != nil {
		t.Error(err)
	}
}

// Objects that take over each other's configuration end with the same lists, however often they look.
func TestConfigurationInACircleDoesNotGrow(t *testing.T) {
	t.Parallel()
	a, b := effective("a"), effective("b")
	a.Spec.OCMConfig = []v1alpha1.OCMConfiguration{from("b", ""), secret("x")}
	b.Spec.OCMConfig = []v1alpha1.OCMConfiguration{from("a", ""), secret("y")}
	bed := newTestbed(t, a, b, testSecret("x", resolve.OCMConfig, ocmJSON), testSecret("y", resolve.OCMConfig, ocmJSON))
	var last []v1alpha1.OCMConfiguration
	for i := range 6 {
		for _, obj := range []*v1alpha1.Repository{a, b} {
			bed.read(t, obj)
			if _, err := bed.configure(t.Context(), obj, obj.Namespace); err != nil {
				t.Fatal(err)
			}
			if err := bed.GetClient().Status().Update(t.Context(), obj); err != nil {
				t.Fatal(err)
			}
		}
		if i > 2 && !slices.Equal(last, a.Status.EffectiveOCMConfig) || len(a.Status.EffectiveOCMConfig) > 2 {
			t.Fatalf("after %d looks it is %v", i, a.Status.EffectiveOCMConfig)
		}
		last = a.Status.EffectiveOCMConfig
	}
}

func TestSecretsAreReadOncePerMoment(t *testing.T) {
	t.Parallel()
	bed := newTestbed(t, testSecret("a", "k", "v"))
	key := memoKey{kind: "Secret", key: types.NamespacedName{Namespace: "team", Name: "a"}}
	read := func() string {
		data, err := bed.data(t.Context(), key)
		if err != nil {
			t.Error(err)
		}
		return string(data["k"])
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { read() })
	}
	all.Wait()
	if n := bed.counted("get Secret"); n != 1 {
		t.Errorf("read %d times", n)
	}
	s := testSecret("a", "k", "changed")
	if err := bed.GetClient().Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	bed.clock.pass(memoAge)
	if got := read(); got != "changed" || bed.counted("get Secret") != 1 {
		t.Errorf("it is %q", got)
	}
	bed.clock.pass(time.Hour)
	none := memoKey{kind: "Secret", key: types.NamespacedName{Namespace: "team", Name: "none"}}
	for range 2 {
		if _, err := bed.data(t.Context(), none); err == nil {
			t.Error("what is not there was read")
		}
	}
	if n := bed.counted("get Secret"); n != 1 || len(bed.memo.all) != 1 {
		t.Errorf("what is not there was asked for %d times, and %d are remembered", n, len(bed.memo.all))
	}
}

func TestWhatIsRememberedOfSecretsIsBounded(t *testing.T) {
	t.Parallel()
	bed := newTestbed(t)
	large := strings.Repeat("x", 1<<20)
	for i := range 20 {
		if err := bed.GetClient().Create(t.Context(), testSecret(fmt.Sprint(i), "k", large)); err != nil {
			t.Fatal(err)
		}
		if _, err := bed.data(t.Context(), memoKey{kind: "Secret", key: types.NamespacedName{Namespace: "team", Name: fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if bed.memo.bytes > memoBytes || len(bed.memo.all) > 8 || len(bed.memo.all) == 0 {
		t.Errorf("%d Secrets of %d bytes are remembered", len(bed.memo.all), bed.memo.bytes)
	}
	bed.clock.pass(memoAge)
	bed.memo.entry(memoKey{kind: "x"}, bed.now())
	if bed.memo.bytes != 0 {
		t.Errorf("%d bytes are remembered of nothing", bed.memo.bytes)
	}
}
