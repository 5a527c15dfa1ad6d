// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/inspect"
)

const downloadLong = `Fetch the content of one resource of a component version. The bytes are compared with
the digest in the descriptor; what does not match is not kept.

--identity selects the resource by some or all of its name, version and extra identity;
exactly one must match. Content that is a tar archive is unpacked into a folder, and
compressed content is decompressed; --extraction-policy disable keeps the bytes as they
are, and so does stdout. An image becomes a folder, or an archive, in OCI layout.

A file that is there already is replaced when the new content is complete and compared.`

const downloadExample = `  # into a file of the resource's name
  ocm download resource ./archive//acme.org/app:1.0.0 --identity name=readme

  # the one for a platform, into a file, or to stdout
  ocm download resource ./archive//acme.org/app:1.0.0 --identity name=tool,os=linux,architecture=amd64 --output bin/tool
  ocm download resource ./archive//acme.org/app:1.0.0 --identity name=readme --output -`

type downloadOptions struct {
	identity   string
	output     string
	extraction string
}

func (o *downloadOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.identity, "identity", "", "what selects the resource, as `key=value,...` (required)")
	fs.StringVarP(&o.output, "output", "O", "", "`file` or folder to write, a file that is there is replaced; - for stdout (default: the name of the resource)")
	addEnum(fs, &o.extraction, "extraction-policy", "", "decompress and unpack, or keep the bytes", "auto", "disable")
	alias(fs, "output", "outfile", "")
}

// downloadRequest is what "ocm download resource" asks for.
type downloadRequest struct {
	at       ocm.Coordinates
	identity ocm.Identity
	output   string // file or folder; "-": stdout; empty: name of the resource
	extract  bool
}

func newDownloadResource(a *app) *cobra.Command {
	var o downloadOptions
	cmd := &cobra.Command{
		Use:     "resource <reference> --identity key=value[,...] [flags]",
		Aliases: []string{"resources", "res", "r"},
		Short:   "Fetch the content of a resource",
		Long:    downloadLong,
		Example: downloadExample,
		Args:    arguments("<reference>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDownloadResource(cmd.Context(), a, o, args[0])
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runDownloadResource(ctx context.Context, a *app, o downloadOptions, reference string) error {
	r, err := o.request(reference)
	if err != nil {
		return err
	}
	s, err := a.session()
	if err != nil {
		return err
	}
	_, v, err := s.openVersion(ctx, r.at)
	if err != nil {
		return err
	}
	res, err := selectResource(v.Descriptor(), r.identity)
	if err != nil {
		return err
	}
	if r.output == "" {
		r.output = res.Name
	}
	if err := checkOutput(r.output, o.output == ""); err != nil {
		return err
	}
	written, err := s.download(ctx, v, res, r)
	if err != nil {
		return err
	}
	a.err.stopProgress()
	if r.output == "-" {
		return nil
	}
	_, err = io.WriteString(a.out, clean(written, false)+"\n")
	return err
}

func (o *downloadOptions) request(reference string) (downloadRequest, error) {
	r := downloadRequest{output: o.output, extract: o.extraction == "auto"}
	var err error
	if r.at, err = parseVersion(reference); err != nil {
		return r, err
	}
	if o.identity == "" {
		return r, usagef("--identity is missing: say which resource, for example --identity name=image (ocm describe cv lists them)")
	}
	if r.identity, err = ocm.ParseIdentity(o.identity); err != nil {
		return r, usage(err)
	}
	return r, nil
}

// selectResource finds the one resource that an identity selects.
func selectResource(d *ocm.Descriptor, id ocm.Identity) (*ocm.Resource, error) {
	r, err := inspect.FindResource(d, id)
	switch {
	case errors.Is(err, ocm.ErrInvalid): // it selects several
		return nil, usage(err)
	case err != nil:
		return nil, withHint(err, "\"ocm describe cv\" lists the resources of a version")
	}
	return r, nil
}

// checkOutput refuses a name from a descriptor that would lead out of the current folder.
func checkOutput(path string, fromDescriptor bool) error {
	if fromDescriptor && (!filepath.IsLocal(path) || strings.ContainsAny(path, `/\`) || path == "-") {
		return fmt.Errorf("the resource's name %q is no good name for a file, give one with --output: %w", path, ocm.ErrInvalid)
	}
	return nil
}
