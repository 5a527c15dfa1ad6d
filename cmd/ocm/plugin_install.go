// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/inspect"
	"ocm/plugin/installed"
)

const pluginInstallLong = `Install a plugin that is delivered as a component version: the resource of type ocmPlugin for
this computer, chosen by os and architecture of the extra identity. It becomes a program in
the folder of plugins, under the last element of the component's name.

The argument is a reference, or a name that is looked up in the registries of --registry or
of the configuration (plugin.registry.config.ocm.software). Without a version the newest
release counts.

Nothing of a plugin is executed before its signature was verified, with the keys and by the
rules of "ocm verify cv", and its content was compared. A plugin that is installed by name is
covered by the signatures of its registry, if that has any, and else needs good ones of its
own; a digest that the registry has of it is compared in any case. --unsigned installs
without looking at signatures, and that is recorded.

Then the program is asked what it can do, unless --skip-validation is given, and is installed
if it can do anything. A record beside it keeps its digest and its origin: a program that
is changed later is not run any more.

What is installed is replaced by the same plugin in a newer version, or with --force.`

const pluginInstallExample = `  # from a repository, verified with a key
  ocm plugin install ./archive//acme.org/plugins/hello:1.0.0 --public-key rsa.pub

  # by its name, the newest release in a registry of plugins
  ocm plugin install hello --registry ./archive//acme.org/plugins --public-key rsa.pub

  # what nobody has signed
  ocm plugin install ./archive//acme.org/plugins/hello:1.0.0 --unsigned`

// deliveryOptions are the flags that installing and downloading a plugin have in common.
type deliveryOptions struct {
	trustOptions
	unsigned       bool
	skipValidation bool
	force          bool
	output         string
	given          func() string // a flag about signatures that was given
}

func (o *deliveryOptions) AddFlags(fs *pflag.FlagSet) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.trustOptions.AddFlags(own)
	fs.AddFlagSet(own)
	o.given = func() (name string) {
		own.VisitAll(func(f *pflag.Flag) {
			if f.Changed {
				name = f.Name
			}
		})
		return name
	}
	fs.BoolVar(&o.unsigned, "unsigned", false, "do not look at signatures: whoever can write into the repository can run programs here")
	fs.BoolVar(&o.skipValidation, "skip-validation", false, "do not ask the program what it can do")
	fs.BoolVar(&o.force, "force", false, "replace what is there, whatever it is")
}

// pluginRequest is what asks for a plugin.
type pluginRequest struct {
	at             ocm.Coordinates // of its component version; without a component it is looked up by name
	name, version  string          // in registries; no version: the newest
	registries     []string        // their references; none: those of the configuration
	trust          *trust          // nil: signatures are not looked at
	folder         string          // empty: that of plugins
	typ            string          // of the resource
	identity       ocm.Identity    // of the resource
	skipValidation bool
	force          bool
}

// pluginDelivered is what is told of a plugin that was installed.
type pluginDelivered struct {
	Name       string                `json:"name"`
	Version    string                `json:"version"`
	Source     string                `json:"source"`
	Type       string                `json:"type"`
	Identity   ocm.Identity          `json:"identity"`
	Location   string                `json:"location"`
	Digest     string                `json:"digest"`
	Verified   bool                  `json:"verified"`
	Signatures []installed.Signature `json:"signatures,omitempty"`
}

func newPluginInstall(a *app) *cobra.Command {
	var o deliveryOptions
	var registries []string
	cmd := &cobra.Command{
		Use:     "install <reference>|NAME[:VERSION] [flags]",
		Short:   "Install a plugin that is delivered as a component version",
		Long:    pluginInstallLong,
		Example: pluginInstallExample,
		Args:    arguments("<reference> or NAME[:VERSION]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := o.request()
			if err == nil {
				err = r.parse(args[0], registries)
			}
			if err != nil {
				return err
			}
			return runPluginInstall(cmd.Context(), a, o, r)
		},
	}
	addEnum(cmd.Flags(), &o.output, "output", "o", "output format", "table", "json", "yaml")
	addRegistries(cmd.Flags(), &registries)
	o.AddFlags(cmd.Flags())
	return cmd
}

// request checks the flags. The plugin is one for this computer.
func (o *deliveryOptions) request() (pluginRequest, error) {
	r := pluginRequest{typ: inspect.PluginType, identity: ocm.Identity{"os": runtime.GOOS, "architecture": runtime.GOARCH},
		skipValidation: o.skipValidation, force: o.force}
	t, err := o.trustOptions.request()
	if err != nil {
		return r, err
	}
	if given := o.given(); o.unsigned && given != "" {
		return r, usagef("--unsigned looks at no signature, --%s is about signatures: leave one of them out", given)
	}
	if !o.unsigned {
		r.trust = &t.trust
	}
	return r, nil
}

// parse reads a reference, or a name.
func (r *pluginRequest) parse(text string, registries []string) (err error) {
	r.registries = registries
	if !strings.Contains(text, "//") {
		r.name, r.version, _ = strings.Cut(text, ":")
		if r.name == "" || strings.HasSuffix(text, ":") || strings.Contains(r.name, "/") {
			return withHint(usagef("%q is no name of a plugin: expected NAME, NAME:VERSION or a reference", text), slashHint(text))
		}
		return nil
	}
	if len(registries) > 0 {
		return usagef("--registry is for names; %s says where the plugin is", text)
	}
	if r.at, err = ocm.ParseCoordinates(text); err != nil {
		return withHint(usage(err), slashHint(text))
	}
	return nil
}

func runPluginInstall(ctx context.Context, a *app, o deliveryOptions, r pluginRequest) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	done, err := s.deliver(ctx, r)
	a.err.stopProgress()
	if err != nil {
		return withHint(err, deliveryHint(err, o))
	}
	if o.output != "table" {
		return printValue(a.out, o.output, done)
	}
	return printDelivered(a.out, done)
}

func deliveryHint(err error, o deliveryOptions) string {
	if h := verifyHint(err, o.trustOptions); h != "" {
		return h
	}
	if strings.Contains(err.Error(), "no signatures") {
		return "--unsigned installs it without signatures, if you know by other means that it is what you want"
	}
	return ""
}

func printDelivered(w io.Writer, d *pluginDelivered) error {
	t := newTable("PLUGIN", "VERSION", "SOURCE", "TYPE", "IDENTITY", "LOCATION")
	t.add(d.Name, d.Version, d.Source, d.Type, d.Identity.String(), d.Location)
	if err := t.write(w); err != nil {
		return err
	}
	text := "NOT verified: nobody has looked at signatures (--unsigned)"
	if d.Verified {
		text = "verified: " + signers(d.Signatures)
	}
	_, err := fmt.Fprintf(w, "\n%s\n", clean(text, true))
	return err
}

// signers names the signatures, and whose they are.
func signers(list []installed.Signature) string {
	var parts []string
	for _, s := range list {
		parts = append(parts, fmt.Sprintf("signature %s of %s, by %s", s.Name, s.Of, s.Signer))
	}
	return strings.Join(parts, "; ")
}
