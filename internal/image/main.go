// SPDX-License-Identifier: Apache-2.0

// Command image makes OCI images without Docker: of a static program, for one or several platforms, or of a program on top of Debian
// packages. Equal programs and packages give equal bytes on every machine. The result is an archive of an OCI image layout.
//
//	go run ./internal/image -out image.tar -name tool linux/amd64=build/tool-amd64 linux/arm64=build/tool-arm64
//	go run ./internal/image -out image.tar -name start -recipe packages -debs build/debs -sbom image.spdx.json linux/amd64=build/start
//
// No script of a package is run, nothing is written but the archive and the bill of materials, and no rights are needed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/blob"
)

const usage = "usage: image -out FILE -name PROGRAM [flags] OS/ARCHITECTURE=FILE, once for each platform"

// options are what is wanted of an image, beside its programs.
type options struct {
	out, name string
	ca        string // file with certificates; empty: none
	recipe    string // file that says which packages stand below the program; empty: none
	debs      string // folder of these packages
	sbom      string // file for the bill of materials; empty: none
	config    ociv1.ImageConfig
}

func (o *options) label(key, value string) {
	if o.config.Labels == nil {
		o.config.Labels = map[string]string{}
	}
	o.config.Labels[key] = value
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	o := options{config: ociv1.ImageConfig{WorkingDir: "/"}}
	flag.StringVar(&o.out, "out", "image.tar", "archive to write")
	flag.StringVar(&o.name, "name", "", "name of the program in the image")
	flag.StringVar(&o.ca, "ca", "", "file with certificates (PEM) that the program trusts in TLS; empty: none")
	flag.StringVar(&o.recipe, "recipe", "", "file that says which Debian packages stand in the image, and what else; empty: none")
	flag.StringVar(&o.debs, "debs", "", "folder of packages; those that a recipe names are downloaded into it with apt")
	flag.StringVar(&o.sbom, "sbom", "", "file for the bill of materials of the packages (SPDX 2.3, JSON); empty: none")
	flag.StringVar(&o.config.User, "user", "65532:65532", "user and group that the program runs as")
	flag.StringVar(&o.config.StopSignal, "stop-signal", "", "signal that asks the program to end; empty: SIGTERM")
	flag.Func("env", "variable of the program, NAME=VALUE; may be given several times", func(s string) error {
		o.config.Env = append(o.config.Env, s)
		return nil
	})
	flag.Func("label", "label of the image, KEY=VALUE; may be given several times", func(s string) error {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return errors.New("not of the form KEY=VALUE")
		}
		o.label(k, v)
		return nil
	})
	flag.Parse()
	err := run(ctx, o, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, platforms []string) error {
	if o.name == "" || strings.ContainsAny(o.name, "/\\") || len(platforms) == 0 {
		return errors.New(usage)
	}
	if o.recipe != "" && len(platforms) != 1 {
		return errors.New("an image with packages is for one platform: packages are")
	}
	o.config.Entrypoint = []string{"/" + o.name}
	var images []ocm.Content
	for _, arg := range platforms {
		text, path, _ := strings.Cut(arg, "=")
		p, err := blob.ParsePlatform(text)
		if err != nil {
			return fmt.Errorf("%s: %w", arg, err)
		}
		c, err := o.image(ctx, ociv1.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}, path)
		if err != nil {
			return err
		}
		images = append(images, c)
	}
	index, err := blob.IndexOf(ctx, images)
	if err != nil {
		return err
	}
	return write(ctx, o.out, index)
}

// write writes the archive under another name first, so that what has the right name is whole.
func write(ctx context.Context, name string, image ocm.Content) error {
	f, err := os.Create(name + ".part")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // which is nothing after the end
	defer f.Close()
	if err := blob.WriteLayout(ctx, f, image, ""); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// image is the image for one platform. What belongs to packages stands in lower layers than the program, which changes more often.
func (o *options) image(ctx context.Context, p ociv1.Platform, program string) (ocm.Content, error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return ocm.Content{}, err
	}
	t := newTree()
	var debs []deb
	if o.recipe != "" {
		if debs, err = o.packages(ctx, p.Architecture, t); err != nil {
			return ocm.Content{}, err
		}
	}
	if err := t.add(o.name, file(top, 0o755, content)); err != nil {
		return ocm.Content{}, err
	}
	if o.ca != "" {
		trusted, err := os.ReadFile(o.ca)
		if err != nil {
			return ocm.Content{}, err
		}
		if err := t.add("etc/ssl/certs/ca-certificates.crt", file(top, 0o644, trusted)); err != nil {
			return ocm.Content{}, err
		}
	}
	c, err := pack(ctx, p, o.config, t)
	if err != nil || o.sbom == "" {
		return c, err
	}
	title := o.config.Labels[ociv1.AnnotationTitle]
	if title == "" {
		title = o.name
	}
	doc, err := bill(title, o.name, content, c.Root.Digest, release(t), debs)
	if err != nil {
		return c, err
	}
	return c, os.WriteFile(o.sbom, doc, 0o644) //nolint:gosec // for everybody to read
}

// packages puts what the recipe asks for into a tree, and proves that every library that is needed is there.
func (o *options) packages(ctx context.Context, arch string, t *tree) ([]deb, error) {
	text, err := os.ReadFile(o.recipe)
	if err != nil {
		return nil, err
	}
	r, err := parseRecipe(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.recipe, err)
	}
	if o.debs == "" {
		return nil, errors.New("a recipe needs a folder for packages: -debs FOLDER")
	}
	debs, err := r.debs(ctx, o.debs)
	if err != nil {
		return nil, err
	}
	for i := range debs {
		if err := debs[i].unpack(ctx, arch, r, t); err != nil {
			return nil, fmt.Errorf("%s: %w", debs[i].path, err)
		}
	}
	if i := slices.IndexFunc(debs, func(d deb) bool { return d.fields["Package"] == r.version }); i >= 0 {
		o.label(ociv1.AnnotationVersion, debs[i].fields["Version"])
	} else if r.version != "" {
		return nil, fmt.Errorf("%s: the image has the version of %s, which is not in it: %w", o.recipe, r.version, ocm.ErrNotFound)
	}
	if err := r.extend(t); err != nil {
		return nil, fmt.Errorf("%s: %w", o.recipe, err)
	}
	return debs, resolved(t, arch)
}
