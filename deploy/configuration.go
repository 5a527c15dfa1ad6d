// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"ocm"
	"ocm/deploy/resolve"
	"ocm/deploy/v1alpha1"
)

// configure reads the configuration of an object: the sources that its spec names or, if it names none, what its parents pass on. It
// lists them in the status. namespace is that of sources that name none; where it is empty they must name one.
//
// Secrets and ConfigMaps are those of tenants: an object in a namespace reaches only what is in that namespace. They are read at each look,
// so that what changed counts from the next one on.
func (b *base) configure(ctx context.Context, obj object, namespace string, parents ...object) (*resolve.Config, error) {
	sources, err := b.sources(ctx, obj, namespace, parents)
	if err != nil {
		return nil, err
	}
	if n := len(sources); n > resolve.MaxDocuments {
		return nil, stalled(v1alpha1.ReasonGetConfigurationFailed, fmt.Errorf("spec.ocmConfig: %w: %d sources, at most %d are read", ocm.ErrLimit, n, resolve.MaxDocuments))
	}
	var docs []resolve.Document
	for _, s := range sources {
		read, err := b.documents(ctx, s)
		if err != nil {
			return nil, failed(v1alpha1.ReasonGetConfigurationFailed, fmt.Errorf("%s: %w", s.field, err))
		}
		docs = append(docs, read...)
	}
	config, err := resolve.Read(docs)
	if err != nil {
		return nil, failed(v1alpha1.ReasonGetConfigurationFailed, fmt.Errorf("spec.ocmConfig: %w", err))
	}
	effective := make([]v1alpha1.OCMConfiguration, len(sources))
	for i, s := range sources {
		effective[i] = s.OCMConfiguration
	}
	if !slices.Equal(obj.Common().EffectiveOCMConfig, effective) {
		obj.Common().EffectiveOCMConfig = effective
	}
	return config, nil
}

// configSource is a Secret or ConfigMap, and the field of the spec because of which it counts.
type configSource struct {
	v1alpha1.OCMConfiguration
	field string
}

// sources lists the Secrets and ConfigMaps that count for an object. A source that is named twice counts where it is named last, so that
// objects that take over each other's sources do not make the lists grow.
func (b *base) sources(ctx context.Context, obj object, namespace string, parents []object) ([]configSource, error) {
	var all []configSource
	for i, c := range obj.OCMConfig() {
		list, err := b.named(ctx, obj, namespace, c, fmt.Sprintf("spec.ocmConfig[%d]", i))
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	if len(obj.OCMConfig()) == 0 {
		for _, p := range parents {
			list, err := propagated(p, nameOf(p)+", whose configuration this object has")
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
		}
	}
	return lastOfEach(all), nil
}

// named lists the sources that one entry of a spec stands for.
func (b *base) named(ctx context.Context, obj object, namespace string, c v1alpha1.OCMConfiguration, field string) ([]configSource, error) {
	wrong := func(format string, args ...any) error {
		return stalled(v1alpha1.ReasonGetConfigurationFailed, fmt.Errorf(field+format+": %w", append(args, ocm.ErrInvalid)...))
	}
	c.Namespace = cmp.Or(c.Namespace, namespace)
	c.Policy = cmp.Or(c.Policy, v1alpha1.Propagate)
	switch own := obj.GetNamespace(); {
	case c.Namespace == "":
		return nil, wrong(".namespace: it must be set, the object itself is in no namespace")
	case own != "" && c.Namespace != own:
		return nil, wrong(".namespace: %q is not the namespace of the object, and no other is allowed", c.Namespace)
	case c.Name == "":
		return nil, wrong(".name: it must be set")
	case c.Policy != v1alpha1.Propagate && c.Policy != v1alpha1.DoNotPropagate:
		return nil, wrong(".policy: %q is neither %s nor %s", c.Policy, v1alpha1.Propagate, v1alpha1.DoNotPropagate)
	}
	if c.APIVersion == "" || c.APIVersion == "v1" {
		if c.Kind != "Secret" && c.Kind != "ConfigMap" {
			return nil, wrong(": unsupported reference kind %q: of apiVersion v1 it must be Secret or ConfigMap", c.Kind)
		}
		c.APIVersion = "v1"
		return []configSource{{c, field}}, nil
	}
	from := newObject(c.Kind)
	if c.APIVersion != v1alpha1.GroupVersion().String() || from == nil {
		return nil, wrong(": unsupported reference kind %q of apiVersion %q: it must be Secret or ConfigMap of v1, or Repository, Component or Resource of %s",
			c.Kind, c.APIVersion, v1alpha1.GroupVersion())
	}
	if err := b.GetClient().Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: c.Name}, from); err != nil {
		if apierrors.IsNotFound(err) {
			err = fmt.Errorf("%s %s/%s: %w", c.Kind, c.Namespace, c.Name, ocm.ErrNotFound)
		}
		return nil, failed(v1alpha1.ReasonGetConfigurationFailed, fmt.Errorf("%s: %w", field, err))
	}
	list, err := propagated(from, field)
	for i := range list {
		list[i].Policy = c.Policy
	}
	return list, err
}

// newObject makes an object of a kind whose configuration may be taken over.
func newObject(kind string) object {
	switch kind {
	case v1alpha1.KindRepository:
		return &v1alpha1.Repository{}
	case v1alpha1.KindComponent:
		return &v1alpha1.Component{}
	case v1alpha1.KindResource:
		return &v1alpha1.Resource{}
	}
	return nil
}

// propagated lists the sources that an object passes on. They are read from its status, which is believed only as far as its spec could
// have gone: to its own namespace.
func propagated(from object, field string) ([]configSource, error) {
	var list []configSource
	for _, c := range from.Common().EffectiveOCMConfig {
		if c.Policy == v1alpha1.DoNotPropagate {
			continue
		}
		if c.Namespace != from.GetNamespace() || c.Kind != "Secret" && c.Kind != "ConfigMap" {
			return nil, failed(v1alpha1.ReasonGetConfigurationFailed, fmt.Errorf("%s: status.effectiveOCMConfig of %s names %s %s/%s: %w: only Secrets and ConfigMaps of its own namespace can be there",
				field, nameOf(from), c.Kind, c.Namespace, c.Name, ocm.ErrDenied))
		}
		c.APIVersion, c.Policy = "v1", v1alpha1.Propagate
		list = append(list, configSource{c, field})
	}
	return list, nil
}

// lastOfEach drops sources that are named again later.
func lastOfEach(all []configSource) []configSource {
	var kept []configSource
	seen := map[memoKey]bool{}
	for _, s := range slices.Backward(all) {
		if k := s.key(); !seen[k] {
			seen[k] = true
			kept = append(kept, s)
		}
	}
	slices.Reverse(kept)
	return kept
}

func (s configSource) key() memoKey {
	return memoKey{kind: s.Kind, key: types.NamespacedName{Namespace: s.Namespace, Name: s.Name}}
}

// documents reads what a source has. Of a Secret with both forms the configuration wins over the credentials.
func (b *base) documents(ctx context.Context, s configSource) ([]resolve.Document, error) {
	formats := []string{resolve.OCMConfig}
	if s.Kind == "Secret" {
		formats = []string{resolve.DockerConfig, resolve.OCMConfig}
	}
	data, err := b.data(ctx, s.key())
	if err != nil {
		return nil, err
	}
	var docs []resolve.Document
	for _, format := range formats {
		if d, ok := data[format]; ok {
			docs = append(docs, resolve.Document{From: s.key().String(), Format: format, Data: d})
		}
	}
	if len(docs) == 0 {
		return nil, fmt.Errorf("%s: %w: it has no key %s", s.key(), ocm.ErrNotFound, joinOr(formats))
	}
	return docs, nil
}

// data reads a Secret or ConfigMap with the controller's own rights. [ocm.ErrNotFound] if it is not there.
func (b *base) data(ctx context.Context, k memoKey) (map[string][]byte, error) {
	data, err := b.memo.read(ctx, b.GetAPIReader(), b.now, k)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("%s: %w", k, ocm.ErrNotFound)
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("%s: %w: the controller must not read it", k, ocm.ErrDenied)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", k, err)
	}
	return data, nil
}

func (k memoKey) String() string { return k.kind + " " + k.key.String() }

func joinOr(names []string) string {
	text := names[0]
	for _, n := range names[1:] {
		text += " or " + n
	}
	return text
}
