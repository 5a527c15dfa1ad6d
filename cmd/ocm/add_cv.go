// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
)

const (
	defaultArchive     = "transport-archive"
	defaultConstructor = "component-constructor.yaml"
)

const addLong = `Pack component versions: read a constructor file, which describes components with
their resources, sources and references, store everything it names in a repository, and
compute the digests. A repository that is a folder is created where it is missing.

$NAME and ${NAME} in the constructor file are replaced: by arguments NAME=value, else from
the environment. Paths in it are relative to the folder of the file, or to
--working-directory, and must not lead out of it.

A component version becomes visible when all its content is stored, each by itself,
referenced ones first. --repository memory::NAME does all of it and leaves nothing behind.

A constructor file lists components; content is read from an input (a file, a folder, a chart,
an image, a commit, ...), or stays where an access says. "ocm describe types input" and
"ocm describe types access" list what there is, docs/content.md has examples:

  components:
  - name: acme.org/app
    version: 1.0.0
    provider: {name: acme.org}
    resources:
    - {name: readme, type: plainText, input: {type: file, path: README.md}}
    - name: image
      type: ociImage
      version: 1.0.0
      access: {type: ociArtifact, imageReference: "ghcr.io/acme/app:1.0.0"}
    componentReferences:
    - {name: lib, componentName: acme.org/lib, version: 2.0.0}`

const addExample = `  # component-constructor.yaml of this folder, into the folder ./archive
  ocm add cv --repository ./archive

  # into a registry; versions that are there already are left alone
  ocm add cv -r ghcr.io/acme -c app/component-constructor.yaml --component-version-conflict-policy skip

  # with a value for ${VERSION}
  ocm add cv -r ./archive VERSION=1.1.0 --component-version-conflict-policy skip --output yaml`

type addOptions struct {
	repository     string
	constructor    string
	conflict       string
	external       string
	lookup         []string
	version        string
	skipReferences bool
	force          bool
	replace        bool
	complete       bool
	output         string
}

func (o *addOptions) AddFlags(fs *pflag.FlagSet, g *globalFlags) {
	fs.StringVarP(&o.repository, "repository", "r", defaultArchive, "`repository` to write to, [type::]location")
	fs.StringVarP(&o.constructor, "constructor", "c", defaultConstructor, "constructor `file`, or the folder it lies in")
	addEnum(fs, &o.conflict, "component-version-conflict-policy", "", "when a version exists: fail, keep it, or write it anew",
		"abort-and-fail", "skip", "replace")
	addEnum(fs, &o.external, "external-component-version-copy-policy", "",
		"referenced versions of other repositories: only refer to them, or copy them too", "skip", "copy-or-fail")
	fs.StringArrayVar(&o.lookup, "lookup", nil, "another `repository` to look for referenced versions in; may be repeated")
	fs.StringVar(&o.version, "version", "", "`version` of components that have none in the file")
	fs.BoolVar(&o.skipReferences, "skip-reference-digest-processing", false, "compute no digests of content that is only referred to")
	addEnum(fs, &o.output, "output", "o", "output format", "table", "yaml", "json", "ndjson", "tree")
	alias(fs, "repository", "file", "F")
	alias(fs, "version", "default-version", "v")
	alias(fs, "skip-reference-digest-processing", "skip-digest-generation", "")
	fs.BoolVarP(&o.force, "force", "f", false, "same as --component-version-conflict-policy replace")
	fs.BoolVarP(&o.replace, "replace", "R", false, "same as --component-version-conflict-policy replace")
	fs.BoolVarP(&o.complete, "complete", "C", false, "same as --external-component-version-copy-policy copy-or-fail")
	for _, name := range [...]string{"force", "replace", "complete"} {
		fs.Lookup(name).Hidden = true
	}
	ignored(fs, "create", "addenv", "templater=subst", "blob-cache-directory=", "display-mode=static")
	boundAlias(fs, &g.parallel)
}

// addRequest is what "ocm add cv" asks for.
type addRequest struct {
	repositoryType, repository string
	constructor                string            // a regular file
	variables                  map[string]string // replaced before those of the environment
	version                    string            // of components without one
	conflict                   string            // abort-and-fail, skip or replace
	copyExternal               bool              // copy referenced versions of other repositories
	skipReferences             bool              // compute no digests of referenced content
	lookup                     []repositoryName
}

// repositoryName is a repository that was named on the command line.
type repositoryName struct{ typ, location string }

func newAddCV(a *app) *cobra.Command {
	var o addOptions
	cmd := componentVersion(&cobra.Command{
		Use:     "component-version [NAME=value...] [flags]",
		Short:   "Pack component versions from a constructor file",
		Long:    addLong,
		Example: addExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAddCV(cmd.Context(), a, o, args)
		},
	})
	o.AddFlags(cmd.Flags(), &a.global)
	return cmd
}

func runAddCV(ctx context.Context, a *app, o addOptions, args []string) error {
	r, err := o.request(args)
	if err != nil {
		return err
	}
	out, err := a.results(r.repositoryType, r.repository)
	if err != nil {
		return err
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	added, err := s.add(ctx, r)
	if err != nil {
		return withHint(err, addHint(err))
	}
	a.err.stopProgress()
	if o.output == "tree" {
		return printTree(out, nest(added))
	}
	return printList(out, o.output, added, descriptorTable)
}

func (o *addOptions) request(args []string) (addRequest, error) {
	r := addRequest{variables: map[string]string{}, version: o.version, conflict: o.conflict,
		copyExternal: o.complete || o.external == "copy-or-fail", skipReferences: o.skipReferences}
	if o.force || o.replace {
		r.conflict = "replace"
	}
	var err error
	if r.repositoryType, r.repository, err = parseTarget(o.repository); err != nil {
		return r, err
	}
	if r.lookup, err = parseRepositories(o.lookup); err != nil {
		return r, err
	}
	variable := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		switch {
		case variable.MatchString(arg):
			r.variables[name] = value
		case o.constructor == defaultConstructor: // the older tool's way to name the file
			o.constructor = arg
		default:
			return r, usagef("unexpected argument %q: expected NAME=value", arg)
		}
	}
	r.constructor, err = findConstructor(o.constructor)
	return r, err
}

// findConstructor finds the file in a folder.
func findConstructor(path string) (string, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		for _, name := range [...]string{"component-constructor.yaml", "component-constructor.yml"} {
			file := filepath.Join(path, name)
			if info, err = os.Stat(file); err == nil && !info.IsDir() {
				return file, nil
			}
		}
		return "", fmt.Errorf("constructor: folder %s holds no component-constructor.yaml: %w", path, ocm.ErrNotFound)
	}
	if err != nil {
		return "", withHint(fmt.Errorf("constructor: %w", err), "name the constructor file, or the folder it lies in, with --constructor")
	}
	return path, nil
}

func parseRepositories(list []string) ([]repositoryName, error) {
	var names []repositoryName
	for _, s := range list {
		typ, location, err := ocm.ParseRepository(s)
		if err != nil {
			return nil, usage(err)
		}
		names = append(names, repositoryName{typ, location})
	}
	return names, nil
}

func addHint(err error) string {
	if anyOf(ocm.ErrExists)(err) {
		return "--component-version-conflict-policy skip keeps what is there, replace writes it anew"
	}
	return ""
}

// nest makes trees of versions that refer to each other; what is referred to from
// elsewhere in the list is no root. Versions of the list cannot refer in cycles: their
// digests would contain themselves.
func nest(list []*ocm.Descriptor) []*node {
	nodes, isChild := map[string]*node{}, map[string]bool{}
	for _, d := range list {
		nodes[d.Component.Name+":"+d.Component.Version] = &node{descriptor: d}
	}
	for _, n := range nodes {
		for _, ref := range n.descriptor.Component.References {
			key := ref.ComponentName + ":" + ref.Version
			if child := nodes[key]; child != nil && child != n {
				n.children = append(n.children, child)
				isChild[key] = true
			}
		}
	}
	var roots []*node
	for _, d := range list {
		if key := d.Component.Name + ":" + d.Component.Version; !isChild[key] {
			roots = append(roots, nodes[key])
		}
	}
	return roots
}
