// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ocm"
	"ocm/deploy/render"
	"ocm/deploy/v1alpha1"
)

// RevisionType is the type of Secrets in which the objects of a revision are kept, so that it can be deployed again exactly, without a
// registry.
const RevisionType = v1alpha1.Group + "/revision"

// Limits of what is kept of a revision, in bytes.
const (
	MaxRevision         = 900 << 10            // compressed: a Secret may have 1 MiB
	MaxRevisionExpanded = 4 * render.MaxOutput // with the labels and annotations that tell where objects come from
)

const (
	keyRevision          = "revision"
	labelRevisionOf      = v1alpha1.Group + "/deployer"
	defaultHistoryLimit  = 5
	revisionNameMaxBytes = 200
)

// kept is what is kept of a revision: all that was applied.
type kept struct {
	// Salt makes the digest of all of it tell nothing of the Secrets among the objects.
	Salt      string                       `json:"salt"`
	Namespace string                       `json:"namespace"`
	Objects   []*unstructured.Unstructured `json:"objects"`
	Hooks     []render.Hook                `json:"hooks,omitempty"`
	Images    []v1alpha1.DeployedImage     `json:"images,omitempty"`
	Release   string                       `json:"release,omitempty"` // namespace/name

	release *render.Release
}

// current is the latest revision, nil if there is none.
func current(d *v1alpha1.Deployer) *v1alpha1.Revision {
	if len(d.Status.History) == 0 {
		return nil
	}
	return &d.Status.History[0]
}

// running is the revision that was applied as a whole last, nil if there is none.
func running(d *v1alpha1.Deployer) *v1alpha1.Revision {
	return revision(d, d.Status.Revision)
}

// revision finds a revision in the history.
func revision(d *v1alpha1.Deployer, number int64) *v1alpha1.Revision {
	i := slices.IndexFunc(d.Status.History, func(r v1alpha1.Revision) bool { return r.Revision == number })
	if i < 0 {
		return nil
	}
	return &d.Status.History[i]
}

// enter writes a revision into the history. One that was waiting for its health is over with it.
func enter(d *v1alpha1.Deployer, rev v1alpha1.Revision) {
	if now := current(d); now != nil && now.Revision == rev.Revision {
		*now = rev
		return
	}
	if now := current(d); now != nil && now.Outcome == v1alpha1.OutcomePending {
		now.Outcome, now.Message = v1alpha1.OutcomeFailed, fmt.Sprintf("revision %d took its place before it was healthy", rev.Revision)
	}
	d.Status.History = trimmed(slices.Insert(d.Status.History, 0, rev), historyLimit(d))
}

// trimmed is the history without its oldest revisions; the last that was good stays, because one goes back to it.
func trimmed(all []v1alpha1.Revision, limit int) []v1alpha1.Revision {
	if len(all) <= limit {
		return all
	}
	good := slices.IndexFunc(all, isGood)
	if good >= limit {
		return append(all[:limit:limit], all[good])
	}
	return all[:limit]
}

// isGood reports whether a revision can be gone back to.
func isGood(r v1alpha1.Revision) bool { return r.Outcome == v1alpha1.OutcomeGood && r.Stored }

func historyLimit(d *v1alpha1.Deployer) int {
	if d.Spec.HistoryLimit < 1 {
		return defaultHistoryLimit
	}
	return int(d.Spec.HistoryLimit)
}

// revisionName is the name of the Secret of a revision.
func revisionName(d *v1alpha1.Deployer, number int64) string {
	name := d.Name
	if len(name) > revisionNameMaxBytes {
		name = name[:revisionNameMaxBytes-17] + "-" + digestOf([]byte(name))[7:23]
	}
	return fmt.Sprintf("%s.revision.%d", name, number)
}

// store keeps the objects of a revision in a Secret. The controller does that as itself, so that a product can be rolled back whose identity
// must not write Secrets. What cannot be kept is deployed all the same; message says why it cannot be deployed again.
func (r *deployers) store(ctx context.Context, j *job) (stored bool, digest, message string) {
	data, err := j.pack()
	if err == nil {
		err = r.keep(ctx, secretFor(j.d, j.rev.Revision, data))
	}
	if err != nil {
		return false, "", clipped(fmt.Sprintf("not kept for a rollback: %v", err))
	}
	r.tidy(ctx, j)
	return true, digestOf(data), ""
}

func (k *kept) pack() ([]byte, error) {
	k.Salt = rand.Text()
	data, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if b.Len() > MaxRevision {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ocm.ErrLimit, b.Len(), MaxRevision)
	}
	return b.Bytes(), nil
}

func secretFor(d *v1alpha1.Deployer, number int64, data []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.Spec.ResourceRef.Namespace, Name: revisionName(d, number), Labels: map[string]string{labelRevisionOf: labelValue(d.Name)},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion().String(), Kind: v1alpha1.KindDeployer, Name: d.Name, UID: d.UID}}},
		Type: RevisionType,
		Data: map[string][]byte{keyRevision: data},
	}
}

// keep writes a Secret; one of that name is replaced only if it is of the same type.
func (r *deployers) keep(ctx context.Context, s *corev1.Secret) error {
	err := r.GetClient().Create(ctx, s)
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	old := &corev1.Secret{}
	if err := r.GetAPIReader().Get(ctx, client.ObjectKeyFromObject(s), old); err != nil {
		return err
	}
	if old.Type != RevisionType {
		return fmt.Errorf("Secret %s/%s: %w: it is of type %s", s.Namespace, s.Name, ocm.ErrConflict, old.Type)
	}
	old.Labels, old.OwnerReferences, old.Data = s.Labels, s.OwnerReferences, s.Data
	return r.GetClient().Update(ctx, old)
}

// tidy deletes what is kept of revisions that fall out of the history. That it cannot is no failure: it goes with the Deployer.
func (r *deployers) tidy(ctx context.Context, j *job) {
	after := j.d.DeepCopy()
	enter(after, j.rev)
	for _, old := range j.d.Status.History {
		if !old.Stored || revision(after, old.Revision) != nil {
			continue
		}
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: j.d.Spec.ResourceRef.Namespace, Name: revisionName(j.d, old.Revision)}}
		if err := client.IgnoreNotFound(r.GetClient().Delete(ctx, s)); err != nil {
			r.GetLogger().Info("a revision that is no longer needed stays", "deployer", j.d.Name, "revision", old.Revision, "error", err.Error())
		}
	}
}

// unpack reads what was kept of a revision. What is not what was kept is refused: others may write Secrets in that namespace.
func (r *deployers) unpack(ctx context.Context, d *v1alpha1.Deployer, rev *v1alpha1.Revision) (*kept, error) {
	key := types.NamespacedName{Namespace: d.Spec.ResourceRef.Namespace, Name: revisionName(d, rev.Revision)}
	where := fmt.Sprintf("Secret %s", key)
	s := &corev1.Secret{}
	if !rev.Stored {
		return nil, fmt.Errorf("revision %d is not kept: %w", rev.Revision, ocm.ErrNotFound)
	}
	if err := r.GetAPIReader().Get(ctx, key, s); apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%s: %w", where, ocm.ErrNotFound)
	} else if apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("%s: %w: %w", where, ocm.ErrDenied, err)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	data := s.Data[keyRevision]
	if found := digestOf(data); found != rev.StoredDigest {
		return nil, fmt.Errorf("%s: %w: expected %s, found %s", where, ocm.ErrDigest, rev.StoredDigest, found)
	}
	k, err := expand(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return k, nil
}

func expand(data []byte) (*kept, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ocm.ErrInvalid, err)
	}
	text, err := io.ReadAll(io.LimitReader(z, MaxRevisionExpanded+1))
	if err != nil || len(text) > MaxRevisionExpanded {
		return nil, fmt.Errorf("%w: %w", ocm.ErrInvalid, errors.Join(err, ocm.ErrLimit))
	}
	k := &kept{}
	if err := json.Unmarshal(text, k); err != nil {
		return nil, fmt.Errorf("%w: %w", ocm.ErrInvalid, err)
	}
	return k, nil
}

// clipped makes an error fit for the history, which has many of them.
func clipped(s string) string { return clip(s, 512) }
