// SPDX-License-Identifier: Apache-2.0

// Command helpercredentials is a plugin of ocm: a credential source that asks a helper of git. What git, a desktop or a company's tool knows of
// servers is then good for registries, too. In a configuration:
//
//	type: credentials.config.ocm.software
//	repositories:
//	- repository: {type: GitCredential/v1}
//
// Without further words "git credential fill" is asked, and so the helpers that git is configured with. The variable OCM_GIT_CREDENTIAL_HELPER
// names another program with its arguments, separated by blanks, such as "git-credential-libsecret get"; it is seen only if the configuration
// grants it to this plugin. That a program is run is decided by the environment, never by a specification.
package main

import (
	"os"
	"strings"

	"ocm"
	"ocm/plugin"
)

// helperVariable has the helper's name and arguments.
const helperVariable = "OCM_GIT_CREDENTIAL_HELPER"

func main() {
	plugin.Main(plugin.About{Name: "helpercredentials", Version: "1.0.0", About: "Asks helpers of git for credentials."}, kit(command(os.Getenv)))
}

// command is what is run.
func command(getenv func(string) string) []string {
	if words := strings.Fields(getenv(helperVariable)); len(words) > 0 {
		return words
	}
	return []string{"git", "credential", "fill"}
}

func kit(command []string) *ocm.Kit {
	k := ocm.NewKit()
	k.Secrets.Register(source{command}, ocm.Type{
		Names:  ocm.Versioned("v1", "GitCredential"),
		About:  "What a credential helper of git knows of a server: its username and password.",
		Fields: ocm.FieldsOf(members{}),
		Notes:  []string{"Helpers are asked by protocol, host and port, never by a path."},
	})
	return k
}
