// SPDX-License-Identifier: Apache-2.0

package config

import (
	"reflect"
	"strings"

	"ocm"
)

// Types describes the types of entries.
func Types() []ocm.Type {
	return []ocm.Type{
		{Names: []string{GenericType + "/v1", GenericType}, About: "A container of entries, as a configuration file is one.",
			Fields: ocm.FieldsOf(genericFields{}), Notes: []string{"The entries of a container count before those of the containers in it."}},
		entryType(CredentialsType, "/v1", "Secrets, by the consumer that they are for, and repositories of secrets.", ocm.FieldsOf(credentialsFields{}),
			"The most specific identity wins; of equal ones the first. A file without any such entry has the file of Docker consulted."),
		entryType(ResolversType, "/v1alpha1", "Repositories of component versions, by patterns of component names: the first one that fits is asked, and no other.", ocm.FieldsOf(resolverFields{}),
			"In patterns a * stays within one element of a name, and ** does not."),
		entryType(LegacyType, "/v1", "Repositories of component versions, by the beginning of component names: one is asked after the other. The older form of resolvers; both cannot be mixed.", ocm.FieldsOf(olderResolverFields{})),
		entryType(SigningType, "/v1alpha1", "How signatures are made and verified.", ocm.FieldsOf(signingFields{})),
		entryType(HTTPType, "/v1alpha1", "How servers are talked to. Later entries win field by field.", httpType(),
			"Times are written as 30s or 1m30s; 0 is no limit."),
		entryType(FilesystemType, "/v1alpha1", "Folders.", ocm.FieldsOf(filesystemFields{}), "The flags --temp-folder and --working-directory win."),
		entryType(TransferType, "/v1alpha1", "Defaults of transfers.", ocm.FieldsOf(transferFields{}), "Flags win."),
		{Names: []string{PluginType}, About: "Where plugins are, and what they are granted.", Fields: ocm.FieldsOf(pluginFields{}),
			Notes: []string{"The flag --plugin-directory wins over the locations."}},
		entryType(PluginRegistryType, "/v1alpha1", "Where plugins are looked up by their names.", ocm.FieldsOf(pluginRegistryFields{}), "The flag --registry wins."),
		entryType(KeysType, "/v1", "Keys by the name of the signature, as the older tool has them.", ocm.FieldsOf(keysFields{}),
			"A key is {path: …}, {data: base64} or {stringdata: …}."),
	}
}

func entryType(name, version, about string, fields []ocm.Field, notes ...string) ocm.Type {
	return ocm.Type{Names: []string{name + version, name}, About: about, Fields: fields, Notes: notes}
}

// The members of entries for people. A test asks the accessors of [Config] whether they read each of them.
type genericFields struct {
	Configurations []ocm.Spec `json:"configurations" need:"yes" about:"the entries"`
}

type credentialsFields struct {
	Consumers []struct {
		Identity    ocm.Identity   `json:"identity" about:"the consumer: type, and attributes such as hostname, port, path or signature"`
		Identities  []ocm.Identity `json:"identities" about:"several consumers"`
		Credentials []ocm.Spec     `json:"credentials" about:"the secrets, each of a type of credentials"`
	} `json:"consumers" about:"secrets that stand here"`
	Repositories []struct {
		Repository ocm.Spec `json:"repository" need:"yes" about:"a repository of secrets"`
	} `json:"repositories" about:"where secrets are looked up that do not stand here, in this order"`
}

type resolverFields struct {
	Resolvers []struct {
		Repository ocm.Spec `json:"repository" need:"yes" about:"a repository of component versions"`
		Pattern    string   `json:"componentNamePattern" about:"components that are there; default: all"`
		Constraint string   `json:"versionConstraint" about:"versions that are there, such as >=1.0.0 <2.0.0; default: all"`
	} `json:"resolvers" about:"in the order in which they count"`
}

type olderResolverFields struct {
	Resolvers []struct {
		Repository ocm.Spec `json:"repository" need:"yes" about:"a repository of component versions"`
		Prefix     string   `json:"prefix" about:"beginning of the names of components that are there; default: all"`
		Priority   int      `json:"priority" about:"higher ones are asked first; default 10"`
	} `json:"resolvers" about:"in the order of their priority"`
}

type signingFields struct {
	Signature string   `json:"signature" about:"name of the signatures that it is for; default: all"`
	Signer    ocm.Spec `json:"signer" about:"configuration of the signer"`
	Verifier  ocm.Spec `json:"verifier" about:"configuration of the verifier"`
}

type filesystemFields struct {
	Temp    string `json:"tempFolder" about:"folder for temporary files"`
	Working string `json:"workingDirectory" about:"base of relative paths in constructor files"`
}

type transferFields struct {
	Recursive int    `json:"recursive" about:"-1: with all that is referenced; default 0"`
	Copy      string `json:"copyMode" about:"localBlob (default), or allResources: also what is only referred to"`
	Upload    string `json:"uploadType" about:"localBlob (default), or ociArtifact: OCI artifacts become repositories of their own"`
	Rules     []struct {
		Match       TransferMatch `json:"match" about:"which resources of those that are copied it is for; default: all"`
		Transformer ocm.Spec      `json:"transformer" about:"makes other content of theirs; only for resources without a digest, or if the digest stays the same"`
		Uploader    ocm.Spec      `json:"uploader" about:"stores their content elsewhere than beside the descriptor"`
	} `json:"rules" about:"what becomes of resources that are copied; the first one that matches counts"`
}

type pluginFields struct {
	Locations []string             `json:"locations" about:"folders, where ~ and $VARIABLE have their meaning; those of all entries count; default $HOME/.config/ocm/plugins"`
	Idle      string               `json:"idleTimeout" about:"how long an idle plugin lives; default 1h, the longest counts"`
	Plugins   map[string]onePlugin `json:"plugins" about:"what single plugins are granted, by the name of the file; later entries win member by member"`
}

type onePlugin struct {
	Environment []string `json:"environment" about:"names of variables that it sees, beside PATH, HOME, USER, LOGNAME, LANG, LC_*, TZ, TMPDIR, SSL_CERT_FILE and SSL_CERT_DIR"`
	Digest      string   `json:"digest" about:"digest that the file must have, such as sha256:…; default: any"`
	Memory      string   `json:"memory" about:"most memory of each of its processes, such as 512Mi; default 2Gi"`
	OpenFiles   int      `json:"openFiles" about:"most open files; default 1024"`
	Timeout     string   `json:"timeout" about:"longest time of a call without progress; default 5m"`
}

type pluginRegistryFields struct {
	Registries []string `json:"registries" about:"component versions that reference plugins, such as ghcr.io/acme//acme.org/plugins; without a version the newest counts; those of all entries count"`
}

type keysFields struct {
	Public  map[string]keyFields `json:"publicKeys" about:"keys to verify with"`
	Private map[string]keyFields `json:"privateKeys" about:"keys to sign with"`
	Roots   []keyFields          `json:"rootCertificates" about:"trust anchors of all signatures"`
	Issuers ocm.RawJSON          `json:"issuers" about:"by the name of the signature, the distinguished name that a certificate must have: text, or its parts"`
}

type keyFields struct {
	Path       string `json:"path" about:"file that holds it"`
	Data       string `json:"data" about:"its text in base64"`
	StringData string `json:"stringdata" about:"its text"`
}

// aboutHTTP tells what the members of [httpFields] are for.
var aboutHTTP = map[string]string{
	"timeout":               "longest time without progress; default 30s",
	"tcpDialTimeout":        "longest time to connect",
	"tcpKeepAlive":          "time between signs of life; negative: none",
	"tlsHandshakeTimeout":   "longest time until a connection is encrypted",
	"responseHeaderTimeout": "longest time until an answer begins",
	"idleConnTimeout":       "how long an unused connection is kept",
	"insecureSkipVerify":    "do not verify certificates",
	"retry":                 "how often what failed is tried again: maxRetries (default 5; 0: without end, -1: not), minWait (200ms) and maxWait (3s) between",
	"caFiles":               "PEM files with authorities, beside those of the system",
	"certificateFile":       "PEM file with the client certificate for servers that ask for one",
	"keyFile":               "PEM file with its key",
	"proxy":                 "address of a proxy, or none; default: by the environment",
}

// httpType lists the members of [httpFields], and hosts.
func httpType() []ocm.Field {
	var fields []ocm.Field
	for _, f := range reflect.VisibleFields(reflect.TypeFor[httpFields]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		about := aboutHTTP[name]
		if name == "" {
			continue
		}
		kind := "text"
		switch f.Type {
		case reflect.TypeFor[*bool]():
			kind = "bool"
		case reflect.TypeFor[[]string]():
			kind = "list of text"
		default:
			if f.Type.Kind() == reflect.Struct {
				kind = "object"
			}
		}
		fields = append(fields, ocm.Field{Name: name, Kind: kind, About: about})
	}
	return append(fields, ocm.Field{Name: "hosts", Kind: "map of object", About: "the same for single hosts, by host or host:port", Fields: fields})
}
