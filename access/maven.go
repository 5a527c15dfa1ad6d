// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"ocm"
	"ocm/blob"
)

const maxMavenFiles = 1000 // of one version

var (
	mavenGroup    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`) })
	mavenName     = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+~-]{0,199}$`) }) // never "..", never a slash
	mavenSnapshot = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(.+)-[0-9]{8}\.[0-9]{6}-[0-9]+$`) })
)

// mavenConsumer is the type of consumers of credentials.
const mavenConsumer = "MavenRepository"

// mavenChecks are what lies beside files and is none.
var mavenChecks = []string{".sha512", ".sha256", ".sha1", ".md5", ".asc"}

// Maven is a file, or all files, of a version in a Maven repository.
var Maven = ocm.Method{
	Type: ocm.Type{
		Names:     ocm.Versioned("v1", "maven", "Maven"),
		About:     "A file in a Maven repository, or all files of a version as an archive.",
		Fields:    ocm.FieldsOf(mavenSpec{}),
		Pins:      "to the version",
		Consumers: []string{"MavenRepository"},
		Notes:     MavenNotes,
	},
	Opener: ocm.OpenerFunc(openMaven),
}

// MavenNotes are about files in a Maven repository, wherever it is.
var MavenNotes = []string{
	"With classifier and extension it is that one file, as it is; the file without a classifier has the classifier \"\". With one of them or none it is a tar archive, compressed with gzip, of all files of the version that have it, without checksums and signatures, in the order of their names.",
	"The names of files come from the listing of the folder. Where a server has none they are the usual ones: .pom, .jar, -sources.jar and -javadoc.jar, as far as they are there.",
	"Each file is compared with the first of .sha256, .sha512 and .sha1 that lies beside it.",
	"A SNAPSHOT is pinned to the build that it leads to, as version-timestamp-number.",
	"Credentials are those of a consumer of type MavenRepository (username and password, or token).",
}

type mavenSpec struct {
	Type    string `json:"type"`
	RepoURL string `json:"repoUrl" need:"yes" about:"address of the repository, https://host[:port][/path]"`
	GAV
	Rest ocm.RawJSON `json:",embed"`
}

// GAV are the coordinates of files in a Maven repository.
type GAV struct {
	GroupID    string  `json:"groupId" need:"yes" about:"group, such as org.acme"`
	ArtifactID string  `json:"artifactId" need:"yes" about:"name in the group"`
	Version    string  `json:"version" need:"yes" about:"version"`
	Classifier *string `json:"classifier,omitzero" about:"which one of a version's files, such as sources; \"\" for the main one"`
	Extension  *string `json:"extension,omitzero" about:"extension of the file, such as jar or tar.gz"`
}

func openMaven(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var a mavenSpec
	if err := s.Members(&a); err != nil {
		return ocm.Content{}, err
	}
	if strings.HasPrefix(a.RepoURL, "file:") {
		return ocm.Content{}, fmt.Errorf("type %s: repoUrl is a folder; it can be packed by an input with path in place of repoUrl: %w", s.Type, ocm.ErrInvalid)
	}
	base, err := baseURL(s, "repoUrl", a.RepoURL)
	if err != nil {
		return ocm.Content{}, err
	}
	if err := a.check(s); err != nil {
		return ocm.Content{}, err
	}
	group := &url.URL{Scheme: base.Scheme, Host: base.Host, Path: base.Path + "/" + a.GroupID} // so the older tool asks
	client, err := clientFor(ctx, env, []string{mavenConsumer}, group, base)
	if err != nil {
		return ocm.Content{}, err
	}
	c, version, err := a.GAV.open(ctx, env, mavenServer{client, base, env.Logger()})
	if err != nil || version == a.Version {
		return c, err
	}
	a.Version = version
	pinned, err := ocm.NewSpec(a)
	c.Pinned = &pinned
	return c, err
}

// MavenIn is what s, whose coordinates are g, leads to in a local repository: the folder that has a slash-separated
// name below the directory dir, which it cannot leave. Errors as of the access; [ocm.ErrNotFound] if it is not there.
func MavenIn(ctx context.Context, env *ocm.Env, dir, name string, s ocm.Spec, g GAV) (ocm.Content, error) {
	if err := g.check(s); err != nil {
		return ocm.Content{}, err
	}
	c, _, err := g.open(ctx, env, mavenFolder{dir, name})
	return c, err
}

// check names the first member that cannot be part of a path.
func (g GAV) check(s ocm.Spec) error {
	for _, f := range []struct {
		name  string
		value *string
		rule  *regexp.Regexp
	}{
		{"groupId", &g.GroupID, mavenGroup()}, {"artifactId", &g.ArtifactID, mavenName()}, {"version", &g.Version, mavenName()},
		{"classifier", g.Classifier, mavenName()}, {"extension", g.Extension, mavenName()},
	} {
		if f.value != nil && !f.rule.MatchString(*f.value) && !(f.name == "classifier" && *f.value == "") {
			return fmt.Errorf("type %s: %s %.200q: expected letters, digits and some of . _ + ~ -: %w", s.Type, f.name, *f.value, ocm.ErrInvalid)
		}
	}
	return nil
}

// open finds files. version is the one that leads there for good.
func (g GAV) open(ctx context.Context, env *ocm.Env, repo mavenRepository) (c ocm.Content, version string, err error) {
	where := fmt.Sprintf("maven %s:%s:%s", g.GroupID, g.ArtifactID, g.Version)
	folder := strings.ReplaceAll(g.GroupID, ".", "/") + "/" + g.ArtifactID + "/"
	switch build := mavenSnapshot().FindStringSubmatch(g.Version); {
	case build != nil:
		folder += build[1] + "-SNAPSHOT"
	default:
		folder += g.Version
	}
	version = g.Version
	if strings.HasSuffix(version, "-SNAPSHOT") {
		if version, err = mavenBuild(ctx, repo, folder, g); err != nil {
			return c, "", fmt.Errorf("%s: %w", where, err)
		}
	}
	prefix := g.ArtifactID + "-" + version
	if g.Classifier != nil && g.Extension != nil {
		c, err = mavenFile(ctx, env, repo, folder+"/"+prefix+suffixOf(*g.Classifier, *g.Extension))
	} else {
		c, err = g.files(ctx, env, repo, folder, prefix)
	}
	if err != nil {
		return c, "", fmt.Errorf("%s: %w", where, err)
	}
	return c, version, nil
}

func suffixOf(classifier, extension string) string {
	if classifier != "" {
		classifier = "-" + classifier
	}
	return classifier + "." + extension
}

// selects reports whether a file belongs to the coordinates, by what follows artifactId-version in its name.
func (g GAV) selects(suffix string) bool {
	rest := suffix
	if g.Extension != nil {
		var ok bool
		if rest, ok = strings.CutSuffix(suffix, "."+*g.Extension); !ok || strings.HasPrefix(rest, ".") || strings.HasSuffix(rest, ".tar") {
			return false // .tar.gz has not the extension gz
		}
	}
	switch {
	case g.Classifier == nil:
		return true
	case *g.Classifier == "":
		return strings.HasPrefix(rest, ".")
	}
	return strings.HasPrefix(rest, "-"+*g.Classifier+".")
}

// files is the archive of all files that are selected.
func (g GAV) files(ctx context.Context, env *ocm.Env, repo mavenRepository, folder, prefix string) (ocm.Content, error) {
	names, err := repo.list(ctx, folder)
	if err != nil {
		return ocm.Content{}, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		suffix, ok := strings.CutPrefix(name, prefix)
		return !ok || suffix == "" || suffix[0] != '.' && suffix[0] != '-' || !mavenName().MatchString(name) || slices.Contains(mavenChecks, path.Ext(name)) || !g.selects(suffix)
	})
	if len(names) == 0 {
		if names, err = g.usual(ctx, env, repo, folder, prefix); err != nil {
			return ocm.Content{}, err
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) > maxMavenFiles {
		return ocm.Content{}, fmt.Errorf("%s has %d files, accepted are %d: %w", folder, len(names), maxMavenFiles, ocm.ErrLimit)
	}
	c := blob.Gzip(tarOf(names, func(ctx context.Context, name string) (ocm.Content, error) {
		return mavenFile(ctx, env, repo, folder+"/"+name)
	}), mediaTypeTgz)
	c.Name = folder
	return c, nil
}

// usual looks for the files that most versions have.
func (g GAV) usual(ctx context.Context, env *ocm.Env, repo mavenRepository, folder, prefix string) (names []string, err error) {
	for _, suffix := range []string{".pom", ".jar", "-sources.jar", "-javadoc.jar"} {
		if !g.selects(suffix) {
			continue
		}
		_, err := repo.file(ctx, folder+"/"+prefix+suffix)
		if err == nil {
			names = append(names, prefix+suffix)
		} else if !errors.Is(err, ocm.ErrNotFound) {
			return nil, err
		}
	}
	if names == nil {
		return nil, fmt.Errorf("no files %s* in %s: %w", prefix, folder, ocm.ErrNotFound)
	}
	env.Logger().Warn("the Maven repository does not list its files; those with the usual names are taken", "folder", folder, "files", names)
	return names, nil
}
