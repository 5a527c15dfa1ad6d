// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"ocm"
	"ocm/credentials"
)

const logoutLong = `Remove what "ocm login" or "docker login" keeps for a registry: from Docker's configuration
and from the credential helper that is named there. Credentials in .ocmconfig stay.`

func newLogout(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "logout <host[:port]> [flags]",
		Short:   "Remove credentials for a registry",
		Long:    logoutLong,
		Example: "  ocm logout ghcr.io",
		Args:    arguments("<host[:port]>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLogout(cmd.Context(), a, args[0])
		},
	}
}

func runLogout(ctx context.Context, a *app, host string) error {
	server, err := registryHost(host)
	if err != nil {
		return err
	}
	where, err := credentials.Logout(ctx, credentials.DockerFile(credentials.Options{Getenv: a.getenv}), server)
	if errors.Is(err, ocm.ErrNotFound) {
		return withHint(err, "\"ocm auth explain "+server+"\" tells where credentials come from")
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "logged out of %s, removed from %s\n", server, clean(where, false))
	return err
}
