// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"ocm"
	"ocm/blob"
)

// PluginType is the type of resources that are plugins: programs that extend this one.
const PluginType = "ocmPlugin"

// FindPlugin returns the resource of a type that has what is wanted in its identity. An operating system or architecture that a resource
// does not name is any; what names them goes before what does not. The older key arch is architecture, too. None is [ocm.ErrNotFound],
// several are [ocm.ErrInvalid]; both list what there is.
func FindPlugin(v ocm.Version, typ string, want ocm.Identity) (*ocm.Resource, error) {
	want = canonical(want)
	var best []*ocm.Resource
	var all []string
	most := -1
	for _, e := range ElementsOf(v, KindResource) {
		if e.Type != typ {
			continue
		}
		all = append(all, e.Common.Identity().String())
		switch named, ok := suits(canonical(e.Common.Identity()), want); {
		case !ok || named < most:
		case named > most:
			most, best = named, []*ocm.Resource{e.Resource}
		default:
			best = append(best, e.Resource)
		}
	}
	c := &v.Descriptor().Component
	switch {
	case len(all) == 0:
		return nil, fmt.Errorf("%s:%s: it has no resource of type %s: %w", c.Name, c.Version, typ, ocm.ErrNotFound)
	case len(best) == 0:
		return nil, fmt.Errorf("%s:%s: no resource of type %s with %s, there are: %s: %w", c.Name, c.Version, typ, want, strings.Join(all, "; "), ocm.ErrNotFound)
	case len(best) > 1:
		all = all[:0]
		for _, r := range best {
			all = append(all, r.Identity().String())
		}
		return nil, fmt.Errorf("%s:%s: %d resources of type %s with %s, say which one: %s: %w", c.Name, c.Version, len(best), typ, want, strings.Join(all, "; "), ocm.ErrInvalid)
	}
	return best[0], nil
}

// platformKeys are the attributes of an identity that say where a program runs.
var platformKeys = []string{"os", "architecture"}

// suits reports whether an identity has all that is wanted, and how much of the platform it names.
func suits(id, want ocm.Identity) (named int, ok bool) {
	for key, value := range want {
		found, has := id[key]
		platform := slices.Contains(platformKeys, key)
		switch {
		case has && found == value && platform:
			named++
		case has && found == value, !has && platform:
		default:
			return 0, false
		}
	}
	return named, true
}

// canonical has one name for what has several: x86_64 and amd64, arch and architecture.
func canonical(id ocm.Identity) ocm.Identity {
	out := ocm.Identity{}
	for key, value := range id {
		if _, both := id["architecture"]; key == "arch" && !both {
			key = "architecture"
		}
		if slices.Contains(platformKeys, key) {
			value = strings.ToLower(value)
		}
		if p, err := blob.ParsePlatform("any/" + value); key == "architecture" && err == nil {
			value = p.Architecture
		}
		out[key] = value
	}
	return out
}

// pluginInfo is the name of the label by which a registry of plugins tells about one.
const pluginInfo = "ocm.software/pluginInfo"

// maxPluginInfo bounds the value of that label, in bytes.
const maxPluginInfo = 64 << 10

// Plugin is an entry of a registry of plugins: a component version whose references are plugins.
type Plugin struct {
	Name        string         `json:"name"`
	Version     string         `json:"version"`
	Component   string         `json:"component"`
	Platforms   []string       `json:"platforms,omitempty"`
	Description string         `json:"description,omitempty"`
	Registry    string         `json:"registry"` // name:version of the registry
	In          ocm.Version    `json:"-"`        // the registry
	Reference   *ocm.Reference `json:"-"`        // in the registry; it must not be modified
}

// Plugins lists what a registry of plugins has, in its order. [ocm.ErrInvalid] if what it says of one cannot be read.
func Plugins(v ocm.Version) ([]Plugin, error) {
	c := &v.Descriptor().Component
	list := make([]Plugin, len(c.References))
	for i := range c.References {
		ref := &c.References[i]
		p := Plugin{Name: ref.Name, Version: ref.Version, Component: ref.ComponentName, Registry: c.Name + ":" + c.Version, In: v, Reference: ref}
		for _, l := range ref.Labels {
			if l.Name != pluginInfo {
				continue
			}
			if err := p.about(l.Value); err != nil {
				return nil, fmt.Errorf("%s: reference %s: label %s: %w", p.Registry, ref.Name, pluginInfo, err)
			}
		}
		list[i] = p
	}
	return list, nil
}

// about reads what a label says. Name, version and component are those of the reference, whatever it says; members that are not known are
// passed over.
func (p *Plugin) about(value ocm.RawJSON) error {
	if len(value) > maxPluginInfo {
		return fmt.Errorf("more than %d bytes: %w", maxPluginInfo, ocm.ErrLimit)
	}
	var info struct {
		Platforms   []string `json:"platforms"`
		Description string   `json:"description"`
	}
	if err := jsonv2.Unmarshal(value, &info); err != nil {
		return errors.Join(err, ocm.ErrInvalid)
	}
	p.Platforms, p.Description = info.Platforms, info.Description
	return nil
}
