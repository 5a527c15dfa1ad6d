// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"fmt"

	"ocm"
	"ocm/access/git"
	"ocm/blob"
)

// Git is the files of one commit.
var Git = ocm.Method{
	Type: ocm.Type{
		Names:     gitNames,
		About:     "The files of a commit in a git repository, as a compressed archive that is the same on every machine.",
		Fields:    ocm.FieldsOf(gitSpec{}),
		Pins:      "ref to commit",
		Consumers: []string{"Git"},
		Notes: []string{
			"A ref is pinned to the commit that it points at; where commit is there, ref is not asked for.",
			"Times and owners are left out, submodules are empty folders, and attributes of git (export-ignore, line ends, LFS) are not applied.",
			"Symbolic links must stay in the repository.",
			"Credentials: consumer Git with username and password, token, or for ssh privateKey, passphrase and knownHosts; else the agent of ssh and ~/.ssh/known_hosts.",
		},
	},
	Opener: ocm.OpenerFunc(openGit),
}

// gitNames are all the versions that were ever written.
var gitNames = []string{"git", "git/v1alpha1", "git/v1", "Git", "Git/v1alpha1", "Git/v1"}

type gitSpec struct {
	Type       string      `json:"type"`
	Repository string      `json:"repository" need:"yes" about:"https://, http://, ssh:// or git:// address, or user@host:path"`
	Ref        string      `json:"ref,omitempty" about:"branch, tag or full name of a reference; default HEAD"`
	Commit     string      `json:"commit,omitempty" about:"the commit, all digits of it; wins over ref"`
	Rest       ocm.RawJSON `json:",embed"`
}

func openGit(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var g gitSpec
	if err := s.Members(&g); err != nil {
		return ocm.Content{}, err
	}
	at, err := git.ParseAddress(g.Repository)
	if err == nil && at.Local() {
		err = fmt.Errorf("a repository on this machine is nothing that a descriptor may name: %w", ocm.ErrInvalid)
	}
	if err != nil {
		return ocm.Content{}, fmt.Errorf("type %s: repository: %w", s.Type, err)
	}
	if err := git.CheckRef(g.Ref); err != nil {
		return ocm.Content{}, fmt.Errorf("type %s: %w", s.Type, err)
	}
	remote := git.NewRemote(env, at)
	var pinned *ocm.Spec
	if g.Commit == "" {
		// the branch will move, the component may not
		if g.Commit, err = remote.Commit(ctx, g.Ref); err != nil {
			return ocm.Content{}, err
		}
		now, err := ocm.NewSpec(g)
		if err != nil {
			return ocm.Content{}, err
		}
		pinned = &now
	}
	if err := git.CheckCommit(g.Commit); err != nil {
		return ocm.Content{}, fmt.Errorf("type %s: %w", s.Type, err)
	}
	tree := remote.Tree(g.Commit)
	c := blob.Gzip(tree, "application/x-tgz")
	c.Name, c.Pinned = tree.Name, pinned
	return c, nil
}
