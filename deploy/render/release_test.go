// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/release/common"
	helm "helm.sh/helm/v4/pkg/release/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"ocm"
	"ocm/deploy/v1alpha1"
	"ocm/internal/fixture"
)

// fakeStore is helm's storage in a cluster that is none.
func fakeStore(t *testing.T, existing ...*corev1.Secret) *store {
	t.Helper()
	client := fake.NewClientset()
	for _, s := range existing {
		if _, err := client.CoreV1().Secrets("ns").Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return newStore(&secrets{client.CoreV1().Secrets("ns"), t.Context()})
}

// keep stores what a chart has become.
func keep(t *testing.T, s *store, r *Release, state string) {
	t.Helper()
	rec := r.release.(*record)
	rel, err := rec.release()
	if err != nil {
		t.Fatal(err)
	}
	status, ok := rec.status(state)
	if !ok {
		t.Fatalf("no state %q", state)
	}
	rel.SetStatus(status, "by a test")
	if err := s.put(rel, rec.revision); err != nil {
		t.Fatal(err)
	}
}

// states lists the records of a release: version and state.
func states(t *testing.T, s *store) string {
	t.Helper()
	all, err := s.history("rel")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range all {
		out = append(out, fmt.Sprintf("%d:%s", r.Version, r.Info.Status))
	}
	return strings.Join(out, " ")
}

func chartOf(t *testing.T, revision int) *Result {
	t.Helper()
	r, err := renderBytes(t, chartArchive(t, map[string]string{
		"templates/a.yaml": `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: "nginx:1"}]}}`,
		"templates/h.yaml": `{apiVersion: v1, kind: Pod, metadata: {name: h, annotations: {helm.sh/hook: "pre-install, post-upgrade", helm.sh/hook-weight: "-5"}}}`,
		"templates/t.yaml": `{apiVersion: v1, kind: Pod, metadata: {name: t, annotations: {helm.sh/hook: test}}}`,
	}), Options{ReleaseName: "rel", Namespace: "ns", Revision: revision, Install: revision == 1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecordKeepsStatesOfEarlierOnes(t *testing.T) {
	t.Parallel()
	s := fakeStore(t)
	steps := []struct {
		revision int
		state    string
		want     string
	}{
		{1, StatePending, "1:pending-install"},
		{1, StateDeployed, "1:deployed"},
		{1, StateDeployed, "1:deployed"}, // again, by a controller that started anew
		{2, StatePending, "1:deployed 2:pending-upgrade"},
		{2, StateFailed, "1:deployed 2:failed"},
		{3, StatePending, "1:deployed 2:failed 3:pending-upgrade"},
		{4, StatePending, "1:deployed 2:failed 3:failed 4:pending-upgrade"}, // nobody finished 3
		{4, StateDeployed, "1:superseded 2:failed 3:failed 4:deployed"},
	}
	for _, step := range steps {
		keep(t, s, chartOf(t, step.revision).Release, step.state)
		if found := states(t, s); found != step.want {
			t.Errorf("revision %d %s: expected %s, found %s", step.revision, step.state, step.want, found)
		}
	}
	if err := s.forget("rel"); err != nil {
		t.Fatal(err)
	}
	if found := states(t, s); found != "" {
		t.Errorf("expected no records, found %s", found)
	}
	if err := s.forget("rel"); err != nil {
		t.Error(err)
	}
}

// Somebody used helm: what is deployed is the last record nevertheless, and nobody's record is overwritten.
func TestRecordAfterSomebodyUsedHelm(t *testing.T) {
	t.Parallel()
	s := fakeStore(t)
	r := chartOf(t, 1).Release
	keep(t, s, r, StateDeployed)
	theirs, err := r.release.(*record).release()
	if err != nil {
		t.Fatal(err)
	}
	theirs.Version, theirs.Labels, theirs.Info.Status = 2, nil, "deployed"
	if err := s.Create(theirs); err != nil {
		t.Fatal(err)
	}
	keep(t, s, chartOf(t, 2).Release, StateDeployed)
	if found := states(t, s); found != "1:superseded 2:superseded 3:deployed" {
		t.Error(found)
	}
	keep(t, s, chartOf(t, 2).Release, StateDeployed)
	if found := states(t, s); found != "1:superseded 2:superseded 3:deployed" {
		t.Error(found)
	}
}

// A rollback is a revision like any other: what was deployed before is deployed again.
func TestRecordAgain(t *testing.T) {
	t.Parallel()
	s := fakeStore(t)
	keep(t, s, chartOf(t, 1).Release, StateDeployed)
	keep(t, s, chartOf(t, 2).Release, StateFailed)
	if err := s.again("rel", 1, 3, common.StatusDeployed, "rolled back"); err != nil {
		t.Fatal(err)
	}
	if got := states(t, s); got != "1:superseded 2:failed 3:deployed" {
		t.Error(got)
	}
	all := fixture.Must[[]*helm.Release](t)(s.history("rel"))
	if first, last := all[0], all[2]; last.Manifest != first.Manifest || last.Info.Description != "rolled back" || last.Labels[labelRevision] != "3" || first.Labels[labelRevision] != "1" {
		t.Errorf("%+v %+v", last.Info, last.Labels)
	}
	if err := s.again("rel", 7, 8, common.StatusDeployed, ""); !errors.Is(err, ocm.ErrNotFound) {
		t.Errorf("expected that there is no record of revision 7, found %v", err)
	}
}

func TestRecordsAreBounded(t *testing.T) {
	t.Parallel()
	s := fakeStore(t)
	r := chartOf(t, 1).Release
	for i := 1; i <= MaxRecords+3; i++ {
		r.release.(*record).revision = i
		keep(t, s, r, StateDeployed)
	}
	if n := len(strings.Fields(states(t, s))); n != MaxRecords {
		t.Errorf("expected %d records, found %d", MaxRecords, n)
	}
}

// The record has the objects as they are applied, and all hooks.
func TestRecordHasLocalizedObjects(t *testing.T) {
	t.Parallel()
	s := fakeStore(t)
	r := chartOf(t, 1)
	err := Localize(r.Objects, map[string]Image{"web": {Registry: "r.example", Path: "p", Digest: "sha256:1"}},
		[]v1alpha1.Localization{{Name: "web", Replaces: []string{"nginx"}}})
	if err != nil {
		t.Fatal(err)
	}
	keep(t, s, r.Release, StateDeployed)
	all, err := s.history("rel")
	if err != nil {
		t.Fatal(err)
	}
	rel := all[0]
	for _, part := range []string{"# Source: web/templates/a.yaml", "image: r.example/p@sha256:1", "managed-by: Helm", "release-name: rel"} {
		if !strings.Contains(rel.Manifest, part) {
			t.Errorf("expected %q in %s", part, rel.Manifest)
		}
	}
	if len(rel.Hooks) != 2 || rel.Hooks[0].Weight != -5 || rel.Hooks[1].Events[0] != helm.HookTest || rel.Chart.Name() != "web" || rel.ApplyMethod != "ssa" {
		t.Errorf("found %+v", rel)
	}
	if h := r.Hooks; len(h) != 1 || strings.Join(h[0].Events, " ") != "pre-install post-upgrade" || h[0].Delete[0] != beforeCreation {
		t.Errorf("found %+v", h)
	}
}

// A tenant writes the Secrets of a namespace.
func TestRecordBomb(t *testing.T) {
	t.Parallel()
	packed := base64.StdEncoding.EncodeToString(gzipped(t, bytes.Repeat([]byte(" "), maxRelease+1)))
	labels := map[string]string{"owner": "helm", "name": "rel", "status": "deployed", "version": "1"}
	bomb := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "sh.helm.release.v1.rel.v1", Labels: labels}, Data: map[string][]byte{recordKey: []byte(packed)}}
	_, err := fakeStore(t, bomb).history("rel")
	want(t, err, ocm.ErrLimit, "record")

	bomb.Data[recordKey] = []byte(base64.StdEncoding.EncodeToString([]byte(`{"name":"rel"}`)))
	s := fakeStore(t, bomb)
	if found := states(t, s); found != "" {
		t.Errorf("found %s", found)
	}
}

func TestRecordThatIsTooLarge(t *testing.T) {
	t.Parallel()
	random := make([]byte, 2*maxStored)
	rand.NewChaCha8([32]byte{}).Read(random)
	r, err := renderBytes(t, chartArchive(t, map[string]string{"templates/a.yaml": cm("a"), "files/b.bin": string(random)}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	rel, err := r.Release.release.(*record).release()
	if err != nil {
		t.Fatal(err)
	}
	rel.SetStatus("deployed", "")
	want(t, fakeStore(t).put(rel, 1), ocm.ErrLimit, "too large")
}

func TestRecordOfNoRelease(t *testing.T) {
	t.Parallel()
	err := Record(t.Context(), nil, &Release{}, StateDeployed, "")
	want(t, err, ocm.ErrInvalid)
	err = Record(t.Context(), nil, chartOf(t, 1).Release, "great", "")
	want(t, err, ocm.ErrInvalid, "great")
}
