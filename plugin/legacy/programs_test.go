// SPDX-License-Identifier: Apache-2.0

package legacy_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type object = map[string]any

// programs are the plugins of the tests, by the name of their file.
func programs() map[string]program {
	all := map[string]program{
		"access": accesses(), "input": inputs(), "transform": transforms(), "sign": signs(), "credrepo": credentialRepository(), "credplugin": credentialPlugin(),
		"repo": repositoryProgram(false), "told": repositoryProgram(true), "hostile": hostile(),
	}
	fixed, tcp, everything, far, flood, mute := accesses(), accesses(), accesses(), accesses(), accesses(), accesses()
	fixed.fixedSocket = true
	tcp.tcp = true
	far.line = "http://192.0.2.1:80"
	flood.ready = func(configuration) {
		for {
			if _, err := os.Stdout.WriteString(strings.Repeat("x", 1<<16)); err != nil {
				os.Exit(3)
			}
		}
	}
	mute.ready = func(configuration) { os.Stdout.Close(); time.Sleep(time.Hour) }
	for _, p := range []program{inputs(), transforms(), signs(), repositoryProgram(false), credentialRepository()} {
		everything.capabilities = append(everything.capabilities, p.capabilities...)
		maps.Copy(everything.handlers, p.handlers)
	}
	everything.capabilities = append(everything.capabilities, object{"type": "teleporter", "supportedThings": []string{"x"}},
		object{"type": "resourceRepository", "supportedAccessTypes": []any{typed("second/v1")}},
		object{"type": "digestProcessorRepository", "supportedAccessTypes": []any{typed("echo/v1")}})
	all["fixed"], all["tcp"], all["everything"], all["far"], all["flood"], all["mute"] = fixed, tcp, everything, far, flood, mute
	configured := accesses()
	configured.configTypes = []string{"custom.config/v1", "credentials.config.ocm.software", "credentials.config.ocm.software/v1",
		"memory.credentials.config.ocm.software", "keys.config.ocm.software/v1"}
	configured.ready = func(c configuration) {
		configured.handlers["POST /resource/get"] = answers(func(object, *http.Request) (any, error) {
			l, err := write(slices.Concat([]byte(`[`), c.ConfigTypes[0], []byte(`]`)))
			return object{"location": l}, err
		})
	}
	all["configured"] = configured
	all["lossy"] = lossy()
	return all
}

// accesses is a resource repository: the access echo says what the content is.
func accesses() program {
	var grown atomic.Int64
	return program{
		capabilities: []map[string]any{{"type": "resourceRepository", "supportedAccessTypes": []any{typed("echo/v1", "text"), func() any {
			t := typed("echo", "text")
			t["aliases"] = []string{"Echo"}
			return t
		}()}}},
		handlers: map[string]http.HandlerFunc{
			"POST /identity": answers(func(q object, _ *http.Request) (any, error) {
				spec, _ := q["type"].(map[string]any)
				if spec["text"] != "secret" {
					return object{"identity": nil}, nil
				}
				return object{"identity": object{"type": "Echo", "hostname": "example.org"}}, nil
			}),
			"POST /resource/get": answers(func(q struct{ Resource resourceV2 }, r *http.Request) (any, error) {
				text := q.Resource.Access["text"]
				switch text {
				case "missing":
					return nil, errors.New("echo: nothing of that name: not found")
				case "exit":
					os.Exit(1)
				case "grow":
					text = strings.Repeat("x", int(grown.Add(1)))
				case "pid":
					text = fmt.Sprint(os.Getpid())
				case "denied":
					return nil, fmt.Errorf("the password %s is wrong", password(r))
				case "secret":
					if text = password(r); text == "" {
						return nil, errors.New("no credentials")
					}
					if strings.HasPrefix(text, "wrong") {
						return nil, fmt.Errorf("the password %s is wrong", text)
					}
				}
				if q.Resource.Name == "" || q.Resource.Version == "" || q.Resource.Type == "" {
					return nil, errors.New("no resource")
				}
				l, err := write([]byte(text))
				return object{"location": l}, err
			}),
			"POST /resource/add": answers(func(q struct {
				Resource         resourceV2
				ResourceLocation map[string]string
			}, _ *http.Request) (any, error) {
				text, err := read(q.ResourceLocation)
				q.Resource.Access["text"] = string(text)
				return object{"resource": q.Resource}, err
			}),
		},
	}
}

type resourceV2 struct {
	Name          string            `json:"name"`
	Version       string            `json:"version"`
	Type          string            `json:"type"`
	Relation      string            `json:"relation"`
	ExtraIdentity map[string]string `json:"extraIdentity,omitempty"`
	Access        map[string]string `json:"access"`
}

// inputs answers with content, with a file of the constructor's folder, or with an access.
func inputs() program {
	return program{
		capabilities: []map[string]any{{"type": "inputRepository", "supportedInputTypes": []any{typed("shout/v1", "text")}}},
		handlers: map[string]http.HandlerFunc{
			"POST /resource/process": answers(func(q struct {
				Resource struct {
					Name  string
					Input map[string]string
				}
			}, _ *http.Request) (any, error) {
				text := q.Resource.Input["text"]
				switch {
				case text == "reference":
					return object{"location": nil, "resource": object{
						"name": "x", "version": "1.0.0", "type": "blob", "relation": "external", "access": object{"type": "echo/v1", "text": "by reference"},
					}}, nil
				case text == "local":
					return object{"resource": object{"name": "x", "type": "blob", "relation": "local", "access": object{"type": "localBlob/v1", "localReference": "sha256:00"}}}, nil
				case text == "nothing":
					return object{"location": nil, "resource": nil}, nil
				case text == "missing":
					return nil, errors.New("not found")
				case strings.HasPrefix(text, "/"):
					return object{"location": object{"type": "localFile", "value": text, "mediaType": "text/plain"}}, nil
				}
				l, err := write([]byte(strings.ToUpper(text)))
				return object{"location": l, "resource": nil}, err
			}),
		},
	}
}

// transforms reverses content, or leaves it as it is.
func transforms() program {
	return program{
		capabilities: []map[string]any{{"type": "blobTransformer", "supportedTransformerSpecTypes": []any{typed("reverse/v1"), typed("same/v1")}}},
		handlers: map[string]http.HandlerFunc{
			"POST /blob/transform": answers(func(q struct {
				Location      map[string]string
				Specification struct{ Type string }
			}, _ *http.Request) (any, error) {
				if q.Specification.Type == "same/v1" {
					return object{"location": q.Location}, nil
				}
				text, err := read(q.Location)
				if err != nil {
					return nil, err
				}
				slices.Reverse(text)
				l, err := write(text)
				return object{"location": l}, err
			}),
		},
	}
}

// signs makes signatures with a password, for the consumer of the signature's name.
func signs() program {
	value := func(r *http.Request, digest object) (string, error) {
		if password(r) == "" {
			return "", errors.New("no credentials")
		}
		sum := sha256.Sum256(fmt.Append(nil, password(r), digest["hashAlgorithm"], digest["normalisationAlgorithm"], digest["value"]))
		return hex.EncodeToString(sum[:]), nil
	}
	return program{
		capabilities: []map[string]any{{"type": "signingHandler", "supportedSigningSpecTypes": []any{typed("hash/v1")}}},
		handlers: map[string]http.HandlerFunc{
			"POST /sign/identity": answers(func(q object, _ *http.Request) (any, error) {
				return object{"identity": object{"type": "Hash", "signature": fmt.Sprint(q["name"])}}, nil
			}),
			"POST /verify/identity": answers(func(q struct{ Signature object }, _ *http.Request) (any, error) {
				return object{"identity": object{"type": "Hash", "signature": fmt.Sprint(q.Signature["name"])}}, nil
			}),
			"POST /sign": answers(func(q struct{ Digest object }, r *http.Request) (any, error) {
				v, err := value(r, q.Digest)
				return object{"signature": object{"algorithm": "hash", "value": v, "mediaType": "text/plain"}}, err
			}),
			"POST /verify": answers(func(q struct {
				Signature struct {
					Name      string
					Digest    object
					Signature struct{ Value string }
				}
			}, r *http.Request) (any, error) {
				if q.Signature.Name == "null" {
					return json.RawMessage("null"), nil
				}
				v, err := value(r, q.Signature.Digest)
				if err == nil && v != q.Signature.Signature.Value {
					err = errors.New("the signature does not match")
				}
				return object{}, err
			}),
		},
	}
}

// credentialRepository has a secret for every consumer, if it is opened with the right one.
func credentialRepository() program {
	return program{
		capabilities: []map[string]any{{
			"type": "credentialRepository", "supportedConsumerIdentityTypes": []any{typed("Safe/v1", "room")},
			"supportedCredentialRepositorySpecTypes": []any{typed("Safe/v1", "room"), "Vault/v9"}, "customCredentialTypes": []any{object{"type": "org.example.Key/v1"}},
		}},
		handlers: map[string]http.HandlerFunc{
			"POST /consumer-identity": answers(func(q struct{ Config object }, _ *http.Request) (any, error) {
				return object{"type": "Safe", "room": q.Config["room"]}, nil
			}),
			"POST /resolve": answers(func(q struct {
				Config   object
				Identity map[string]string
			}, r *http.Request) (any, error) {
				switch {
				case password(r) != "open sesame":
					return nil, errors.New("closed: " + password(r))
				case q.Identity["hostname"] == "nowhere":
					return nil, errors.New("not found")
				}
				return object{"type": "org.example.Key/v1", "key": fmt.Sprint(q.Config["room"], "/", q.Identity["hostname"])}, nil
			}),
		},
	}
}

// credentialPlugin makes a secret of what its specification says.
func credentialPlugin() program {
	return program{
		capabilities: []map[string]any{{"type": "credentialPlugin", "supportedCredentialPluginTypes": []any{typed("Fixed/v1", "value")}}},
		handlers: map[string]http.HandlerFunc{
			"POST /consumer-identity": answers(func(q struct{ Credential object }, _ *http.Request) (any, error) {
				if q.Credential["value"] == "none" {
					return object{}, nil
				}
				return object{"type": "Fixed", "value": q.Credential["value"]}, nil
			}),
			"POST /resolve": answers(func(q struct{ Identity map[string]string }, _ *http.Request) (any, error) {
				if q.Identity["value"] == "nonsense" {
					return object{"type": "DirectCredentials/v1", "properties": object{"password": object{"top": "secret"}}}, nil
				}
				return object{"type": "DirectCredentials/v1", "properties": object{"password": q.Identity["value"]}}, nil
			}),
		},
	}
}

// hostile answers as the text of the access demands.
func hostile() program {
	p := accesses()
	p.handlers["POST /resource/get"] = func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Resource resourceV2 }
		if json.NewDecoder(r.Body).Decode(&q) != nil {
			return
		}
		at := func(path string) {
			_ = json.NewEncoder(w).Encode(object{"location": object{"type": "localFile", "value": path, "mediaType": "text/plain"}})
		}
		own := func(name string) string { return filepath.Join(os.TempDir(), name) }
		switch what, rest, _ := strings.Cut(q.Resource.Access["text"], " "); what {
		case "at":
			at(rest)
		case "fifo":
			_ = syscall.Mkfifo(own("fifo"), 0o600)
			at(own("fifo"))
		case "link":
			_ = os.Symlink(rest, own("link"))
			at(own("link"))
		case "folder":
			at(os.TempDir())
		case "hang":
			<-r.Context().Done()
		case "flood":
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(strings.Repeat(" ", 1<<16))); err != nil {
					return
				}
			}
		case "status":
			w.WriteHeader(http.StatusAccepted)
			l, _ := write([]byte("not finished"))
			_ = json.NewEncoder(w).Encode(object{"location": l})
		case "redirect":
			http.Redirect(w, r, rest, http.StatusTemporaryRedirect)
		case "pipe":
			_ = json.NewEncoder(w).Encode(object{"location": object{"type": "unixNamedPipe", "value": "/tmp/x"}})
		case "media":
			_ = json.NewEncoder(w).Encode(object{"location": object{"type": "localFile", "value": "/tmp/x", "mediaType": rest}})
		case "escape":
			http.Error(w, "\x1b[2Jgone \u202e", http.StatusInternalServerError)
		case "nonsense":
			_, _ = w.Write([]byte(rest))
		case "nothing":
			_, _ = w.Write([]byte("{}"))
		}
	}
	return p
}

// repositoryProgram keeps component versions in a folder: beside its executable, or where the repository is that it was told. It does not
// know the repository in a question that reads.
func repositoryProgram(told bool) program {
	s := &store{dir: filepath.Join(filepath.Dir(os.Args[0]), "store")}
	p := program{
		capabilities: []map[string]any{
			{"type": "componentVersionRepository", "supportedRepositorySpecTypes": []any{typed("Folder/v1", "baseUrl")}},
			{"type": "componentLister", "supportedRepositorySpecTypes": []any{typed("Folder/v1", "baseUrl")}},
		},
		handlers: map[string]http.HandlerFunc{
			"POST /identity": answers(func(object, *http.Request) (any, error) {
				return object{"identity": object{"type": "Folder"}}, nil // the specification is not looked at
			}),
			"GET /component-version/download": loggedIn(answers(s.download)),
			"GET /component-versions":         loggedIn(answers(s.versions)),
			"POST /component-version/upload":  loggedIn(answers(s.upload)),
			"GET /local-resource/download":    loggedIn(answers(s.localDownload)),
			"POST /local-resource/upload":     loggedIn(answers(s.localUpload)),
			"GET /local-source/download":      loggedIn(answers(s.localDownload)),
			"POST /local-source/upload":       loggedIn(answers(s.localUpload)),
			"POST /components/list":           loggedIn(answers(s.list)),
		},
	}
	if told {
		p.handlers["POST /component-version/check-health"] = loggedIn(answers(func(q struct{ Repository object }, _ *http.Request) (any, error) {
			s.dir = fmt.Sprint(q.Repository["baseUrl"])
			return nil, nil
		}))
	}
	return p
}

// lossy is a repository that forgets what it does not know of a descriptor.
func lossy() program {
	p := repositoryProgram(false)
	download := p.handlers["GET /component-version/download"]
	p.handlers["GET /component-version/download"] = func(w http.ResponseWriter, r *http.Request) {
		kept := httptest.NewRecorder()
		download(kept, r)
		w.WriteHeader(kept.Code)
		_, _ = w.Write(bytes.ReplaceAll(kept.Body.Bytes(), []byte(`"future":true,`), nil))
	}
	return p
}

type store struct {
	mu  sync.Mutex
	dir string
}

func (s *store) path(parts ...string) string {
	for i, p := range parts {
		parts[i] = base64.RawURLEncoding.EncodeToString([]byte(p))
	}
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *store) download(_ object, r *http.Request) (any, error) {
	raw, err := os.ReadFile(filepath.Join(s.path(r.FormValue("name"), r.FormValue("version")), "descriptor"))
	if err != nil {
		return nil, fmt.Errorf("failed to get component version: %w", err)
	}
	return json.RawMessage(raw), nil
}

func (s *store) versions(_ object, r *http.Request) (any, error) {
	return s.names(s.path(r.FormValue("name")), "descriptor")
}

func (s *store) names(dir, file string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		name, _ := base64.RawURLEncoding.DecodeString(e.Name())
		if _, err := os.Stat(filepath.Join(dir, e.Name(), file)); err == nil {
			out = append(out, string(name))
		}
	}
	return out, err
}

func (s *store) upload(q struct {
	Repository object
	Descriptor json.RawMessage
}, _ *http.Request) (any, error) {
	var d struct {
		Component struct{ Name, Version string }
	}
	if err := json.Unmarshal(q.Descriptor, &d); err != nil || q.Repository["type"] != "Folder/v1" {
		return nil, fmt.Errorf("descriptor: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	dir := s.path(d.Component.Name, d.Component.Version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), q.Descriptor, 0o644); err != nil {
		return nil, err
	}
	return nil, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "descriptor"))
}

func (s *store) localUpload(q struct {
	Repository                       object
	Name, Version                    string
	ResourceLocation, SourceLocation map[string]string
	Resource, Source                 *resourceV2
}, r *http.Request) (any, error) {
	l, e := q.ResourceLocation, q.Resource
	if e == nil {
		l, e = q.SourceLocation, q.Source
	}
	text, err := read(l)
	if err != nil {
		return nil, err
	}
	id := map[string]string{"name": e.Name, "version": e.Version}
	maps.Copy(id, e.ExtraIdentity)
	dir := s.path(q.Name, q.Version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	e.Access["mediaType"] = l["mediaType"]
	return e, os.WriteFile(filepath.Join(dir, elementFile(r, id)), text, 0o644)
}

// elementFile is where the content of a resource or source is.
func elementFile(r *http.Request, id map[string]string) string {
	key, _ := json.Marshal(id)
	kind, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/local-"), "/")
	return kind + base64.RawURLEncoding.EncodeToString(key)
}

func (s *store) localDownload(_ object, r *http.Request) (any, error) {
	key, err := base64.StdEncoding.DecodeString(r.FormValue("identity"))
	if err != nil {
		return nil, err
	}
	id := map[string]string{}
	if err := json.Unmarshal(key, &id); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(s.path(r.FormValue("name"), r.FormValue("version")), elementFile(r, id)))
	if err != nil {
		return nil, err
	}
	l, err := write(text)
	delete(l, "mediaType")
	return object{"location": l, "resource": object{"name": id["name"]}}, err
}

// list has pages of one name.
func (s *store) list(q struct{ Last string }, _ *http.Request) (any, error) {
	dirs, err := os.ReadDir(s.dir)
	if errors.Is(err, os.ErrNotExist) {
		return object{"list": nil}, nil
	}
	var all []string
	for _, d := range dirs {
		name, _ := base64.RawURLEncoding.DecodeString(d.Name())
		if found, err := s.names(filepath.Join(s.dir, d.Name()), "descriptor"); err == nil && len(found) > 0 && string(name) > q.Last {
			all = append(all, string(name))
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		return object{"list": nil, "header": nil}, err
	}
	return object{"list": all[:1], "header": object{"last": all[0]}}, err
}
