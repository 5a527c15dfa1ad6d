// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/blob"
	"ocm/deploy/install"
	"ocm/graph"
	"ocm/inspect"
)

const controllerInstallLong = `Print the manifests that bring the controllers into a Kubernetes cluster, for "kubectl apply".

Given a component version, the image is the one that it delivers as its resource "image", from
where it is now: a registry that the nodes can reach, by digest. So an empty cluster is set
up from an archive: transfer it into the registry of the cluster, verify it there, and
install from there. Given --image, that image is taken as it is.

The controllers themselves may not deploy anything. Deployers that name no service account
deploy as RELEASE-controller-manager in the namespace; bind to it what they may deploy.`

const controllerInstallExample = `  # from the registry to which the component version of the controllers was carried; what is printed
  # goes to "kubectl apply --server-side -f -"
  ocm controller install ghcr.io/acme//ocm.software/controller:1.0.0

  # any image
  ocm controller install --image ghcr.io/acme/controller:1.0.0 --replicas 2`

type controllerInstallOptions struct {
	install.Options
	resource string
	output   string
}

func (o *controllerInstallOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Image, "image", "", "`reference` of the image, in place of a component version")
	fs.StringVar(&o.resource, "resource", "image", "`name` of the resource that is the image")
	fs.StringVarP(&o.Namespace, "namespace", "n", install.DefaultNamespace, "`name` of the namespace; it is created")
	fs.StringVar(&o.Release, "release", install.DefaultRelease, "`name` that the names of all objects begin with")
	fs.IntVar(&o.Replicas, "replicas", 1, "`number` of instances: one works, others take over")
	fs.StringVar(&o.PullSecret, "image-pull-secret", "", "`name` of the Secret in the namespace by which nodes pull the image")
	addEnum(fs, &o.output, "output", "o", "output format", "yaml")
}

func newControllerInstall(a *app) *cobra.Command {
	var o controllerInstallOptions
	cmd := &cobra.Command{
		Use:               "install (<reference> | --image reference) [flags]",
		Short:             "Print the manifests that bring the controllers into a cluster",
		Long:              controllerInstallLong,
		Example:           controllerInstallExample,
		ValidArgsFunction: a.completeReference,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usagef("unexpected argument %q: %s takes <reference>", args[1], cmd.CommandPath())
			case len(args) == 0 && o.Image == "":
				return usagef("which image? Name the component version that delivers it, in a registry that the cluster reaches, or the image itself: --image REFERENCE")
			case len(args) == 1 && o.Image != "":
				return usagef("--image %s: the component version says already which image it is, leave one of them out", o.Image)
			case o.Replicas < 1: // zero is the default of the library
				return usagef("--replicas %d: expected a number from 1 to %d", o.Replicas, install.MaxReplicas)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runControllerInstall(cmd.Context(), a, o, args)
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runControllerInstall(ctx context.Context, a *app, o controllerInstallOptions, args []string) error {
	if len(args) == 1 {
		at, err := parseVersion(args[0])
		if err != nil {
			return err
		}
		s, err := a.session()
		if err != nil {
			return err
		}
		if o.Image, o.Version, err = s.pullable(ctx, at, o.resource); err != nil {
			return err
		}
	}
	raw, err := install.Manifests(o.Options)
	if err != nil {
		return usage(err)
	}
	a.err.stopProgress()
	_, err = a.out.Write(raw)
	return err
}

// pullable is the reference by which nodes pull a resource that is an image, from where it is now, and the version that delivers it.
func (s *session) pullable(ctx context.Context, at ocm.Coordinates, name string) (image, version string, err error) {
	_, v, err := s.openVersion(ctx, at)
	if err != nil {
		return "", "", err
	}
	version = v.Descriptor().Component.Version
	res, err := inspect.FindResource(v, inspect.Selector{Identities: []ocm.Identity{{"name": name}}})
	if err != nil {
		return "", "", withHint(err, "--resource NAME says which resource is the image")
	}
	where := fmt.Sprintf("%s: resource %s", at, name)
	c, err := graph.Content(ctx, s.kit, s.env, v, res.Access)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", where, err)
	}
	if !blob.IsManifest(c.Root.MediaType) {
		return "", "", fmt.Errorf("%s: it is no image, but %s: %w", where, c.Root.MediaType, ocm.ErrInvalid)
	}
	if c.Origin == "" {
		return "", "", withHint(usage(fmt.Errorf("%s: it is in %s, from which no node can pull", where, at.Repository)),
			"carry the component version into a registry that the cluster reaches, and install from there: ocm transfer cv "+reference(at)+" REGISTRY -r --copy-resources")
	}
	if d := res.Digest; d != nil && d.NormalisationAlgorithm == ocm.OCIArtifactDigest && d.HashAlgorithm == ocm.SHA256 && d.Value != c.Root.Digest.Encoded() {
		return "", "", fmt.Errorf("%s: expected the manifest sha256:%s, found %s: %w", where, d.Value, c.Root.Digest, ocm.ErrDigest)
	}
	if _, err := blob.ReadAll(ctx, c.From, c.Root, blob.MaxManifest); err != nil {
		return "", "", fmt.Errorf("%s: %w", where, err)
	}
	origin := c.Origin
	if _, rest, ok := strings.Cut(origin, "://"); ok {
		origin = rest // nodes know by their own configuration which registry speaks plain HTTP
	}
	return origin + "@" + c.Root.Digest.String(), version, nil
}
