// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/release/common"
	helm "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"ocm"
)

// States of a release.
const (
	StatePending    = "pending"
	StateDeployed   = "deployed"
	StateFailed     = "failed"
	StateSuperseded = "superseded"
)

// MaxRecords is how many records of a release are kept.
const MaxRecords = 10

// labelRevision is the label of a record that tells which revision it is for whoever deployed it. Helm's own number is another one if
// somebody used helm on the release in between.
const labelRevision = "delivery.ocm.software/revision"

// record is what of a release becomes a record of helm.
type record struct {
	revision int
	install  bool
	json     []byte                       // the release without what has become of its templates
	objects  []*unstructured.Unstructured // as they are when the release is recorded: with localized images
	sources  []string                     // the templates that they were
	hooks    []recordedHook
}

type recordedHook struct {
	hook
	object *unstructured.Unstructured
}

// Record stores a release where "helm list" looks for it, as the identity behind cluster: the states of earlier ones are
// changed with it. The objects in the record are those of the [Result] as they are now, so that helm knows their localized
// images. A release that is recorded again, by this process or another, keeps its one record; at most [MaxRecords] are kept.
//
// [ocm.ErrDenied] if the identity must not list, create, update and delete Secrets in the namespace of the release; [ocm.ErrLimit] if the
// release is larger than a Secret may be. Values are part of a release: helm keeps them there, too.
func Record(ctx context.Context, cluster *rest.Config, r *Release, state, description string) error {
	rec, ok := r.release.(*record)
	if !ok {
		return fmt.Errorf("release %q was not made by Render: %w", r.Name, ocm.ErrInvalid)
	}
	status, ok := rec.status(state)
	if !ok {
		return fmt.Errorf("state %q of a release: %w", state, ocm.ErrInvalid)
	}
	err := recovered(func() error {
		rel, err := rec.release()
		if err != nil {
			return err
		}
		rel.SetStatus(status, description)
		secrets, err := newSecrets(ctx, cluster, r.Namespace)
		if err != nil {
			return err
		}
		return newStore(secrets).put(rel, rec.revision)
	})
	if err != nil {
		return fmt.Errorf("record of release %s/%s: %w", r.Namespace, r.Name, explainSecrets(err))
	}
	return nil
}

// RecordAgain stores that an earlier revision of a release was deployed again, as another revision: a copy of its record becomes the
// last one. [ocm.ErrNotFound] if helm has no record of the earlier one any more; otherwise errors as of [Record].
func RecordAgain(ctx context.Context, cluster *rest.Config, namespace, name string, earlier, revision int, state, description string) error {
	status, ok := (&record{}).status(state)
	if !ok {
		return fmt.Errorf("state %q of a release: %w", state, ocm.ErrInvalid)
	}
	err := recovered(func() error {
		secrets, err := newSecrets(ctx, cluster, namespace)
		if err != nil {
			return err
		}
		return newStore(secrets).again(name, earlier, revision, status, description)
	})
	if err != nil {
		return fmt.Errorf("record of release %s/%s: %w", namespace, name, explainSecrets(err))
	}
	return nil
}

// Forget removes all records of a release. It is no error if there are none. [ocm.ErrDenied] as for [Record].
func Forget(ctx context.Context, cluster *rest.Config, namespace, name string) error {
	err := recovered(func() error {
		secrets, err := newSecrets(ctx, cluster, namespace)
		if err != nil {
			return err
		}
		return newStore(secrets).forget(name)
	})
	if err != nil {
		return fmt.Errorf("records of release %s/%s: %w", namespace, name, explainSecrets(err))
	}
	return nil
}

// status is the state in helm's words.
func (r *record) status(state string) (common.Status, bool) {
	switch state {
	case StatePending:
		if r.install {
			return common.StatusPendingInstall, true
		}
		return common.StatusPendingUpgrade, true
	case StateDeployed:
		return common.StatusDeployed, true
	case StateFailed:
		return common.StatusFailed, true
	case StateSuperseded:
		return common.StatusSuperseded, true
	}
	return "", false
}

// release makes helm's form of a release.
func (r *record) release() (*helm.Release, error) {
	rel := &helm.Release{}
	if err := json.Unmarshal(r.json, rel); err != nil || rel.Info == nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	var manifest strings.Builder
	for i, u := range r.objects {
		text, err := yaml.Marshal(u.Object)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", describe(u), err, ocm.ErrInvalid)
		}
		fmt.Fprintf(&manifest, "---\n# Source: %s\n%s", r.sources[i], text)
	}
	rel.Manifest = manifest.String()
	for _, h := range r.hooks {
		text, err := yaml.Marshal(h.object.Object)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", describe(h.object), err, ocm.ErrInvalid)
		}
		rel.Hooks = append(rel.Hooks, &helm.Hook{Name: h.Name, Kind: h.Kind, Path: h.File, Manifest: string(text), Weight: h.Weight,
			Events: as[helm.HookEvent](h.Events), DeletePolicies: as[helm.HookDeletePolicy](h.Delete), OutputLogPolicies: as[helm.HookOutputLogPolicy](h.OutputLog)})
	}
	rel.ApplyMethod = string(helm.ApplyMethodServerSideApply)
	rel.Labels = map[string]string{labelRevision: strconv.Itoa(r.revision)}
	return rel, nil
}

func as[T ~string](list []string) []T {
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = T(v)
	}
	return out
}

// store is helm's storage in a namespace.
type store struct{ *storage.Storage }

func newStore(s *secrets) *store {
	all := storage.Init(driver.NewSecrets(s))
	all.MaxHistory = MaxRecords
	return &store{all}
}

// history is all records of a release, the oldest first.
func (s *store) history(name string) ([]*helm.Release, error) {
	list, err := s.History(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []*helm.Release
	for _, r := range list {
		if rel, ok := r.(*helm.Release); ok && rel.Info != nil && rel.Name == name {
			out = append(out, rel)
		}
	}
	slices.SortFunc(out, func(a, b *helm.Release) int { return a.Version - b.Version })
	return out, nil
}

// put stores a release as the record that it has, or as a new one, and makes the states of the others agree. What is deployed is always
// the last record: if somebody used helm on the release since, it becomes a new one.
func (s *store) put(rel *helm.Release, revision int) error {
	all, err := s.history(rel.Name)
	if err != nil {
		return err
	}
	last := len(all) - 1
	mine := last
	for mine >= 0 && all[mine].Labels[labelRevision] != strconv.Itoa(revision) {
		mine--
	}
	rel.Version, rel.Info.LastDeployed = revision, time.Now()
	rel.Info.FirstDeployed = rel.Info.LastDeployed
	if last >= 0 {
		rel.Info.FirstDeployed = all[0].Info.FirstDeployed
		rel.Version = max(revision, all[last].Version+1)
	}
	current := rel.Info.Status == common.StatusDeployed || rel.Info.Status.IsPending()
	if mine >= 0 && (mine == last || !current) {
		rel.Version = all[mine].Version
		if all[mine].Info.Status == rel.Info.Status {
			rel.Info.LastDeployed = all[mine].Info.LastDeployed
		}
		err = s.Update(rel)
	} else {
		err = s.Create(rel)
	}
	if err != nil {
		return err
	}
	return s.settle(all, rel)
}

// again puts a copy of the record of an earlier revision.
func (s *store) again(name string, earlier, revision int, status common.Status, description string) error {
	all, err := s.history(name)
	if err != nil {
		return err
	}
	for _, rel := range slices.Backward(all) {
		if rel.Labels[labelRevision] != strconv.Itoa(earlier) {
			continue
		}
		copied, info := *rel, *rel.Info
		copied.Info, copied.Labels = &info, map[string]string{labelRevision: strconv.Itoa(revision)}
		copied.SetStatus(status, description)
		return s.put(&copied, revision)
	}
	return fmt.Errorf("of revision %d: %w", earlier, ocm.ErrNotFound)
}

// settle changes the states of the other records: where one is deployed, none before it is, and what nobody works on any more, is not
// pending; helm would refuse to do anything with the release.
func (s *store) settle(all []*helm.Release, rel *helm.Release) error {
	for _, other := range all {
		status := other.Info.Status
		switch {
		case other.Version == rel.Version:
			continue
		case status == common.StatusDeployed && rel.Info.Status == common.StatusDeployed:
			other.Info.Status = common.StatusSuperseded
		case status.IsPending() && other.Version < rel.Version:
			other.SetStatus(common.StatusFailed, "it was not finished")
		default:
			continue
		}
		// Records that the limit has removed meanwhile stay removed.
		if err := s.Update(other); err != nil && !isGone(err) {
			return err
		}
	}
	return nil
}

// forget removes all records of a release.
func (s *store) forget(name string) error {
	all, err := s.history(name)
	if err != nil {
		return err
	}
	for _, rel := range all {
		if _, err := s.Delete(rel.Name, rel.Version); err != nil && !isGone(err) {
			return err
		}
	}
	return nil
}
