// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"helm.sh/helm/v4/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"ocm"
	"ocm/blob"
)

const (
	maxStored  = 1 << 20  // bytes of a record: what a Secret may have
	maxRelease = 16 << 20 // bytes of a record, unpacked
	maxSecrets = 50       // records of one release
)

// secrets is what helm's storage sees of the Secrets of a namespace. Helm gives it no context, and unpacks whatever it finds there; what it
// finds was written by a tenant.
type secrets struct {
	typed.SecretInterface
	ctx context.Context
}

func newSecrets(ctx context.Context, cluster *rest.Config, namespace string) (*secrets, error) {
	if namespace == "" {
		return nil, fmt.Errorf("the release has no namespace: %w", ocm.ErrInvalid)
	}
	client, err := kubernetes.NewForConfig(boundedTo(cluster, maxSecrets*(maxStored+1<<16)))
	if err != nil {
		return nil, err
	}
	return &secrets{client.CoreV1().Secrets(namespace), ctx}, nil
}

func (s *secrets) Get(_ context.Context, name string, o metav1.GetOptions) (*corev1.Secret, error) {
	secret, err := s.SecretInterface.Get(s.ctx, name, o)
	if err == nil {
		err = checkRecord(secret)
	}
	return secret, err
}

func (s *secrets) List(_ context.Context, o metav1.ListOptions) (*corev1.SecretList, error) {
	o.Limit = maxSecrets
	list, err := s.SecretInterface.List(s.ctx, o)
	if err != nil {
		return nil, err
	}
	if list.Continue != "" {
		return nil, fmt.Errorf("more than %d records: %w", maxSecrets, ocm.ErrLimit)
	}
	for i := range list.Items {
		if err := checkRecord(&list.Items[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (s *secrets) Create(_ context.Context, secret *corev1.Secret, o metav1.CreateOptions) (*corev1.Secret, error) {
	if err := checkStored(secret); err != nil {
		return nil, err
	}
	return s.SecretInterface.Create(s.ctx, secret, o)
}

func (s *secrets) Update(_ context.Context, secret *corev1.Secret, o metav1.UpdateOptions) (*corev1.Secret, error) {
	if err := checkStored(secret); err != nil {
		return nil, err
	}
	return s.SecretInterface.Update(s.ctx, secret, o)
}

func (s *secrets) Delete(_ context.Context, name string, o metav1.DeleteOptions) error {
	return s.SecretInterface.Delete(s.ctx, name, o)
}

const recordKey = "release" // of the data of a record

// checkStored says what the API server would say less clearly.
func checkStored(secret *corev1.Secret) error {
	if n := len(secret.Data[recordKey]); n > maxStored {
		return fmt.Errorf("the release has %d bytes as helm keeps it, a Secret at most %d: the chart is too large, often by files that its templates do not need: %w", n, maxStored, ocm.ErrLimit)
	}
	return nil
}

// checkRecord checks that a record does not become larger than it may when it is unpacked.
func checkRecord(secret *corev1.Secret) error {
	packed := base64.NewDecoder(base64.StdEncoding, bytes.NewReader(secret.Data[recordKey]))
	plain, _, err := blob.Gunzip(packed)
	if err != nil {
		return nil //nolint:nilerr // helm says what is wrong with it, or leaves it out
	}
	if n, _ := io.Copy(io.Discard, io.LimitReader(plain, maxRelease+1)); n > maxRelease {
		return fmt.Errorf("Secret %s/%s: a record of more than %d bytes: %w", secret.Namespace, secret.Name, maxRelease, ocm.ErrLimit)
	}
	return nil
}

// isGone reports whether a record was not there any more.
func isGone(err error) bool {
	return errors.Is(err, driver.ErrReleaseNotFound) || apierrors.IsNotFound(err)
}

// explainSecrets gives an error of helm's storage its kind.
func explainSecrets(err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return fmt.Errorf("helm keeps releases in Secrets, which the service account must be allowed to list, get, create, update and delete in this namespace: %w: %w", err, ocm.ErrDenied)
	}
	if errors.Is(err, driver.ErrReleaseExists) {
		return fmt.Errorf("%w: %w", err, ocm.ErrConflict)
	}
	return err
}

// recovered calls helm, which is used to meet nothing but its own records.
func recovered(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a record cannot be read: %v: %w", p, ocm.ErrInvalid)
		}
	}()
	return call()
}
