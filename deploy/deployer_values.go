// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/deploy/render"
	"ocm/deploy/v1alpha1"
	"ocm/descriptor"
)

// MaxValues bounds the values of a chart that one ConfigMap, Secret or object gives, in bytes.
const MaxValues = 1 << 20

// source of values that was read: what decides whether it changed. Of a Secret that is its version, and nothing that is made of what is in
// it: the digest over all sources stands in the status, and short secrets could be guessed.
type valuesSource struct{ UID, Version, Digest string }

// valued collects the values, lowest first: those of ConfigMaps and Secrets, of the spec, of expressions, and of localization.
func (r *deployers) valued(ctx context.Context, d *v1alpha1.Deployer, dep *deputy, w *wanted) error {
	w.values = map[string]any{}
	var sources []valuesSource
	for i, ref := range d.Spec.ValuesFrom {
		field := fmt.Sprintf("spec.valuesFrom[%d]: %s %s/%s", i, ref.Kind, d.Spec.ResourceRef.Namespace, ref.Name)
		more := map[string]any{}
		seen, err := valuesFrom(ctx, dep, d.Spec.ResourceRef.Namespace, ref, more)
		switch {
		case errors.Is(err, ocm.ErrDenied):
			return failed(v1alpha1.ReasonForbidden, fmt.Errorf("%s: %w", field, err))
		case err != nil:
			return failed(v1alpha1.ReasonInvalidSpec, fmt.Errorf("%s: %w", field, err))
		}
		if ref.Kind == "Secret" {
			w.hidden.add(more)
		}
		merge(w.values, more)
		sources = append(sources, seen)
	}
	if v := d.Spec.Values; v != nil {
		own := map[string]any{}
		if err := readValues(v.Raw, own); err != nil {
			return stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("spec.values: %w", err))
		}
		merge(w.values, own)
	}
	if err := r.expressed(ctx, d, w); err != nil {
		return stalled(v1alpha1.ReasonInvalidSpec, err)
	}
	if err := render.SetValues(w.values, w.images, d.Spec.Localization); err != nil {
		return stalled(v1alpha1.ReasonInvalidSpec, w.hidden.of(err))
	}
	return w.sum(d, dep.as, sources)
}

// sum computes the digest over all that decides what is deployed, and in whose name. What happens afterwards is not part of it.
func (w *wanted) sum(d *v1alpha1.Deployer, as identity, sources []valuesSource) error {
	s := d.Spec
	data, err := json.Marshal([]any{as, w.resource.Component, w.resource.Version, w.resource.Digest.Value, w.resource.Resource.Element, w.resource.Resource.Type,
		w.resource.Resource.Access, w.resource.Resource.Digest, s.Format, s.Path, s.ReleaseName, s.TargetNamespace, s.ResourceRef,
		s.Values, sources, s.ValuesFrom, s.ValueExpressions, s.Localization, w.pulled})
	if err != nil {
		return stalled(v1alpha1.ReasonMarshalFailed, err)
	}
	w.input = digestOf(data)
	return nil
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// valuesFrom reads values in the name of the identity that deploys: a Deployer must not read for its author what neither may.
func valuesFrom(ctx context.Context, c client.Client, namespace string, ref v1alpha1.ValuesReference, into map[string]any) (valuesSource, error) {
	key := types.NamespacedName{Namespace: namespace, Name: ref.Name}
	var obj client.Object
	text, found := "", false
	name := ref.Key
	if name == "" {
		name = "values.yaml"
	}
	var err error
	switch ref.Kind {
	case "Secret":
		o := &corev1.Secret{}
		obj, err = o, c.Get(ctx, key, o)
		data, ok := o.Data[name]
		text, found = string(data), ok
	case "ConfigMap":
		o := &corev1.ConfigMap{}
		obj, err = o, c.Get(ctx, key, o)
		text, found = o.Data[name]
	default:
		return valuesSource{}, fmt.Errorf("kind: %w: it must be ConfigMap or Secret", ocm.ErrInvalid)
	}
	switch {
	case apierrors.IsForbidden(err):
		return valuesSource{}, fmt.Errorf("%w: %w", ocm.ErrDenied, err)
	case err != nil && !apierrors.IsNotFound(err):
		return valuesSource{}, err
	case err != nil && ref.Optional, err == nil && !found && ref.Optional:
		return valuesSource{}, nil
	case err != nil:
		return valuesSource{}, ocm.ErrNotFound
	case !found:
		return valuesSource{}, fmt.Errorf("key %s: %w", name, ocm.ErrNotFound)
	}
	seen := valuesSource{UID: string(obj.GetUID()), Version: obj.GetResourceVersion()}
	if ref.Kind == "ConfigMap" {
		seen = valuesSource{Digest: digestOf([]byte(text))}
	}
	if ref.TargetPath != "" {
		return seen, setText(into, ref.TargetPath, text)
	}
	if err := readValues([]byte(text), into); err != nil {
		return valuesSource{}, fmt.Errorf("key %s: %w", name, err)
	}
	return seen, nil
}

// readValues reads an object of YAML. What is wrong is not quoted: it may be secret.
func readValues(data []byte, into map[string]any) error {
	if len(data) > MaxValues {
		return fmt.Errorf("%w: %d bytes of values, at most %d", ocm.ErrLimit, len(data), MaxValues)
	}
	if err := descriptor.CheckAliases(data, MaxValues); errors.Is(err, ocm.ErrLimit) {
		return fmt.Errorf("%w: with what aliases make of them more than %d bytes of values", ocm.ErrLimit, MaxValues)
	} else if err != nil {
		return fmt.Errorf("%w: no YAML", ocm.ErrInvalid)
	}
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		return fmt.Errorf("%w: no YAML", ocm.ErrInvalid)
	}
	if len(text) > MaxValues {
		return fmt.Errorf("%w: %d bytes of values, at most %d", ocm.ErrLimit, len(text), MaxValues)
	}
	if err := json.Unmarshal(text, &into); err != nil {
		return fmt.Errorf("%w: not an object", ocm.ErrInvalid)
	}
	return nil
}

// merge puts values over others, objects member by member.
func merge(into, from map[string]any) {
	for key, value := range from {
		below, ok := into[key].(map[string]any)
		over, is := value.(map[string]any)
		if ok && is {
			merge(below, over)
			continue
		}
		into[key] = value
	}
}

// setText puts text at a path of objects, such as database.password. A dot that is part of a key has a backslash before it.
func setText(values map[string]any, path, text string) error {
	const dot = "\x00"
	keys := strings.Split(strings.ReplaceAll(path, `\.`, dot), ".")
	for i, key := range keys {
		key = strings.ReplaceAll(key, dot, ".")
		if key == "" || strings.ContainsAny(key, "[]\\") {
			return fmt.Errorf("targetPath: %q: %w: keys of objects with dots between them are expected", path, ocm.ErrInvalid)
		}
		if i == len(keys)-1 {
			values[key] = text
			return nil
		}
		below, ok := values[key].(map[string]any)
		if !ok {
			below = map[string]any{}
			values[key] = below
		}
		values = below
	}
	return nil
}
