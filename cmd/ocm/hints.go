// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ocm"
	"ocm/componentarchive"
	"ocm/ctf"
	shared "ocm/session"
)

// maxListed is how many versions a hint lists.
const maxListed = 5

// maxNames bounds the names of files that are looked at to tell what a folder is.
const maxNames = 1000

// archiveHint is the next step where a folder or file was given that is no archive.
const archiveHint = "name the folder or file that \"ocm add cv\" or \"ocm transfer cv\" wrote"

// findHint helps to find a component version that is not where it was looked for.
func (s *session) findHint(ctx context.Context, err error, c ocm.Coordinates) string {
	if h := guessHint(s.app.args, c); h != "" || !errors.Is(err, ocm.ErrNotFound) {
		return h
	}
	if c.Repository == "" {
		return "write // between repository and component, as in ghcr.io/acme//acme.org/app:1.0.0, or configure a resolver (docs/configuration.md)"
	}
	if c.Type == ocm.CTFType && shared.IsAbsent(c.Repository) {
		return slashHint(reference(c))
	}
	if h := folderHint(c); h != "" || c.Component == "" {
		return h
	}
	return s.versionsHint(ctx, c)
}

// folderHint tells what a folder looks like that is no archive. To find nothing in it is no error of the folder: one
// that is to become an archive may be empty.
func folderHint(c ocm.Coordinates) string {
	if c.Type != ocm.CTFType || isArchive(c.Repository) {
		return ""
	}
	dir, err := os.Open(c.Repository)
	if err != nil {
		return ""
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxNames)
	if err != nil && err != io.EOF || len(names) == 0 {
		return ""
	}
	return c.Repository + ": " + ctf.NotCTF(names) + "; " + archiveHint
}

// versionsHint tells which versions of a component there are, or which components.
func (s *session) versionsHint(ctx context.Context, c ocm.Coordinates) string {
	at := ocm.Coordinates{Type: c.Type, Repository: c.Repository, Component: c.Component}
	list := fmt.Sprintf("\"ocm get cv %s\" lists the versions that there are", reference(at))
	versions, err := s.versionsOf(ctx, at)
	switch {
	case err != nil:
		return list
	case len(versions) > maxListed:
		return list + ", the newest is " + versions[0]
	case len(versions) > 0:
		return "there is " + strings.Join(versions, ", ")
	case c.Type != ocm.OCIRepositoryType:
		at.Component = ""
		return s.contentHint(ctx, at)
	}
	return "there is no version of this component; check its name, and that of the repository"
}

// contentHint tells what is in an archive that lacks a component.
func (s *session) contentHint(ctx context.Context, at ocm.Coordinates) string {
	found, err := s.wanted(ctx, at, "", false, nil)
	if err != nil || len(found) == 0 || len(found) > maxListed {
		return fmt.Sprintf("\"ocm get cv %s\" lists the components and versions that there are", reference(at))
	}
	list := make([]string, len(found))
	for i, w := range found {
		list[i] = w.at.Component + ":" + w.ref
	}
	return "there is " + strings.Join(list, ", ")
}

// versionsOf lists the versions of a component, newest first.
func (s *session) versionsOf(ctx context.Context, c ocm.Coordinates) ([]string, error) {
	repo, err := s.openSource(ctx, c.Type, c.Repository)
	if err != nil {
		return nil, err
	}
	var all []string
	for v, err := range repo.Versions(ctx, c.Component) {
		if errors.Is(err, ocm.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return selectVersions(all, "", false)
}

// slashHint helps where a slash is missing between archive and component: the longest
// beginning that is an archive is taken for it.
func slashHint(s string) string {
	for i := len(s) - 1; i > 0; i-- {
		if s[i] != '/' || s[i-1] == '/' {
			continue
		}
		corrected := s[:i] + "//" + s[i+1:]
		if c, err := ocm.ParseCoordinates(corrected); err == nil && c.Type == ocm.CTFType && isArchive(c.Repository) {
			return fmt.Sprintf("did you mean %s?", reference(c))
		}
	}
	return ""
}

// wholeHint helps where an archive alone was named, and something in it is needed.
func wholeHint(s string) string {
	if typ, location, err := ocm.ParseRepository(s); err == nil && typ == ocm.CTFType && isArchive(location) {
		return fmt.Sprintf("\"ocm get cv %s\" lists the component versions in it", s)
	}
	return ""
}

// isArchive reports whether an archive seems to be at a path.
func isArchive(path string) bool {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		if componentarchive.Found(path) {
			return true
		}
		_, err = os.Stat(filepath.Join(path, "artifact-index.json"))
	}
	return err == nil
}

// guessHint helps where an archive was taken for a registry because its name looks like
// a domain.
func guessHint(args []string, c ocm.Coordinates) string {
	if c.Type != ocm.OCIRepositoryType {
		return ""
	}
	typed := func(arg string) bool { return arg == c.Repository || strings.HasPrefix(arg, c.Repository+"//") } // no type was given
	if _, err := os.Lstat(c.Repository); err == nil && slices.ContainsFunc(args, typed) {
		return fmt.Sprintf("%s was taken for a registry; for the file or folder of that name write ./%[1]s", c.Repository)
	}
	return ""
}
