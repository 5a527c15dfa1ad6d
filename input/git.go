// SPDX-License-Identifier: Apache-2.0

package input

import (
	"context"
	"fmt"
	"os"
	"strings"

	"ocm"
	"ocm/access"
	"ocm/access/git"
	"ocm/blob"
)

// Git is the access of this name, and besides what is committed in a repository on this machine, which a
// descriptor could not name.
var Git = ocm.Method{Type: gitType(), Opener: ocm.OpenerFunc(openGit)}

func gitType() ocm.Type {
	t := access.Git.Type
	t.Notes = append([]string{"repository may also be a folder, or file://, below the folder of the constructor. What is not committed there is left out."}, t.Notes...)
	return t
}

func openGit(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var g struct {
		Repository string `json:"repository" need:"yes"`
		Ref        string `json:"ref"`
		Commit     string `json:"commit"`
	}
	if err := s.Members(&g); err != nil {
		return ocm.Content{}, err
	}
	if at, err := git.ParseAddress(g.Repository); err != nil || !at.Local() {
		return access.Git.Open(ctx, env, s)
	}
	boundary, name, err := place(env, s, strings.TrimPrefix(g.Repository, "file://"))
	if err != nil {
		return ocm.Content{}, fmt.Errorf("repository: %w", err)
	}
	repo := git.NewLocal(env, name, func() (*os.Root, error) { return openIn(boundary, name) })
	if g.Commit == "" {
		g.Commit, err = repo.Commit(ctx, g.Ref)
	}
	if err == nil {
		err = git.CheckCommit(g.Commit)
	}
	if err != nil {
		return ocm.Content{}, confined(err, s, boundary)
	}
	tree := repo.Tree(g.Commit)
	c := blob.Gzip(tree, "application/x-tgz")
	c.Name = tree.Name
	return c, nil
}

// openIn opens a folder below another, which links do not leave.
func openIn(boundary, name string) (*os.Root, error) {
	root, err := os.OpenRoot(boundary)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	dir, err := root.OpenRoot(name)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("folder %s: %w", name, ocm.ErrNotFound)
	}
	return dir, err
}
