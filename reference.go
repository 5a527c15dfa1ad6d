// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
)

// Canonical type names of the repositories that a reference can name.
const (
	OCIRepositoryType    = "OCIRepository/v1"
	CTFType              = "CommonTransportFormat/v1"
	ComponentArchiveType = "ComponentArchive/v1" // one version, in an older format that is only read
	MemoryType           = "Memory/v1"           // gone with the program
)

// MaxReferenceLength is the longest reference, in bytes, that is accepted.
const MaxReferenceLength = 4096

// DescriptorPrefix is the repository below which registries hold component versions. In
// a reference it may stand between repository and component in place of "//".
const DescriptorPrefix = "component-descriptors"

const (
	maxComponentName = 255
	exampleReference = "for example ghcr.io/acme//acme.org/app:1.0.0 or ./archive//acme.org/app:1.0.0"
	// repositoryTypes are the types for messages.
	repositoryTypes = "oci or OCIRepository/v1, ctf or CommonTransportFormat/v1, ca or ComponentArchive/v1, memory or Memory/v1"
)

// Coordinates say where a component, or one version of it, is:
//
//	[type::]repository//component[:version][@sha256:digest]
//
// for example ghcr.io/acme//acme.org/app:1.0.0 or ctf::./archive.tgz//acme.org/app.
//
// Without a repository, as in //acme.org/app:1.0.0, they leave it to a configuration to say where components are.
type Coordinates struct {
	Type       string        // a canonical type name, or that of a plugin; empty: no repository was named
	Repository string        // registry with path, file path, or name; empty: not said
	Component  string        // component name
	Version    string        // empty: not said
	Digest     digest.Digest // digest of the version's manifest; empty: not said
}

// String is the reference that [ParseCoordinates] reads as c, as people write it: the type is
// left out where it is what would be guessed.
func (c Coordinates) String() string {
	s := "//" + c.Component
	if c.Repository != "" {
		s = shortType(c.Type, c.Repository) + c.Repository + s
	}
	if c.Version != "" {
		s += ":" + c.Version
	}
	if c.Digest != "" {
		s += "@" + c.Digest.String()
	}
	return s
}

// shortType is "type::" with a short name of the type, if it must be told.
func shortType(typ, location string) string {
	if told, rest := splitType(location); told == "" && rest == location && guessType(location) == canonicalType(typ) {
		return ""
	}
	switch canonicalType(typ) {
	case OCIRepositoryType:
		return "oci::"
	case CTFType:
		return "ctf::"
	case ComponentArchiveType:
		return "ca::"
	case MemoryType:
		return "memory::"
	}
	return typ + "::"
}

// Spec is the specification of the repository that c lies in; [ErrInvalid] if it names none.
func (c Coordinates) Spec() (Spec, error) {
	if c.Repository == "" {
		return Spec{}, fmt.Errorf("reference %s: it names no repository: %w", c, ErrInvalid)
	}
	return RepositorySpec(c.Type, c.Repository)
}

// ParseCoordinates reads a reference to a component or a component version. Repository
// and component are separated by "//" or by "/component-descriptors/"; the last of them
// counts. A missing type is guessed as [ParseRepository] does. The repository may be missing, as in
// //acme.org/app; with a version or digest the slashes may be, too: acme.org/app:1.0.0. (Without, that
// would be a registry and a path.) Errors are [ErrInvalid], or [ErrUnknownType] for the type.
func ParseCoordinates(s string) (Coordinates, error) {
	c, err := parseCoordinates(s)
	if err != nil {
		return Coordinates{}, fmt.Errorf("reference %.200q: %w", withoutSecret(s), err)
	}
	return c, nil
}

func parseCoordinates(s string) (Coordinates, error) {
	var c Coordinates
	if err := checkText(s); err != nil {
		return c, err
	}
	typ, rest := splitType(s)
	repository, element, ok := cutComponent(rest)
	switch {
	case !ok && typ == "" && bareVersion().MatchString(s):
		element = s
	case !ok:
		return c, fmt.Errorf("no component: expected // between repository and component, %s: %w", exampleReference, ErrInvalid)
	case repository == "" && (typ != "" || !strings.HasPrefix(s, "//")):
		return c, fmt.Errorf("no repository before the component, %s: %w", exampleReference, ErrInvalid)
	case repository != "":
		var err error
		if c.Type, c.Repository, err = checkedRepository(typ, repository); err != nil {
			return c, err
		}
	}
	name, pin, pinned := strings.Cut(element, "@")
	if pinned {
		c.Digest = digest.Digest(pin)
		if err := checkPin(pin); err != nil {
			return c, err
		}
	}
	name, version, versioned := strings.Cut(name, ":")
	if versioned && !relaxedVersion().MatchString(version) {
		return c, fmt.Errorf("version %q: expected a semantic version such as 1.0.0, v1.2 or 1.0.0-rc.1+build.5: %w", version, ErrInvalid)
	}
	if len(name) > maxComponentName || !componentName().MatchString(name) {
		return c, fmt.Errorf("component %q: expected a name that begins with a domain, such as acme.org/app, %s: %w", name, exampleReference, ErrInvalid)
	}
	c.Component, c.Version = name, version
	return c, nil
}

// ParseRepository reads "[type::]location" and returns the canonical type name and the
// location. Without a type it is guessed from the location, first match wins:
//
//   - a path of Windows (C:\x), an absolute path or one that begins with ./ or ../ and
//     a file: URL is an archive (CTF);
//   - any other URL, what contains a colon, and localhost is a registry (OCI);
//   - what ends with .tar, .tgz, .tar.gz or .tar.zst is an archive;
//   - what contains a dot and a letter looks like a domain and is a registry;
//   - the rest is an archive.
//
// What is guessed to be a CTF may turn out to be a component archive when it is opened. A format after
// the type, as in ctf+tgz::app.tgz, is accepted if the name of the archive says the same.
//
// In place of the location may stand the specification as JSON: OCIRegistry::{"baseUrl":"ghcr.io","subPath":"acme"}.
//
// Any other type is one of a plugin, WebDAV::https://host/path, which is looked for when the repository is opened: its location is
// whatever the plugin says, but a URL must not carry user, query or fragment, and JSON stays as it is.
//
// A leading "+", with which an older tool asked to create the repository, is ignored:
// writing creates what is missing. Errors are [ErrInvalid], or [ErrUnknownType] for what can be no type.
func ParseRepository(s string) (typ, location string, err error) {
	if err = checkText(s); err == nil {
		typ, location = splitType(s)
		typ, location, err = checkedRepository(typ, location)
	}
	if err != nil {
		return "", "", fmt.Errorf("repository %.200q: %w", withoutSecret(s), err)
	}
	return typ, location, nil
}

// RepositorySpec makes the specification of a repository from what [ParseRepository]
// returned. The location of an OCI repository is [scheme://]host[:port][/path]; it must
// not carry credentials. That of a type which is not known here becomes the member "location", or, as JSON,
// the specification itself. Errors are [ErrInvalid], or [ErrUnknownType] for what can be no type.
func RepositorySpec(typ, location string) (Spec, error) {
	switch canonical := canonicalType(typ); canonical {
	case CTFType, ComponentArchiveType:
		return NewSpec(struct {
			Type     string `json:"type"`
			FilePath string `json:"filePath"`
		}{canonical, location})
	case MemoryType:
		return NewSpec(struct {
			Type string `json:"type"`
			Name string `json:"name"`
		}{canonical, location})
	case OCIRepositoryType:
		base, sub, err := splitRegistry(location)
		if err != nil {
			return Spec{}, err
		}
		return NewSpec(struct {
			Type    string `json:"type"`
			BaseURL string `json:"baseUrl"`
			SubPath string `json:"subPath,omitempty"`
		}{OCIRepositoryType, base, sub})
	}
	return foreignSpec(typ, location)
}

// foreignSpec is the specification of a repository whose type is not known here.
func foreignSpec(typ, location string) (Spec, error) {
	base, _, _ := strings.Cut(typ, "+")
	if !typeName().MatchString(typ) || canonicalType(base) != "" { // such as ctf+zip
		return Spec{}, unknownRepositoryType(typ)
	}
	if strings.HasPrefix(location, "{") {
		var spec struct {
			Type string  `json:"type"`
			Rest RawJSON `json:",embed"`
		}
		if err := jsonv2.Unmarshal([]byte(location), &spec); err != nil || spec.Type != "" && spec.Type != typ {
			return Spec{}, fmt.Errorf("repository as JSON: expected an object, without type or of type %s: %w", typ, ErrInvalid)
		}
		spec.Type = typ
		return NewSpec(spec)
	}
	if location == "" || strings.HasSuffix(location, ":") { // which would read as a URL's scheme before "//"
		return Spec{}, fmt.Errorf("repository of type %s: expected %[1]s::location, which must not end with a colon: %w", typ, ErrInvalid)
	}
	if _, rest, isURL := strings.Cut(location, "://"); isURL && strings.ContainsAny(rest, "@?#") {
		return Spec{}, fmt.Errorf("repository of type %s: expected a URL without user, query or fragment; credentials belong into the configuration: %w", typ, ErrInvalid)
	}
	return NewSpec(struct {
		Type     string `json:"type"`
		Location string `json:"location"`
	}{typ, location})
}

// checkedRepository completes a type and checks that a specification can be made of it.
func checkedRepository(typ, location string) (string, string, error) {
	if strings.HasPrefix(location, "{") {
		var err error
		if typ, location, err = fromJSON(typ, location); err != nil {
			return "", "", err
		}
	}
	if base, ok := withFormat(typ, location); ok {
		typ = base
	}
	if typ == "" {
		typ = guessType(location)
	}
	if canonical := canonicalType(typ); canonical != "" {
		typ = canonical
	}
	var err error
	switch typ {
	case CTFType, ComponentArchiveType:
		location, err = archivePath(location)
	case MemoryType:
		if !memoryName().MatchString(location) {
			err = fmt.Errorf("memory %q: expected a name of letters and digits: %w", location, ErrInvalid)
		}
	}
	if err != nil {
		return "", "", err
	}
	if _, err := RepositorySpec(typ, location); err != nil {
		return "", "", err
	}
	if typ == OCIRepositoryType {
		location = strings.TrimRight(location, "/")
	}
	return typ, location, nil
}

// checkText refuses what no reference contains and what would confuse a terminal.
func checkText(s string) error {
	if len(s) > MaxReferenceLength {
		return fmt.Errorf("%d bytes, accepted are %d: %w", len(s), MaxReferenceLength, ErrLimit)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("contains control characters or is not UTF-8: %w", ErrInvalid)
	}
	return nil
}

// splitType cuts "type::" off. An IPv6 address such as [::1] contains "::" too, but what
// stands before it is no type name.
func splitType(s string) (typ, rest string) {
	s = strings.TrimPrefix(s, "+")
	typ, rest, ok := strings.Cut(s, "::")
	if !ok || !typeName().MatchString(typ) {
		typ, rest = "", s
	}
	if isWindowsPath(rest) {
		rest = strings.ReplaceAll(rest, `\`, "/")
	}
	return typ, rest
}

// withoutSecret hides a user and password that somebody wrote before the host.
func withoutSecret(s string) string {
	at := strings.LastIndex(s, "@")
	if at >= 0 && strings.HasPrefix(s[at:], "@sha") && !strings.Contains(s[at:], "/") { // a digest, not a host
		at = strings.LastIndex(s[:at], "@")
	}
	if at < 0 {
		return s
	}
	start := strings.Index(s[:at], "://")
	if start < 0 {
		return "…" + s[at:]
	}
	return s[:start+3] + "…" + s[at:]
}

// cutComponent splits at the last separator. The "//" of a URL's scheme is none.
func cutComponent(s string) (repository, element string, ok bool) {
	const prefix = "/" + DescriptorPrefix + "/"
	slashes, long := strings.LastIndex(s, "//"), strings.LastIndex(s, prefix)
	switch {
	case long > slashes:
		return s[:long], s[long+len(prefix):], true
	case slashes < 0, slashes > 0 && s[slashes-1] == ':':
		return "", "", false
	}
	return s[:slashes], s[slashes+2:], true
}

func checkPin(pin string) error {
	algorithm, hex, _ := strings.Cut(pin, ":")
	length, known := map[string]int{"sha256": 64, "sha512": 128}[algorithm]
	if !known || len(hex) != length || strings.Trim(hex, "0123456789abcdef") != "" {
		return fmt.Errorf("digest %q: expected @sha256: and 64 lower-case hexadecimal digits: %w", pin, ErrInvalid)
	}
	return nil
}

func canonicalType(typ string) string {
	switch strings.TrimSuffix(typ, "/v1") {
	case "OCIRepository", "OCI", "oci", "OCIRegistry", "ociRegistry":
		return OCIRepositoryType
	case "CommonTransportFormat", "CTF", "ctf", "commonTransportFormat":
		return CTFType
	case "ComponentArchive", "componentArchive", "ca":
		return ComponentArchiveType
	case "Memory", "memory":
		return MemoryType
	}
	return ""
}

// fromJSON reads a repository that is written as its specification, as an older tool accepts it:
// OCIRegistry::{"baseUrl":"ghcr.io","subPath":"acme"}. What has no place in a reference is refused.
func fromJSON(typ, text string) (string, string, error) {
	var whole Spec
	if err := whole.UnmarshalJSON([]byte(text)); err == nil {
		typ = cmp.Or(typ, whole.Type)
		if typ != "" && canonicalType(typ) == "" {
			return typ, text, nil // its members are the plugin's
		}
	}
	var spec struct {
		Type     string `json:"type"`
		BaseURL  string `json:"baseUrl"`
		SubPath  string `json:"subPath"`
		FilePath string `json:"filePath"`
		Name     string `json:"name"`
	}
	if err := jsonv2.Unmarshal([]byte(text), &spec, jsonv2.RejectUnknownMembers(true)); err != nil {
		return "", "", fmt.Errorf("repository as JSON: expected an object with type, baseUrl, subPath, filePath or name only: %w", ErrInvalid)
	}
	location := spec.BaseURL
	if sub := strings.Trim(spec.SubPath, "/"); sub != "" {
		location = strings.TrimRight(location, "/") + "/" + sub
	}
	switch canonical := canonicalType(typ); {
	case canonical == "":
		return "", "", unknownRepositoryType(typ)
	case canonical == OCIRepositoryType && spec.FilePath+spec.Name != "",
		canonical == MemoryType && location+spec.FilePath != "",
		canonical != OCIRepositoryType && canonical != MemoryType && location+spec.Name != "",
		spec.Type != "" && canonicalType(spec.Type) != canonical:
		return "", "", fmt.Errorf("repository as JSON: a member is not one of type %s: %w", typ, ErrInvalid)
	}
	location += spec.FilePath + spec.Name
	if isWindowsPath(location) {
		location = strings.ReplaceAll(location, `\`, "/")
	}
	return typ, location, checkText(location)
}

// withFormat cuts the format off a type such as ctf+tgz, if it is that of the archive's name.
func withFormat(typ, location string) (base string, ok bool) {
	base, format, ok := strings.Cut(typ, "+")
	named := "directory"
	switch lower := strings.ToLower(location); {
	case strings.HasSuffix(lower, ".tar.gz"), strings.HasSuffix(lower, ".tgz"):
		named = "tgz"
	case strings.HasSuffix(lower, ".tar"):
		named = "tar"
	}
	canonical := canonicalType(base)
	return base, ok && format == named && (canonical == CTFType || canonical == ComponentArchiveType)
}

func unknownRepositoryType(typ string) error {
	if base, format, ok := strings.Cut(typ, "+"); ok && canonicalType(base) == CTFType {
		return fmt.Errorf("type %q: the format %q is chosen by the name of the archive: write ctf::archive.tgz, ctf::archive.tar or ctf::directory: %w", typ, format, ErrUnknownType)
	}
	return fmt.Errorf("repository type %q: %w (known: %s)", typ, ErrUnknownType, repositoryTypes)
}

// guessType follows the rules in the comment of ParseRepository, in the order in which
// existing tools apply them.
func guessType(location string) string {
	scheme, _, isURL := strings.Cut(location, "://")
	lower := strings.ToLower(location)
	switch {
	case isWindowsPath(location):
		return CTFType
	case strings.HasPrefix(lower, "file:"):
		return CTFType
	case isURL && urlScheme().MatchString(scheme):
		return OCIRepositoryType
	case path.IsAbs(path.Clean(location)), strings.HasPrefix(location, "../"), strings.HasPrefix(location, "./"):
		return CTFType
	case strings.Contains(location, ":"), location == "localhost":
		return OCIRepositoryType
	case strings.HasSuffix(lower, ".tar.gz"), strings.HasSuffix(lower, ".tgz"), strings.HasSuffix(lower, ".tar"), strings.HasSuffix(lower, ".tar.zst"):
		return CTFType
	case strings.Contains(location, ".") && strings.ContainsFunc(location, unicode.IsLetter):
		return OCIRepositoryType
	}
	return CTFType
}

func isWindowsPath(s string) bool {
	return len(s) > 2 && s[1] == ':' && (s[2] == '\\' || s[2] == '/' && !strings.HasPrefix(s[2:], "//")) &&
		('a' <= s[0] && s[0] <= 'z' || 'A' <= s[0] && s[0] <= 'Z')
}

// archivePath is the file path of a CTF; a file: URL is accepted for one.
func archivePath(location string) (string, error) {
	if len(location) >= len("file:") && strings.EqualFold(location[:len("file:")], "file:") {
		p := location[len("file:"):]
		if host, ok := strings.CutPrefix(p, "//"); ok && !strings.HasPrefix(host, "/") {
			return "", fmt.Errorf("archive %q: a file URL must not name a host, write file:///path: %w", location, ErrInvalid)
		}
		location = p
		if strings.HasPrefix(p, "//") {
			location = "/" + strings.TrimLeft(p, "/")
		}
	}
	if location == "" || strings.HasPrefix(strings.ToLower(location), "file:") {
		return "", fmt.Errorf("archive: the path is missing: %w", ErrInvalid)
	}
	if strings.HasPrefix(location, "{") {
		return "", fmt.Errorf("archive %.80q: a path that begins with { reads as JSON, write ./%[1]s: %w", location, ErrInvalid)
	}
	// Written back before "//", a colon at the end would read as a URL's scheme.
	if strings.HasSuffix(location, ":") {
		return "", fmt.Errorf("archive %q: a path must not end with a colon: %w", location, ErrInvalid)
	}
	return location, nil
}

// splitRegistry splits [scheme://]host[:port][/path] into the base URL and the path. The
// offending text is not repeated where it could hold a password.
func splitRegistry(location string) (base, sub string, err error) {
	scheme, rest, hasScheme := strings.Cut(location, "://")
	if !hasScheme {
		scheme, rest = "", location
	} else if scheme = strings.ToLower(scheme); scheme != "http" && scheme != "https" && scheme != "oci" {
		return "", "", fmt.Errorf("registry scheme %q: expected http, https or oci: %w", scheme, ErrInvalid)
	}
	if strings.ContainsAny(rest, "@?#") {
		return "", "", fmt.Errorf("registry: expected [scheme://]host[:port][/path] without user, query or fragment; credentials belong into the configuration: %w", ErrInvalid)
	}
	host, sub, _ := strings.Cut(rest, "/")
	sub = strings.TrimRight(sub, "/")
	if err := checkHost(host); err != nil {
		return "", "", err
	}
	if sub != "" && !registryPath().MatchString(sub) {
		return "", "", fmt.Errorf("registry path %q: expected lower-case names separated by /: %w", sub, ErrInvalid)
	}
	if hasScheme {
		host = scheme + "://" + host
	}
	return host, sub, nil
}

func checkHost(hostport string) error {
	m := registryHost().FindStringSubmatch(hostport)
	if m == nil {
		return fmt.Errorf("registry host %q: expected a host name, perhaps with a port (an archive of that name is written ctf::%s): %w", hostport, hostport, ErrInvalid)
	}
	if m[1] != "" {
		if port, err := strconv.ParseUint(m[1], 10, 16); err != nil || port == 0 {
			return fmt.Errorf("registry host %q: the port must be between 1 and 65535: %w", hostport, ErrInvalid)
		}
	}
	return nil
}

// Patterns are compiled when first used: programs that parse no reference start faster.
var (
	componentName = pattern(`^[a-z][-a-z0-9]*([.][a-z][-a-z0-9]*)*[.][a-z]{2,}(/[a-z][-a-z0-9_]*([.][a-z][-a-z0-9_]*)*)+$`)
	// bareVersion is a component and a version or digest, both to be checked. The name of a component begins with a domain.
	bareVersion    = pattern(`^[a-z][-a-z0-9.]*\.[a-z]{2,}/[^:@]+(:[v0-9][^:@/]*(@sha[^/@]*)?|@sha[^/@]*)$`)
	memoryName     = pattern(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)
	relaxedVersion = pattern(`^v?(0|[1-9]\d*)(\.(0|[1-9]\d*)){0,2}` +
		`(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`)
	typeName     = pattern(`^[a-zA-Z][a-zA-Z0-9]*([.+/-][a-zA-Z0-9]+)*$`)
	urlScheme    = pattern(`^[a-zA-Z][a-zA-Z0-9+.-]*$`)
	registryHost = pattern(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9._-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?$`)
	registryPath = pattern(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
)

func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
