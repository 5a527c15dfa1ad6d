// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"ocm"
	"ocm/deploy/v1alpha1"
)

// maxKustomizations bounds how many kustomizations take part in one, and how deep they use each other.
const maxKustomizations = 500

// kustomization is the file that makes a directory a kustomization; empty if there is none.
func kustomization(all files, dir string) string {
	for _, name := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization"} {
		if _, ok := all[path.Join(dir, name)]; ok {
			return path.Join(dir, name)
		}
	}
	return ""
}

// renderKustomization renders the kustomization in a directory, which may use others in the same archive.
func renderKustomization(ctx context.Context, all files, dir string) (*Result, error) {
	if kustomization(all, dir) == "" {
		return nil, fmt.Errorf("expected a kustomization at spec.path %q, found no kustomization.yaml: there is %s: %w", dir, all.top(), ocm.ErrInvalid)
	}
	if err := checkKustomizations(all, dir); err != nil {
		return nil, err
	}
	a, err := run(ctx, task{Kustomize: &kustomizeTask{all, dir}}, nil)
	if err != nil {
		return nil, err
	}
	var p parser
	if err := p.add(a.Documents); err != nil {
		return nil, err
	}
	if len(p.objects) == 0 {
		return nil, fmt.Errorf("no objects found in the kustomization: %w", ocm.ErrInvalid)
	}
	return &Result{Format: v1alpha1.FormatKustomize, Objects: p.objects}, nil
}

// kustomizeTask is a kustomization that is to be built. It is what the process gets.
type kustomizeTask struct {
	Files files
	Dir   string
}

// build builds the kustomization in memory. It runs in a process of its own.
func (t *kustomizeTask) build() (*answer, error) {
	fs := filesys.MakeFsInMemory()
	for name, data := range t.Files {
		if err := fs.WriteFile("/"+name, data); err != nil {
			return nil, fmt.Errorf("%.200q: %w: %w", name, err, ocm.ErrInvalid)
		}
	}
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsRootOnly
	options.PluginConfig = types.DisabledPluginConfig()
	built, err := krusty.MakeKustomizer(options).Run(fs, "/"+t.Dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	text, err := built.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	if len(text) > MaxOutput {
		return nil, fmt.Errorf("it became more than %d bytes: %w", MaxOutput, ocm.ErrLimit)
	}
	return &answer{Documents: []document{{File: t.Dir, Text: string(text)}}}, nil
}

// Fields of a kustomization.
var (
	// forbidden ones make kustomize start programs.
	forbidden = []string{"helmCharts", "helmChartInflationGenerator", "helmGlobals"}
	// named ones are lists of files and directories.
	listed = []string{"resources", "bases", "components", "crds", "configurations"}
	// inlined ones are lists of such, or of the text itself.
	inlined = []string{"patchesStrategicMerge", "generators", "transformers", "validators"}
	// plugins are those of them that configure parts of kustomize: only what is built into it runs.
	plugins = []string{"generators", "transformers", "validators"}
	// pathed ones are lists of objects with a path.
	pathed = []string{"patches", "patchesJson6902", "replacements"}
	// generating ones are lists of objects with files of data.
	generating = []string{"configMapGenerator", "secretGenerator"}
)

// checkKustomizations checks a kustomization and those that it uses, before anything runs: whatever they name must be in the archive,
// which leaves out everything that kustomize would load from a server or with git, and no programs are run.
// Errors name file and field.
func checkKustomizations(all files, dir string) error {
	k := &kustomizeCheck{all: all, seen: map[string]bool{}}
	return k.check(dir)
}

type kustomizeCheck struct {
	all  files
	seen map[string]bool
}

// check checks the kustomization in a directory.
func (k *kustomizeCheck) check(dir string) error {
	file := kustomization(k.all, dir)
	if file == "" {
		return fmt.Errorf("%.200q has no kustomization.yaml: %w", dir, ocm.ErrInvalid)
	}
	if k.seen[file] {
		return nil // kustomize finds circles
	}
	if k.seen[file] = true; len(k.seen) > maxKustomizations {
		return fmt.Errorf("more than %d kustomizations: %w", maxKustomizations, ocm.ErrLimit)
	}
	content, err := decodeFile(k.all[file])
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	m, ok := content.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: expected an object, found %s: %w", file, kindOf(content), ocm.ErrInvalid)
	}
	if err := k.fields(dir, m); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// decodeFile decodes a file of one document.
func decodeFile(text []byte) (any, error) {
	if len(text) > MaxDocument {
		return nil, fmt.Errorf("%d bytes, expected at most %d: %w", len(text), MaxDocument, ocm.ErrLimit)
	}
	docs := split(text)
	if len(docs) != 1 {
		return nil, fmt.Errorf("expected one document, found %d: %w", len(docs), ocm.ErrInvalid)
	}
	return decodeYAML(docs[0])
}

// decodeYAML decodes a document that is read by people: it is refused if it has more values than this process reads.
func decodeYAML(doc []byte) (any, error) {
	if estimate(doc) > maxHere {
		return nil, fmt.Errorf("more than %d values: %w", maxHere, ocm.ErrLimit)
	}
	raw, err := yamlToJSON(doc)
	if err != nil {
		return nil, err
	}
	return decodeJSON(raw)
}

func (k *kustomizeCheck) fields(dir string, m map[string]any) error {
	for _, field := range forbidden {
		if m[field] != nil {
			return fmt.Errorf("%s: kustomize would start a program for it: deploy the chart by itself: %w", field, ocm.ErrInvalid)
		}
	}
	for _, field := range slices.Concat(listed, inlined) {
		for i, e := range listOf(m[field]) {
			name, isText := e.(string)
			if !isText {
				return fmt.Errorf("%s[%d]: expected a text, found %s: %w", field, i, kindOf(e), ocm.ErrInvalid)
			}
			if err := k.entry(dir, field, name); err != nil {
				return fmt.Errorf("%s[%d]: %w", field, i, err)
			}
		}
	}
	for _, field := range pathed {
		for i, e := range listOf(m[field]) {
			if o, ok := e.(map[string]any); ok && o["path"] != nil {
				if err := k.exists(dir, o["path"]); err != nil {
					return fmt.Errorf("%s[%d].path: %w", field, i, err)
				}
			}
		}
	}
	for _, field := range generating {
		for i, e := range listOf(m[field]) {
			if err := k.generator(dir, e); err != nil {
				return fmt.Errorf("%s[%d].%w", field, i, err)
			}
		}
	}
	if o, ok := m["openapi"].(map[string]any); ok && o["path"] != nil {
		if err := k.exists(dir, o["path"]); err != nil {
			return fmt.Errorf("openapi.path: %w", err)
		}
	}
	return nil
}

// entry checks one entry of a list of files, directories or texts.
func (k *kustomizeCheck) entry(dir, field, name string) error {
	text := []byte(name)
	if !slices.Contains(inlined, field) || !strings.Contains(strings.TrimSpace(name), "\n") {
		if err := k.exists(dir, name); err != nil {
			return err
		}
		target := path.Join(dir, name)
		content, isFile := k.all[target]
		if !isFile {
			return k.check(target)
		}
		text = content
	}
	if slices.Contains(plugins, field) {
		return k.plugin(text)
	}
	return nil
}

// plugin checks the configuration of plugins: only those built into kustomize run, and of these not the one that starts helm.
func (k *kustomizeCheck) plugin(text []byte) error {
	for _, doc := range split(text) {
		content, err := decodeYAML(doc)
		if err != nil {
			return err
		}
		m, _ := content.(map[string]any)
		if m["apiVersion"] != "builtin" || m["kind"] == "HelmChartInflationGenerator" {
			return fmt.Errorf("plugin %.100v %.100v: only plugins that are built into kustomize are run (apiVersion: builtin): %w", m["apiVersion"], m["kind"], ocm.ErrInvalid)
		}
		metadata, _ := m["metadata"].(map[string]any)
		annotations, _ := metadata["annotations"].(map[string]any)
		for key := range annotations {
			if key == "config.kubernetes.io/function" || key == "config.k8s.io/function" {
				return fmt.Errorf("plugin %.100v: annotation %s: functions are not run: %w", m["kind"], key, ocm.ErrInvalid)
			}
		}
	}
	return nil
}

// generator checks the files of a generator: name=path, or only path.
func (k *kustomizeCheck) generator(dir string, e any) error {
	m, _ := e.(map[string]any)
	for _, field := range []string{"files", "envs"} {
		for i, f := range listOf(m[field]) {
			name, _ := f.(string)
			if _, after, ok := strings.Cut(name, "="); ok && field == "files" {
				name = after
			}
			if err := k.exists(dir, name); err != nil {
				return fmt.Errorf("%s[%d]: %w", field, i, err)
			}
		}
	}
	if m["env"] != nil {
		if err := k.exists(dir, m["env"]); err != nil {
			return fmt.Errorf("env: %w", err)
		}
	}
	return nil
}

// exists checks that something of a name is in the archive, seen from a directory.
func (k *kustomizeCheck) exists(dir string, value any) error {
	name, ok := value.(string)
	if !ok || name == "" {
		return fmt.Errorf("expected a path, found %s: %w", kindOf(value), ocm.ErrInvalid)
	}
	target := path.Join(dir, name)
	if _, isFile := k.all[target]; !isAddress(name) && (isFile || !path.IsAbs(name) && k.all.isDir(target)) {
		return nil
	}
	if isAddress(name) || strings.Contains(name, "@") || strings.Contains(name, "?") {
		name, _, _ = strings.Cut(name, "?")
		return fmt.Errorf("%.200q is elsewhere, and nothing is loaded from there: put it into the content: %w", name, ocm.ErrInvalid)
	}
	return fmt.Errorf("%.200q is not in the content: %w", name, ocm.ErrInvalid)
}

// isAddress reports whether kustomize takes a name for an address, which it does before it looks for a file or a directory of that name: an
// archive may well have one.
func isAddress(name string) bool {
	name = strings.ToLower(strings.TrimSpace(name))
	first, _, _ := strings.Cut(name, "/")
	return strings.Contains(first, ":") || strings.HasPrefix(name, "github.com")
}

func listOf(value any) []any {
	list, _ := value.([]any)
	return list
}
