// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"ocm"
	"ocm/deploy/v1alpha1"
)

// Image is the coordinates of an image where it is now.
type Image struct{ Registry, Path, Tag, Digest string }

// Part returns a part of the coordinates; the empty part is [v1alpha1.PartImage]. It is empty if the coordinates have it not.
func (i Image) Part(p v1alpha1.Part) string {
	switch p {
	case v1alpha1.PartRegistry:
		return i.Registry
	case v1alpha1.PartPath:
		return i.Path
	case v1alpha1.PartTag:
		return i.Tag
	case v1alpha1.PartDigest:
		return i.Digest
	case v1alpha1.PartRepository, v1alpha1.PartImage, "":
	default:
		return ""
	}
	name := i.Path
	if i.Registry != "" && name != "" {
		name = i.Registry + "/" + name
	}
	switch {
	case p == v1alpha1.PartRepository:
		return name
	case name == "":
		return ""
	case i.Digest != "":
		return name + "@" + i.Digest
	case i.Tag != "":
		return name + ":" + i.Tag
	}
	return "" // a name alone is whatever is latest
}

// part is the part of the image of a localization. [ocm.ErrInvalid] if there is none: an empty text would stand for something else,
// such as the tag that a chart falls back to.
func part(images map[string]Image, name string, p v1alpha1.Part) (string, error) {
	image, ok := images[name]
	if !ok {
		return "", fmt.Errorf("there is no image of this name: %w", ocm.ErrInvalid)
	}
	text := image.Part(p)
	if text == "" {
		if p == "" {
			p = v1alpha1.PartImage
		}
		return "", fmt.Errorf("part %s: the coordinates of the image have none: use part Image or Digest: %w", p, ocm.ErrInvalid)
	}
	return text, nil
}

// SetValues puts images into the values of a chart: [v1alpha1.Localization.Values]. Objects and lists on the way are made; a list grows
// by one element at a time. [ocm.ErrInvalid] names the path.
func SetValues(values map[string]any, images map[string]Image, l []v1alpha1.Localization) error {
	for i, entry := range l {
		for j, v := range entry.Values {
			if err := setValue(values, images, entry.Name, v); err != nil {
				return fmt.Errorf("spec.localization[%d].values[%d]: %w", i, j, err)
			}
		}
	}
	return nil
}

func setValue(values map[string]any, images map[string]Image, name string, v v1alpha1.LocalizedValue) error {
	steps, err := parsePath(v.Path)
	if err != nil {
		return err
	}
	text, err := part(images, name, v.Part)
	if err == nil {
		_, err = grow(values, steps, text)
	}
	if err != nil {
		return fmt.Errorf("path %q: image %q: %w", v.Path, name, err)
	}
	return nil
}

// Localize puts images into objects: [v1alpha1.Localization.Fields] and Replaces. Objects are never changed elsewhere. A field is where
// everything that leads to it is there already; it itself may be missing. [ocm.ErrNotFound] if a field is in no object, or
// no container has any of the images that an entry replaces: it would be pulled from elsewhere. [ocm.ErrInvalid] names the path.
func Localize(objects []*unstructured.Unstructured, images map[string]Image, l []v1alpha1.Localization) error {
	for i, entry := range l {
		for j, f := range entry.Fields {
			if err := setField(objects, images, entry.Name, f); err != nil {
				return fmt.Errorf("spec.localization[%d].fields[%d]: %w", i, j, err)
			}
		}
	}
	return replaceImages(objects, images, l)
}

func setField(objects []*unstructured.Unstructured, images map[string]Image, name string, f v1alpha1.LocalizedField) error {
	steps, err := parsePath(f.Path)
	if err != nil {
		return err
	}
	text, err := part(images, name, f.Part)
	if err != nil {
		return fmt.Errorf("path %q: image %q: %w", f.Path, name, err)
	}
	places := 0
	for _, u := range objects {
		if u.GetKind() != f.Kind || f.APIVersion != "" && u.GetAPIVersion() != f.APIVersion || f.Name != "" && u.GetName() != f.Name {
			continue
		}
		n, err := put(u.Object, steps, text)
		if err == nil {
			err = checkObject(u.Object) // the path may lead to what an object is known by
		}
		if err != nil {
			return fmt.Errorf("path %q: %s: %w", f.Path, describe(u), err)
		}
		places += n
	}
	if places == 0 {
		return fmt.Errorf("path %q: no object of kind %q %sin the content has it: %w", f.Path, f.Kind, named(f.Name), ocm.ErrNotFound)
	}
	return nil
}

func named(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf("and name %q ", name)
}

// replacement of an image.
type replacement struct {
	text  string
	entry int // of the localization
}

// replaceImages replaces the images of containers by name. What one entry has put in, no other takes for what it looks for.
func replaceImages(objects []*unstructured.Unstructured, images map[string]Image, l []v1alpha1.Localization) error {
	wanted, err := replacements(images, l)
	if len(wanted) == 0 {
		return err
	}
	met := map[int]bool{}
	for _, u := range objects {
		eachContainer(u.Object, func(c map[string]any) {
			image, _ := c["image"].(string)
			if by, ok := wanted[imageName(image)]; ok && image != "" {
				c["image"], met[by.entry] = by.text, true
			}
		})
	}
	for i, entry := range l {
		if len(entry.Replaces) > 0 && !met[i] {
			return fmt.Errorf("spec.localization[%d].replaces: image %q: no container in the content has an image of the name %.200q: %w", i, entry.Name,
				strings.Join(entry.Replaces, ", "), ocm.ErrNotFound)
		}
	}
	return nil
}

// replacements are what is put in, by the full name of what it replaces.
func replacements(images map[string]Image, l []v1alpha1.Localization) (map[string]replacement, error) {
	wanted := map[string]replacement{}
	for i, entry := range l {
		for j, name := range entry.Replaces {
			where := fmt.Sprintf("spec.localization[%d].replaces[%d]", i, j)
			if imageName(name) == "" {
				return nil, fmt.Errorf("%s: %.200q: expected the name of an image without tag and digest: %w", where, name, ocm.ErrInvalid)
			}
			text, err := part(images, entry.Name, v1alpha1.PartImage)
			if err != nil {
				return nil, fmt.Errorf("%s: image %q: %w", where, entry.Name, err)
			}
			before, twice := wanted[imageName(name)]
			if twice && before.entry != i {
				return nil, fmt.Errorf("%s: %q is replaced by another entry already: %w", where, name, ocm.ErrInvalid)
			}
			wanted[imageName(name)] = replacement{text, i}
		}
	}
	return wanted, nil
}

// eachContainer finds containers wherever a pod is described: in pods, in the templates of workloads, and in custom resources that have
// such templates. It knows them by their names and their form.
func eachContainer(value any, fn func(map[string]any)) {
	switch v := value.(type) {
	case []any:
		for _, e := range v {
			eachContainer(e, fn)
		}
	case map[string]any:
		for key, e := range v {
			list, isList := e.([]any)
			if !isList || key != "containers" && key != "initContainers" && key != "ephemeralContainers" {
				eachContainer(e, fn)
				continue
			}
			for _, c := range list {
				if m, ok := c.(map[string]any); ok {
					fn(m)
				}
			}
		}
	}
}

// imageName is the name of an image without tag and digest, in full: nginx:1 is docker.io/library/nginx. Empty if there is no name.
func imageName(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	slash := strings.LastIndexByte(ref, '/')
	if colon := strings.LastIndexByte(ref, ':'); colon > slash {
		ref = ref[:colon]
	}
	if ref == "" || strings.HasSuffix(ref, "/") {
		return ""
	}
	host, rest, hasSlash := strings.Cut(ref, "/")
	if !hasSlash || !strings.ContainsAny(host, ".:") && host != "localhost" && strings.ToLower(host) == host {
		host, rest = "docker.io", ref
	}
	if host == "index.docker.io" {
		host = "docker.io"
	}
	if host == "docker.io" && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	return host + "/" + rest
}
