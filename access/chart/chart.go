// SPDX-License-Identifier: Apache-2.0

// Package chart knows Helm charts: their archives, their metadata, the OCI artifact that a registry keeps
// them in, and the repositories that are an index.yaml beside archives.
//
// A chart that comes from elsewhere is moved byte for byte, it is never packed anew. What is packed here, of a
// directory, has the same bytes on every machine. Nothing of a chart is trusted: names become file names
// only after [Meta.FileName] has looked at them, and every document and archive has a limit.
package chart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/Masterminds/semver/v3"
	"sigs.k8s.io/yaml"

	"ocm"
	"ocm/descriptor"
)

// Media types of a chart in a registry, as helm push writes them.
const (
	MediaTypeConfig     = "application/vnd.cncf.helm.config.v1+json"
	MediaTypeContent    = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	MediaTypeProvenance = "application/vnd.cncf.helm.chart.provenance.v1.prov"

	mediaTypeLegacy = "application/tar+gzip" // of the archive, before Helm 3.7
)

// Limits of charts.
const (
	MaxMetadata   = 1 << 20   // bytes of Chart.yaml, and of Chart.lock and requirements.yaml
	MaxProvenance = 2 << 20   // bytes of a provenance file, which repeats Chart.yaml
	MaxArchive    = 128 << 20 // bytes of an archive as it comes from a repository
	MaxUnpacked   = 100 << 20 // bytes of an archive after decompression: helm refuses more too
	MaxFiles      = 20_000    // files and directories of a chart
	maxName       = 250       // bytes of a name: helm's own limit
)

// Meta is what stands in Chart.yaml, in the order in which helm writes it into a registry.
type Meta struct {
	Name         string            `json:"name,omitempty"`
	Home         string            `json:"home,omitempty"`
	Sources      []string          `json:"sources,omitempty"`
	Version      string            `json:"version,omitempty"`
	Description  string            `json:"description,omitempty"`
	Keywords     []string          `json:"keywords,omitempty"`
	Maintainers  []*Maintainer     `json:"maintainers,omitempty"`
	Icon         string            `json:"icon,omitempty"`
	APIVersion   string            `json:"apiVersion,omitempty"`
	Condition    string            `json:"condition,omitempty"`
	Tags         string            `json:"tags,omitempty"`
	AppVersion   string            `json:"appVersion,omitempty"`
	Deprecated   bool              `json:"deprecated,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	KubeVersion  string            `json:"kubeVersion,omitempty"`
	Dependencies []*Dependency     `json:"dependencies,omitempty"`
	Type         string            `json:"type,omitempty"`
}

// Maintainer is somebody who maintains a chart.
type Maintainer struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
	URL   string `json:"url,omitempty"`
}

// Dependency is a chart that another one needs in its folder charts.
type Dependency struct {
	Name         string   `json:"name"`
	Version      string   `json:"version,omitempty"`
	Repository   string   `json:"repository"`
	Condition    string   `json:"condition,omitempty"`
	Tags         []string `json:"tags,omitempty"`
	Enabled      bool     `json:"enabled,omitempty"`
	ImportValues []any    `json:"import-values,omitempty"`
	Alias        string   `json:"alias,omitempty"`
}

// nameForm is narrower than what helm accepts, and all that its own checks of good style do.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)

// ParseMeta reads a Chart.yaml of at most [MaxMetadata] bytes. [ocm.ErrInvalid] names the field that is missing or wrong.
func ParseMeta(raw []byte) (*Meta, error) {
	m := &Meta{}
	if err := decode("Chart.yaml", raw, m); err != nil {
		return nil, err
	}
	return m, m.check()
}

// decode reads one of a chart's YAML documents as helm does.
func decode(name string, raw []byte, v any) error {
	if len(raw) > MaxMetadata {
		return fmt.Errorf("%s: more than %d bytes: %w", name, MaxMetadata, ocm.ErrLimit)
	}
	if err := descriptor.CheckAliases(raw, MaxMetadata); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := yaml.Unmarshal(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")), v); err != nil {
		return fmt.Errorf("%s: %v: %w", name, err, ocm.ErrInvalid)
	}
	return nil
}

// check makes texts printable, as helm does before it writes them into a registry, and refuses what helm refuses.
func (m *Meta) check() error {
	for _, s := range []*string{&m.Name, &m.Description, &m.Home, &m.Icon, &m.Condition, &m.Tags, &m.AppVersion, &m.KubeVersion} {
		*s = printable(*s)
	}
	for _, list := range [][]string{m.Sources, m.Keywords} {
		for i := range list {
			list[i] = printable(list[i])
		}
	}
	for _, p := range m.Maintainers {
		if p == nil {
			return fmt.Errorf("Chart.yaml: maintainers has an empty entry: %w", ocm.ErrInvalid)
		}
		p.Name, p.Email, p.URL = printable(p.Name), printable(p.Email), printable(p.URL)
	}
	if m.APIVersion == "" {
		return fmt.Errorf("Chart.yaml: apiVersion is missing: %w", ocm.ErrInvalid)
	}
	if _, err := m.FileName(); err != nil {
		return fmt.Errorf("Chart.yaml: %w", err)
	}
	return m.checkDependencies()
}

func (m *Meta) checkDependencies() error {
	for _, d := range m.Dependencies {
		if d == nil || !nameForm.MatchString(d.Name) || len(d.Name) > maxName {
			return fmt.Errorf("Chart.yaml: dependencies: expected names of charts, found an entry without a good one: %w", ocm.ErrInvalid)
		}
		d.Version, d.Repository, d.Condition = printable(d.Version), printable(d.Repository), printable(d.Condition)
		for i := range d.Tags {
			d.Tags[i] = printable(d.Tags[i])
		}
	}
	return nil
}

// printable is s with every kind of space made a space, and without what cannot be printed.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return -1
	}, s)
}

// FileName is the name of the chart's archive, name-version.tgz. [ocm.ErrInvalid] unless name and version are such
// that the file stays in the folder that it is written to.
func (m *Meta) FileName() (string, error) {
	if err := checkName(m.Name); err != nil {
		return "", err
	}
	if _, err := semver.NewVersion(m.Version); err != nil { // which bounds its length too
		return "", fmt.Errorf("chart version %.80q is no semantic version: %w", m.Version, ocm.ErrInvalid)
	}
	return m.Name + "-" + m.Version + ".tgz", nil
}

func checkName(name string) error {
	if !nameForm.MatchString(name) || len(name) > maxName {
		return fmt.Errorf("chart name %.80q: expected letters, digits and . _ - with a letter or digit first: %w", name, ocm.ErrInvalid)
	}
	return nil
}

// Tag is the version as a registry's tag, which has no "+".
func Tag(version string) string { return strings.ReplaceAll(version, "+", "_") }

// config is what helm push writes into a registry beside the archive: Chart.yaml as JSON.
func (m *Meta) config() ([]byte, error) { return json.Marshal(m) }

// parseConfig reads such a document.
func parseConfig(raw []byte) (*Meta, error) {
	m := &Meta{}
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, fmt.Errorf("chart config: %v: %w", err, ocm.ErrInvalid)
	}
	_, err := m.FileName()
	return m, err
}
