// SPDX-License-Identifier: Apache-2.0

package graph_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocm"
	"ocm/builtin"
	"ocm/credentials"
	"ocm/graph"
)

const golden = "../ctf/testdata/golden/"

// goldenEnv trusts the golden keys, at a time at which the certificates are valid.
func goldenEnv(t *testing.T) *ocm.Env {
	t.Helper()
	key := func(name string) string {
		b, err := os.ReadFile(golden + "keys/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	plain := ocm.Secret{"publicKeyPEM": key("plain.pub")}
	return &ocm.Env{
		Job: ocm.NewJob(4),
		Now: func() time.Time { return time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC) },
		Credentials: credentials.Static(
			credentials.Entry{Identity: ocm.Identity{"type": "RSA/v1alpha1"}, Secret: plain},
			credentials.Entry{Identity: ocm.Identity{"type": "RSA/v1alpha1", "signature": "pss-pem"}, Secret: ocm.Secret{"caCertPEM": key("root.pem")}},
			credentials.Entry{Identity: ocm.Identity{"type": "GPG/v1alpha1"}, Secret: ocm.Secret{"publicKeyPGP": key("gpg.pub.asc")}},
		),
	}
}

func openGolden(t *testing.T, env *ocm.Env, path string) ocm.Repository {
	t.Helper()
	spec, err := ocm.RepositorySpec(ocm.CTFType, path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := builtin.OpenRepository(t.Context(), builtin.Kit(), env, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// verify opens and verifies the golden component in a CTF.
func verify(t *testing.T, env *ocm.Env, path string, o graph.VerifyOptions) (*graph.Report, error) {
	t.Helper()
	r := openGolden(t, env, path)
	v, err := r.Open(t.Context(), "golden.example/app", "1.0.0")
	if err != nil {
		return nil, err
	}
	rep, err := graph.Verify(t.Context(), builtin.Kit(), env, r.Open, v, o)
	if err != nil {
		return nil, err
	}
	return rep, rep.Err()
}

func TestGoldenVerifiesInFull(t *testing.T) {
	for name, signatures := range map[string]int{"v1-copied": 2, "v1-copied.tar": 2, "v1-copied.tgz": 2, "v2n-copied": 4} {
		t.Run(name, func(t *testing.T) {
			rep, err := verify(t, goldenEnv(t), golden+name, graph.VerifyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			count := map[string]int{}
			for _, s := range rep.Steps {
				if s.Verdict != graph.OK {
					t.Errorf("%+v", s)
				}
				count[s.Check]++
			}
			if count["signature"] != signatures || count["content digest"] != 7 || count["reference digest"] != 1 {
				t.Errorf("checks: %v", count)
			}
		})
	}
}

// The registry of the image is gone: everything else is good, and a full verification fails
// and says why.
func TestGoldenWithUnreachableImage(t *testing.T) {
	for _, name := range []string{"v1", "v2", "v2n"} {
		t.Run(name, func(t *testing.T) {
			rep, err := verify(t, goldenEnv(t), golden+name, graph.VerifyOptions{})
			if rep == nil {
				t.Fatal(err)
			}
			if !errors.Is(err, ocm.ErrSignature) || !strings.Contains(err.Error(), "resource image") || !strings.Contains(err.Error(), "127.0.0.1:5001") {
				t.Errorf("expected an error that names the resource and the registry, found %v", err)
			}
			for _, s := range rep.Steps {
				if (s.Verdict == graph.Failed) != (s.Object == "resource image") {
					t.Errorf("%+v", s)
				}
			}
			rep, err = verify(t, goldenEnv(t), golden+name, graph.VerifyOptions{Shallow: true})
			if err != nil || !rep.Shallow {
				t.Errorf("shallow: %v", err)
			}
		})
	}
}

// Any byte that is changed in any blob that the version reaches is noticed, and the error names
// the object: a resource, a source, or the component version itself.
func TestGoldenEveryBlobFlipped(t *testing.T) {
	for _, name := range []string{"v1-copied", "v2n-copied"} {
		blobs, err := filepath.Glob(golden + name + "/blobs/sha256.*")
		if err != nil || len(blobs) < 10 {
			t.Fatal(err, len(blobs))
		}
		for _, path := range blobs {
			t.Run(name+"/"+filepath.Base(path)[:14], func(t *testing.T) {
				t.Parallel()
				original, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(golden+name)); err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(dir, "blobs", filepath.Base(path))
				for _, at := range []int{0, len(original) / 3, len(original) / 2, len(original) - 1} {
					broken := bytes.Clone(original)
					broken[at] ^= 1
					if err := errors.Join(os.Chmod(file, 0o644), os.WriteFile(file, broken, 0o644)); err != nil {
						t.Fatal(err)
					}
					_, err := verify(t, goldenEnv(t), dir, graph.VerifyOptions{})
					if err == nil || !names(err, "resource ", "source ", "golden.example/app:1.0.0", "golden.example/lib:1.0.0") {
						t.Errorf("byte %d: %v", at, err)
					}
				}
			})
		}
	}
}

func names(err error, objects ...string) bool {
	for _, o := range objects {
		if strings.Contains(err.Error(), o) {
			return true
		}
	}
	return false
}

// The same for the entry of the version in the archive's index.
func TestGoldenIndexEntryFlipped(t *testing.T) {
	for _, name := range []string{"v1-copied", "v2n-copied"} {
		raw, err := os.ReadFile(golden + name + "/artifact-index.json")
		if err != nil {
			t.Fatal(err)
		}
		entry := entryOf(t, raw)
		start := bytes.Index(raw, entry)
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(golden+name)); err != nil {
			t.Fatal(err)
		}
		for at := start; at < start+len(entry); at++ {
			broken := bytes.Clone(raw)
			broken[at] ^= 1
			if err := os.WriteFile(filepath.Join(dir, "artifact-index.json"), broken, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := verify(t, goldenEnv(t), dir, graph.VerifyOptions{}); err == nil {
				t.Errorf("%s: byte %d (%q became %q) was not noticed: %s", name, at, raw[at], broken[at], broken[max(0, at-30):min(len(raw), at+30)])
			}
		}
	}
}

// entryOf is the text of the tagged entry of the golden component.
func entryOf(t *testing.T, raw []byte) []byte {
	t.Helper()
	var index struct {
		Artifacts []json.RawMessage `json:"artifacts"`
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		t.Fatal(err)
	}
	for _, e := range index.Artifacts {
		if bytes.Contains(e, []byte(`golden.example/app","tag"`)) {
			return e
		}
	}
	t.Fatal("no entry")
	return nil
}
