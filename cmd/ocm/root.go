// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"
)

const rootLong = `ocm packs, signs, transports and verifies software as component versions of the
Open Component Model.

A component version has a name and a version, and lists everything that is delivered:
images, charts, files, and references to other component versions. It is kept in an OCI
registry, or in an archive (a folder, .tar or .tgz) that can be carried through an air
gap. One signature covers all that is delivered, wherever it is stored.

A reference says where a component version is:

  [type::]repository//component[:version][@sha256:digest]

  ghcr.io/acme//acme.org/app:1.0.0     in a registry; http://host:5000 for plain HTTP
  ./archive//acme.org/app:1.0.0        in a folder; also archive.tar, archive.tgz
  ctf::my.path//acme.org/app           type told, where the name looks like a domain
  ctf::-                               an archive that goes through a pipe
  ca::./old//acme.org/app:1.0.0        an archive of one version, which is only read
  memory::NAME                         a repository that is gone with the program
  //acme.org/app:1.0.0                 where the configured resolvers say`

const rootExample = `  # Pack what component-constructor.yaml describes into a folder, and sign it.
  ocm create rsakeypair
  ocm add cv --repository ./archive
  ocm sign cv ./archive//acme.org/app:1.0.0 --private-key rsa.priv

  # Carry it to a registry, with all it needs, and verify it there.
  ocm transfer cv ./archive//acme.org/app:1.0.0 ghcr.io/acme --recursive --copy-resources
  ocm verify cv ghcr.io/acme//acme.org/app:1.0.0 --public-key rsa.pub`

// newRoot is the command tree; adding a command is one line in it.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:     "ocm",
		Short:   "Pack, sign, transport and verify software as component versions",
		Long:    rootLong,
		Example: rootExample,
		Args:    cobra.ArbitraryArgs,
		RunE:    group,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return a.global.check()
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	a.global.AddFlags(root.PersistentFlags())
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(a.flagError)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { printHelp(a.out, cmd) })
	root.SetHelpCommand(newHelp())
	root.CompletionOptions.DisableDescriptions = false
	root.AddCommand(
		newGroup("add", "Pack component versions", newAddCV(a)),
		newGroup("auth", "Look at credentials", newAuthExplain(a)),
		newGroup("check", "Find out whether component versions are complete", newCheckCV(a)),
		newGroup("clean", "Make room in archives", newCleanArchive(a)),
		newGroup("controller", "Bring the Kubernetes controllers into a cluster", newControllerInstall(a)),
		newGroup("create", "Make keys for signing", newCreateKeyPair(a), newCreateRSAKeyPair(a)),
		newGroup("describe", "Show what component versions consist of, and what types there are", newDescribeCV(a), newTypes(a)),
		newGroup("download", "Fetch the content of resources, and plugins", newDownloadResource(a), newDownloadPlugin(a)),
		newGroup("get", "List component versions and their elements", getCommands(a)...),
		newGroup("hash", "Compute digests of component versions", newHashCV(a)),
		newGroup("list", "List names and versions only", newListCV(a)),
		newLogin(a),
		newLogout(a),
		newGroup("plugin", "Install and look at plugins", pluginCommands(a)...),
		newServe(a),
		newGroup("sign", "Sign component versions", newSignCV(a), newSignHash(a)),
		newGroup("transfer", "Copy component versions", newTransferCV(a)),
		newGroup("verify", "Verify component versions", newVerifyCV(a)),
		newVersion(a),
	)
	completeAll(a, root)
	return root
}

// newGroup is a verb: the first word of a command line, with its objects.
func newGroup(verb, short string, objects ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: verb, Short: short, Args: cobra.ArbitraryArgs, RunE: group}
	cmd.AddCommand(objects...)
	return cmd
}

// getCommands are the objects that can be listed.
func getCommands(a *app) []*cobra.Command {
	list := []*cobra.Command{newGetCV(a), newGetConfig(a), newTypes(a)}
	for _, k := range elementKinds {
		list = append(list, newGetElements(a, k))
	}
	return list
}

// newHelp is "ocm help get cv", the same as "ocm get cv --help".
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:    "help [command]",
		Short:  "Help about a command",
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := cmd.Root().Find(args)
			if err != nil {
				return usage(err)
			}
			if len(rest) > 0 {
				return unknownCommand(target, rest[0])
			}
			return target.Help()
		},
	}
}

// componentVersion is the object of most verbs, with the spellings of other OCM tools.
func componentVersion(cmd *cobra.Command) *cobra.Command {
	cmd.Aliases = []string{"cv", "cvs", "component-versions", "componentversion", "componentversions",
		"component", "components", "comp", "comps", "c"}
	return cmd
}
