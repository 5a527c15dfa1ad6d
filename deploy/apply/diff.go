// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"ocm"
)

const maxDiff = 4 << 20 // bytes of a diff, whatever is asked for

// Diff tells what Apply would change, as a unified diff of at most max bytes; data of Secrets never appears, also not that of the
// cluster's object: their values, and those of their annotations, are placeholders that only tell whether they change. Objects that
// would be pruned are told, too. What cannot be applied is in the error, and what is known of the rest in the text.
func (c *Cluster) Diff(ctx context.Context, s Set, max int) (string, error) {
	items, err := c.prepare(ctx, s)
	if err != nil {
		return "", err
	}
	max = min(max, maxDiff)
	var used atomic.Int64 // bytes of texts
	texts := make([]string, len(items))
	there := newBringing(items)
	errs := parallel(ctx, len(items), func(i int) (err error) {
		var live, merged *unstructured.Unstructured
		if !items[i].kind.pending {
			if live, merged, err = c.preview(ctx, s.Parent, items[i], there); err != nil {
				return err
			}
		}
		if merged == nil {
			merged = items[i].obj
		}
		if live == nil || !same(live, merged) {
			if used.Load() > int64(max) {
				texts[i] = fmt.Sprintf("--- %s\n+++ %[1]s\n# left out\n", items[i].ref)
			} else if texts[i], err = difference(items[i].ref, live, merged, max); err != nil {
				return Refusal(items[i].ref, "compare", err)
			}
			used.Add(int64(len(texts[i])))
		}
		return nil
	})
	pruned, more := c.wouldPrune(ctx, s, items)
	for _, r := range pruned {
		texts = append(texts, fmt.Sprintf("--- %s\n+++ /dev/null\n", r))
	}
	return fit(texts, max), join(append(errs, more...))
}

// wouldPrune lists what Apply would prune.
func (c *Cluster) wouldPrune(ctx context.Context, s Set, items []*item) (out []Ref, errs []error) {
	if !s.Prune {
		return nil, nil
	}
	seen := map[key]bool{}
	for _, it := range items {
		seen[it.key] = true
	}
	found, errs := c.members(ctx, s)
	for _, r := range append(slices.Clone(s.Known), found...) {
		if seen[r.key()] || s.Parent.needs(r.key()) {
			continue
		}
		seen[r.key()] = true
		live, err := c.member(ctx, s.Parent, r)
		if err != nil {
			errs = append(errs, err)
		} else if live != nil && !stays(live.Annotations) {
			out = append(out, r)
		}
	}
	sortRefs(out)
	return out, errs
}

// fit joins texts as far as they fit, and tells how many are left out.
func fit(texts []string, max int) string {
	texts = slices.DeleteFunc(texts, func(t string) bool { return t == "" })
	const note = "# %d more objects change\n"
	var out strings.Builder
	for i, t := range texts {
		reserve := 0
		if i < len(texts)-1 {
			reserve = len(note) + 8
		}
		if out.Len()+len(t)+reserve <= max {
			out.WriteString(t)
			continue
		}
		if rest := fmt.Sprintf(note, len(texts)-i); out.Len()+len(rest) <= max {
			out.WriteString(rest)
		}
		break
	}
	return out.String()
}

// difference is the unified diff of an object.
func difference(ref Ref, live, merged *unstructured.Unstructured, max int) (string, error) {
	before, after := shown(live), shown(merged)
	if isSecret(live) || isSecret(merged) {
		before, after = veiled(live, nil), veiled(merged, live)
	}
	a, err := lines(before)
	if err != nil {
		return "", err
	}
	b, err := lines(after)
	if err != nil {
		return "", err
	}
	from := ref.String()
	if live == nil {
		from = "/dev/null"
	}
	body := unified(a, b)
	if body == "" {
		return "", nil
	}
	text := fmt.Sprintf("--- %s\n+++ %s\n%s", from, ref, body)
	if len(text) > max/2 && max > 2*maxMessage { // one object must not take the place of all others
		cut := strings.LastIndexByte(text[:max/2], '\n') + 1
		text = fmt.Sprintf("%s# %d more lines of %s\n", text[:cut], strings.Count(text[cut:], "\n"), ref)
	}
	return text, nil
}

// shown is what of an object is compared.
func shown(o *unstructured.Unstructured) map[string]any {
	if o == nil {
		return nil
	}
	out := essence(o)
	if m, ok := out["metadata"].(map[string]any); ok {
		if annotations, ok := m["annotations"].(map[string]any); ok {
			annotations = maps.Clone(annotations)
			delete(annotations, annotationLastApply)
			m["annotations"] = annotations
		}
	}
	return out
}

// isSecret reports whether an object is a Secret, in any group.
func isSecret(o *unstructured.Unstructured) bool { return o != nil && o.GetKind() == "Secret" }

// veiled is what of a Secret is shown, after what it was before. It names what is shown, not what is hidden.
func veiled(o, before *unstructured.Unstructured) map[string]any {
	if o == nil {
		return nil
	}
	metadata := map[string]any{"name": o.GetName(), "namespace": o.GetNamespace()}
	if labels, ok, _ := unstructured.NestedMap(o.Object, "metadata", "labels"); ok {
		metadata["labels"] = labels
	}
	if a := veil(o, before, "metadata", "annotations"); a != nil {
		metadata["annotations"] = a
	}
	out := map[string]any{"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(), "metadata": metadata}
	for _, field := range []string{"type", "immutable"} {
		if v, ok := o.Object[field]; ok {
			out[field] = v
		}
	}
	for _, field := range []string{"data", "stringData"} {
		if v := veil(o, before, field); v != nil {
			out[field] = v
		}
	}
	return out
}

// veil has the keys of a map, and of the values only which of them are others than before.
func veil(o, before *unstructured.Unstructured, path ...string) map[string]any {
	now, was := mapAt(o, path), mapAt(before, path)
	var out map[string]any
	for k, v := range now {
		if k == annotationLastApply {
			continue
		}
		if out == nil {
			out = map[string]any{}
		}
		out[k] = "(hidden)"
		if old, there := was[k]; there && !apiequality.Semantic.DeepEqual(old, v) {
			out[k] = "(hidden, changed)"
		}
	}
	return out
}

func mapAt(o *unstructured.Unstructured, path []string) map[string]any {
	if o == nil {
		return nil
	}
	v, _, _ := unstructured.NestedFieldNoCopy(o.Object, path...)
	m, _ := v.(map[string]any)
	return m
}

// lines are an object as YAML, or JSON.
func lines(o map[string]any) ([]string, error) {
	if o == nil {
		return nil, nil
	}
	text, err := yaml.Marshal(o)
	if err != nil { // of characters that YAML does not know
		if text, err = json.MarshalIndent(o, "", "  "); err != nil {
			return nil, fmt.Errorf("%w: %w", ocm.ErrInvalid, err)
		}
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), nil
}
