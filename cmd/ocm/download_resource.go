// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/blob"
	"ocm/inspect"
)

const downloadLong = `Fetch the content of resources. The bytes are compared with the digest in the descriptor;
what does not match is not kept.

--identity selects a resource by some or all of its name, version and extra identity; exactly
one must match, which is written to --output. With several identities, with --type or
--label alone, with --recursive, or with an output that ends in a slash, any number may
match, and the output is a folder with a file for each.

What people expect of a content is made of it (--as auto): a chart becomes its .tgz, an image
a folder in OCI layout; an archive is unpacked into a folder, a compressed file is
decompressed. blob takes the bytes as they are (an image as one archive in OCI layout), and
so does stdout; oci-layout makes a folder, or an archive where --output ends in .tar;
docker makes an archive that "docker load" reads. --extraction-policy disable is --as blob.

--transformer makes other content of it before, by its type or specification: helm makes the
chart of an OCI artifact, with its provenance file; plugins may have more.

A file that is there already is replaced when the new content is complete and compared.`

const downloadExample = `  # into a file of the resource's name
  ocm download resource ./archive//acme.org/app:1.0.0 --identity name=readme

  # the one for a platform, into a file, or to stdout; the program for this computer
  ocm download resource ./archive//acme.org/app:1.0.0 --identity name=tool,os=linux,architecture=amd64 --output bin/tool
  ocm download resource ./archive//acme.org/app:1.0.0 --identity name=readme --output -
  ocm download resource ./archive//acme.org/app:1.0.0 --identity name=tool -x --output bin/tool

  # the archive of a chart that is kept as an OCI artifact
  ocm download resource ./archive//acme.org/app:1.0.0 --identity name=chart --transformer helm

  # all images of the product, each as an archive for docker load
  ocm download resources ./archive//acme.org/app:1.0.0 --recursive --type ociImage --as docker --output images`

type downloadOptions struct {
	selection   elementSelection
	executable  bool
	recursive   depth
	output      string
	extraction  string
	as          string
	transformer string
	platform    string
}

func (o *downloadOptions) AddFlags(fs *pflag.FlagSet) {
	o.selection.AddFlags(fs, inspect.KindResource)
	fs.BoolVarP(&o.executable, "executable", "x", false, "only executables for this computer, by the os and architecture of their identity")
	addDepth(fs, &o.recursive)
	fs.StringVarP(&o.output, "output", "O", "", "`file` or folder to write, a file that is there is replaced; - for stdout (default: the name of the resource)")
	addEnum(fs, &o.extraction, "extraction-policy", "", "decompress and unpack, or keep the bytes", "auto", "disable")
	addEnum(fs, &o.as, "as", "", "what to make of the content", inspect.Forms()...)
	fs.StringVar(&o.transformer, "transformer", "", "what makes other content of it first: its `type`, or its specification as JSON or in a file")
	fs.StringVar(&o.platform, "platform", "", "with --as docker: which image of several, such as linux/arm64 (`os/architecture`; default: linux on this computer's processor)")
	alias(fs, "output", "outfile", "")
}

// downloadRequest is what "ocm download resource" asks for.
type downloadRequest struct {
	at        ocm.Coordinates
	selector  inspect.Selector
	recursive bool
	one       bool   // exactly one resource is expected
	output    string // one: file or folder, "-" for stdout, empty for the name of the resource; else a folder
	options   inspect.DownloadOptions
}

func newDownloadResource(a *app) *cobra.Command {
	var o downloadOptions
	cmd := &cobra.Command{
		Use:     "resource <reference> --identity key=value[,...] [flags]",
		Aliases: []string{"resources", "res", "r"},
		Short:   "Fetch the content of resources",
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
	var written []string
	if r.one {
		written, err = s.downloadOne(ctx, r)
	} else {
		written, err = s.downloadMany(ctx, r)
	}
	a.err.stopProgress()
	for _, path := range written { // also before an error: these are there
		fmt.Fprintln(a.out, clean(path, false))
	}
	return err
}

func (o *downloadOptions) request(reference string) (r downloadRequest, err error) {
	if r.at, err = parseVersion(reference); err != nil {
		return r, err
	}
	if r.selector, err = o.selection.parse(); err != nil {
		return r, err
	}
	if o.executable {
		r.selector.Platform = &blob.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}
	}
	r.recursive = o.recursive != 0
	r.output = o.output
	named := len(o.selection.identities)
	r.one = !r.recursive && !strings.HasSuffix(o.output, "/") && (named == 1 || named == 0 && o.executable)
	switch {
	case r.one:
	case o.output == "" && r.selector.String() == "":
		return r, usagef("--identity is missing: say which resource, for example --identity name=image (ocm get resources lists them), or the folder for all of them: --output FOLDER/")
	case o.output == "":
		return r, usagef("--output is missing: name the folder that the resources are to be written to")
	case o.output == "-":
		return r, usagef("--output -: only one resource can go to stdout, select it by --identity")
	}
	if r.options.Transformer, err = parseSpec("transformer", o.transformer); err != nil {
		return r, err
	}
	return r, o.form(&r.options)
}

// form reads the flags that say what to make of the content.
func (o *downloadOptions) form(to *inspect.DownloadOptions) error {
	to.Form = o.as
	if o.extraction == "disable" {
		if o.as != inspect.FormAuto && o.as != inspect.FormBlob {
			return usagef("--extraction-policy disable keeps the bytes as they are, --as %s does not: leave one of them out", o.as)
		}
		to.Form = inspect.FormBlob
	}
	if o.platform == "" {
		return nil
	}
	if o.as != inspect.FormDocker {
		return usagef("--platform goes with --as docker")
	}
	p, err := blob.ParsePlatform(o.platform)
	to.Platform = &p
	if err != nil {
		err = usage(fmt.Errorf("--platform: %w", err))
	}
	return err
}

// downloadOne writes the one resource that is selected, and returns what was written.
func (s *session) downloadOne(ctx context.Context, r downloadRequest) ([]string, error) {
	_, v, err := s.openVersion(ctx, r.at)
	if err != nil {
		return nil, err
	}
	res, err := inspect.FindResource(v, r.selector)
	switch {
	case errors.Is(err, ocm.ErrInvalid): // it selects several
		return nil, withHint(usage(err), "--output FOLDER/ takes them all")
	case err != nil:
		return nil, withHint(err, "\"ocm get resources\" lists the resources of a version")
	}
	if r.output == "-" {
		return nil, s.downloadToStdout(ctx, v, res, r.options)
	}
	if r.output == "" {
		if err := checkOutput(res.Name); err != nil {
			return nil, err
		}
		r.output, r.options.Own = res.Name, func(name string) string { return name }
		if r.options.Form == inspect.FormDocker {
			r.output += ".tar"
		}
	}
	return s.download(ctx, v, res, r.output, r.options)
}

// checkOutput refuses a name from a descriptor that would lead out of the current folder.
func checkOutput(name string) error {
	if !filepath.IsLocal(name) || strings.ContainsAny(name, `/\`) || name == "-" {
		return fmt.Errorf("the resource's name %q is no good name for a file, give one with --output: %w", name, ocm.ErrInvalid)
	}
	return nil
}

// downloadToStdout writes nothing before all of it was compared. What would be a folder is one archive.
func (s *session) downloadToStdout(ctx context.Context, v ocm.Version, res *ocm.Resource, o inspect.DownloadOptions) error {
	dir, err := os.MkdirTemp(s.env.TempDir(), "ocm-download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.Form == inspect.FormAuto {
		o.Form = inspect.FormBlob
	}
	path := filepath.Join(dir, "content.tar") // the name makes a layout one archive
	if _, err := s.download(ctx, v, res, path, o); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(s.app.out, f)
	return err
}

// downloadMany writes every selected resource into a folder, one after the other, and returns what was written, also
// with an error. With --recursive each version has a folder of its own in it.
func (s *session) downloadMany(ctx context.Context, r downloadRequest) (written []string, err error) {
	o := elementsOptions{}
	if r.recursive {
		o.recursive = -1
	}
	g, err := s.closure(ctx, r.at, o)
	if err != nil {
		return nil, err
	}
	list, err := inspect.Elements(g, inspect.KindResource, r.selector)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, withHint(fmt.Errorf("%s: no resource with %s: %w", r.at, r.selector, ocm.ErrNotFound), "\"ocm get resources\" lists what there is")
	}
	used := map[string]map[string]bool{} // names by folder
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && list[to].In == list[from].In {
			to++
		}
		dir := r.output
		if r.recursive {
			dir = filepath.Join(dir, folderOf(&list[from].In.Descriptor().Component))
		}
		if used[dir] == nil {
			used[dir] = map[string]bool{}
		}
		r.options.Own = func(name string) string { return inspect.Unused(used[dir], name) }
		for i, name := range inspect.FileNames(used[dir], list[from:to]) {
			if r.options.Form == inspect.FormDocker {
				name = inspect.Unused(used[dir], name+".tar")
			}
			more, err := s.download(ctx, list[from+i].In, list[from+i].Resource, filepath.Join(dir, name), r.options)
			written = append(written, more...)
			if err != nil {
				return written, err
			}
		}
		from = to
	}
	return written, nil
}

// folderOf is the folder of a version among others: the parts of its name, and the version.
func folderOf(c *ocm.Component) string {
	parts := strings.Split(c.Name, "/")
	for i, part := range parts {
		parts[i] = inspect.SafeName(part)
	}
	return filepath.Join(filepath.Join(parts...), inspect.SafeName(c.Version))
}

// download writes one resource, and tells which one could not be written.
func (s *session) download(ctx context.Context, v ocm.Version, r *ocm.Resource, path string, o inspect.DownloadOptions) ([]string, error) {
	written, err := inspect.Download(ctx, s.kit, s.env, v, r, path, o)
	if err != nil {
		err = fmt.Errorf("%s: resource %s: %w", nameOf(v), r.Element.String(), err)
	}
	if errors.Is(err, ocm.ErrDigest) && hint(err) == "" {
		err = withHint(err, "nothing of it was kept; \"ocm check cv\" lists all that is damaged, with --remote also where content is elsewhere")
	}
	return written, err
}
