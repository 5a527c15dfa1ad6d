// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"text/template"

	"helm.sh/helm/v4/pkg/chart/common"
	chartutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/release/v1/util"

	"ocm"
)

const (
	chartFile   = "Chart.yaml"
	notesFile   = "NOTES.txt"
	maxCharts   = 500 // a chart with those in it, at all levels
	maxSubchart = 16  // levels
)

// chartTask is a chart that is to be rendered, with all that it may know. It is what the process gets.
type chartTask struct {
	Files           files // of the chart, by their names in its directory
	Name, Namespace string
	Values          map[string]any
	Revision        int
	Install         bool
	KubeVersion     string   // empty: that of no cluster
	APIVersions     []string // that the cluster has
	Lookup          bool     // whether there is somebody who answers questions
}

// render renders the chart, as helm install and helm upgrade do. It runs in a process of its own.
func (t *chartTask) render(ask func(lookup) (map[string]any, error)) (*answer, error) {
	c, err := t.load()
	if err != nil {
		return nil, err
	}
	caps, err := t.capabilities(c)
	if err != nil {
		return nil, err
	}
	if v := c.Metadata.KubeVersion; v != "" && !chartv2.IsCompatibleRange(v, caps.KubeVersion.String()) {
		return nil, fmt.Errorf("the chart needs Kubernetes %.100s, this is %s: %w", v, caps.KubeVersion.Version, ocm.ErrInvalid)
	}
	if err := chartv2.ProcessDependencies(c, t.Values); err != nil {
		return nil, fmt.Errorf("dependencies of the chart: %w: %w", err, ocm.ErrInvalid)
	}
	options := common.ReleaseOptions{Name: t.Name, Namespace: t.Namespace, Revision: t.Revision, IsInstall: t.Install, IsUpgrade: !t.Install}
	values, err := chartutil.ToRenderValuesWithSchemaValidation(c, t.Values, options, caps, true)
	if err != nil {
		return nil, fmt.Errorf("spec.values: %w: %w", err, ocm.ErrInvalid)
	}
	coalesced, err := values.Table("Values")
	if err != nil {
		return nil, fmt.Errorf("spec.values: %w: %w", err, ocm.ErrInvalid)
	}
	if err := checkSchemas(c, coalesced); err != nil {
		return nil, err
	}
	rendered, err := (engine.Engine{CustomTemplateFuncs: t.functions(ask)}).RenderWithContext(context.Background(), c, values)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	return t.sort(c, rendered)
}

// load makes a chart of files. What it depends on must be in it.
func (t *chartTask) load() (*chart.Chart, error) {
	var buffered []*archive.BufferedFile
	for name, data := range t.Files {
		buffered = append(buffered, &archive.BufferedFile{Name: name, Data: data})
	}
	slices.SortFunc(buffered, func(a, b *archive.BufferedFile) int { return strings.Compare(a.Name, b.Name) })
	c, err := loader.LoadFiles(buffered)
	if err != nil {
		return nil, fmt.Errorf("the chart cannot be read: %w: %w", err, ocm.ErrInvalid)
	}
	if strings.EqualFold(c.Metadata.Type, "library") {
		return nil, fmt.Errorf("chart %.100q is a library, which only other charts can use: %w", c.Name(), ocm.ErrInvalid)
	}
	count := 0
	return c, checkCharts(c, 0, &count)
}

// checkCharts checks a chart and those in it.
func checkCharts(c *chart.Chart, level int, count *int) error {
	if *count++; *count > maxCharts || level > maxSubchart {
		return fmt.Errorf("more than %d charts in the chart, or more than %d levels of them: %w", maxCharts, maxSubchart, ocm.ErrLimit)
	}
	for _, need := range c.Metadata.Dependencies {
		if need == nil {
			return fmt.Errorf("chart %.100q: an empty dependency: %w", c.Name(), ocm.ErrInvalid)
		}
		if !slices.ContainsFunc(c.Dependencies(), func(d *chart.Chart) bool { return d.Name() == need.Name }) {
			return fmt.Errorf("chart %.100q depends on %.100q, which is not in its folder charts; no repository is asked for it: package the chart with its dependencies: %w",
				c.Name(), need.Name, ocm.ErrInvalid)
		}
	}
	for _, d := range c.Dependencies() {
		if err := checkCharts(d, level+1, count); err != nil {
			return err
		}
	}
	return nil
}

// capabilities are what a chart sees of the cluster: what it has, and what the definitions in the chart will give to it before
// everything else is applied.
func (t *chartTask) capabilities(c *chart.Chart) (*common.Capabilities, error) {
	caps := common.DefaultCapabilities.Copy()
	caps.APIVersions = slices.Clone(caps.APIVersions)
	if t.KubeVersion != "" {
		version, err := common.ParseKubeVersion(t.KubeVersion)
		if err != nil {
			return nil, fmt.Errorf("version of the cluster: %w: %w", err, ocm.ErrInvalid)
		}
		caps.KubeVersion, caps.APIVersions = *version, t.APIVersions
	}
	for _, crd := range c.CRDObjects() {
		docs, err := toJSON([]document{{File: crd.Filename, Text: string(crd.File.Data)}})
		if err != nil {
			return nil, err
		}
		for _, doc := range docs {
			var d struct {
				Kind string
				Spec struct {
					Group    string
					Names    struct{ Kind string }
					Versions []struct {
						Name   string
						Served bool
					}
				}
			}
			if json.Unmarshal([]byte(doc.Text), &d) != nil || d.Kind != "CustomResourceDefinition" {
				continue // it is looked at again when all is there
			}
			for _, v := range d.Spec.Versions {
				if v.Served {
					caps.APIVersions = append(caps.APIVersions, d.Spec.Group+"/"+v.Name, d.Spec.Group+"/"+v.Name+"/"+d.Spec.Names.Kind)
				}
			}
		}
	}
	return caps, nil
}

// functions replace those of helm that reach out of the process. It has no functions for its environment, and asks no name server.
func (t *chartTask) functions(ask func(lookup) (map[string]any, error)) template.FuncMap {
	return template.FuncMap{"lookup": func(apiVersion, kind, namespace, name string) (map[string]any, error) {
		if !t.Lookup {
			return map[string]any{}, nil
		}
		return ask(lookup{apiVersion, kind, namespace, name})
	}}
}

// sort makes the answer of rendered templates.
func (t *chartTask) sort(c *chart.Chart, rendered map[string]string) (*answer, error) {
	a := &answer{}
	a.Chart.Name, a.Chart.Version, a.Chart.AppVersion = c.Name(), c.Metadata.Version, c.Metadata.AppVersion
	size := 0
	for name, text := range rendered {
		if strings.HasSuffix(name, notesFile) {
			if name == path.Join(c.Name(), "templates", notesFile) {
				a.Notes = text
			}
			delete(rendered, name)
		}
		if size += len(text); size > MaxOutput {
			return nil, fmt.Errorf("templates became more than %d bytes: %w", MaxOutput, ocm.ErrLimit)
		}
	}
	hooks, objects, err := util.SortManifests(rendered, nil, util.InstallOrder)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	for _, o := range objects {
		a.Documents = append(a.Documents, document{File: o.Name, Text: o.Content})
	}
	for _, h := range hooks {
		a.Hooks = append(a.Hooks, hook{[]document{{File: h.Path, Text: h.Manifest}}, h.Kind, h.Name, h.Path, texts(h.Events), h.Weight, texts(h.DeletePolicies), texts(h.OutputLogPolicies)})
	}
	for _, crd := range c.CRDObjects() {
		a.CRDs = append(a.CRDs, document{File: crd.Filename, Text: string(crd.File.Data)})
	}
	a.Release, err = json.Marshal(&release.Release{Name: t.Name, Namespace: t.Namespace, Chart: c, Config: t.Values, Info: &release.Info{Notes: a.Notes}})
	return a, err
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}
