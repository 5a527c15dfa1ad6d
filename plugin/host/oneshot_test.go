// SPDX-License-Identifier: Apache-2.0

//go:build unix

package host_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ocm"
	"ocm/internal/fixture"
	"ocm/internal/secrettest"
	"ocm/plugin/host"
)

const (
	oneShotBegin = "#!/bin/sh\nif [ \"$1\" = capabilities ]; then echo '{\"protocol\":\"ocm.software/plugin/v1\",\"name\":\"shot\",\"oneShot\":true," +
		"\"capabilities\":[{\"type\":\"credentialSource\",\"names\":[\"Shot/v1\"],\"about\":\"…\"}]}'; exit; fi\n"
	shotAnswer = `echo '{"secret":{"password":"` + shelfSecret + `"}}'`
)

// shooting is a kit with a plugin that is this script, and its folder.
func shooting(t *testing.T, script string) (*ocm.Kit, string) {
	t.Helper()
	dir := t.TempDir()
	if err := fixture.Program(filepath.Join(dir, "shot"), []byte(script)); err != nil {
		t.Fatal(err)
	}
	h := host.New(host.Options{Dirs: []string{dir}})
	t.Cleanup(func() { _ = h.Close() })
	kit := ocm.NewKit()
	h.Attach(kit)
	return kit, dir
}

func shoot(t *testing.T, ctx context.Context, script string) (ocm.Secret, error) {
	t.Helper()
	kit, dir := shooting(t, oneShotBegin+"cd '"+t.TempDir()+"' || exit\n"+script)
	source, err := kit.Secrets.For("Shot/v1")
	if err != nil {
		t.Fatal(dir, err)
	}
	s, _ := ocm.NewSpec(map[string]string{"type": "Shot/v1"})
	return source.Find(ctx, &ocm.Env{}, s, ocm.Identity{"type": "Wget", "hostname": "good.io"})
}

// A one-shot plugin that a few lines of shell are.
func TestOneShot(t *testing.T) {
	t.Parallel()
	kit, _ := shooting(t, oneShotBegin+`
[ "$#:$1:$2" = 2:call:/v1/credentials ] || exit 9
read -r question
case $question in
'{"spec":{"a":"b c","type":"Shot/v1"},"identity":{"hostname":"good.io","type":"Wget"}}') `+shotAnswer+` ;;
'{"spec":{"a":"b c","type":"Shot/v1"}'*) echo '{"error":{"kind":"notFound","message":"no '`+shelfSecret+`'"}}' ;;
*) echo '{"error":{"kind":"invalid","message":"'`+shelfSecret+`'"}}' ;;
esac`)
	source, err := kit.Secrets.For("Shot/v1")
	if err != nil {
		t.Fatal(err)
	}
	secrettest.Run(t, secrettest.Case{
		Source: source, Types: []string{"Shot/v1"}, Good: ocm.RawJSON(`{ "a" : "b c" }`),
		Identity: ocm.Identity{"type": "Wget", "hostname": "good.io"}, Want: ocm.Secret{"password": shelfSecret},
		Missing: []ocm.Identity{{"type": "Wget"}, {"type": "Wget", "hostname": "it's\n\"good.io\"; $(exit 9)"}},
		Wrong:   []map[string]any{{"a": "c"}},
	})
	spread := ocm.Spec{Type: "Shot/v1", Raw: ocm.RawJSON("{\n  \"a\" : \"b c\",\n  \"type\": \"Shot/v1\"\n}")}
	if _, err := source.Find(t.Context(), &ocm.Env{}, spread, ocm.Identity{"type": "Wget", "hostname": "good.io"}); err != nil {
		t.Errorf("a specification on several lines: %v", err)
	}
}

// Bad ones: the host goes on, and names them.
func TestOneShotBad(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script string
		kind   error
	}{
		"says nothing":        {"", ocm.ErrInvalid},
		"nonsense":            {"echo " + shelfSecret, ocm.ErrInvalid},
		"two answers":         {shotAnswer + "\n" + shotAnswer, ocm.ErrInvalid},
		"no secret":           {"echo '{}'", ocm.ErrInvalid},
		"no text":             {`echo '{"secret":{"password":12345}}'`, ocm.ErrInvalid},
		"twice":               {`echo '{"secret":{"` + shelfSecret + `":"1","` + shelfSecret + `":"2"}}'`, ocm.ErrInvalid},
		"error without words": {`echo '{"error":{}}'`, nil},
		"fails":               {shotAnswer + "\nexit 1", nil},
		"killed":              {shotAnswer + "\nkill -9 $$", nil},
		"floods":              {"exec yes " + shelfSecret, ocm.ErrLimit},
		"floods stderr":       {"i=0; while [ $i -lt 10000 ]; do echo " + shelfSecret + " >&2; i=$((i+1)); done; exit 1", nil},
		"does not read":       {"exec <&-; echo '{\"error\":{\"kind\":\"denied\",\"message\":\"\"}}'", ocm.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := shoot(t, t.Context(), tc.script)
			if err == nil || tc.kind != nil && !errors.Is(err, tc.kind) || len(got) > 0 || strings.Contains(err.Error(), shelfSecret) || !strings.Contains(err.Error(), "plugin shot") {
				t.Errorf("%d properties, %v", len(got), err)
			}
		})
	}
}

// A one-shot plugin leaves a process behind that keeps its output: nobody waits for that.
func TestOneShotForks(t *testing.T) {
	t.Parallel()
	pid := filepath.Join(t.TempDir(), "pid")
	got, err := shoot(t, t.Context(), "sleep 1000 & echo $! > "+pid+"\n"+shotAnswer)
	if err != nil || got["password"] != shelfSecret {
		t.Errorf("%d properties, %v", len(got), err)
	}
	raw, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil {
		_ = syscall.Kill(n, syscall.SIGKILL)
	}
}

// One that hangs ends with the call.
func TestOneShotHangs(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	why := errors.New("enough")
	go func() {
		_, _ = os.ReadFile(pipe) // it runs
		cancel(why)
	}()
	begun := time.Now()
	if _, err := shoot(t, ctx, "echo begun > "+pipe+"\nexec sleep 1000"); !errors.Is(err, why) {
		t.Error(err)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it went on for %s", took)
	}
}

// What needs contents cannot be one-shot.
func TestOneShotKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"accessMethod", "input", "repository", "uploader", "transformer", "other"} {
		kit, _ := shooting(t, "#!/bin/sh\necho '"+fmt.Sprintf(`{"protocol":"ocm.software/plugin/v1","name":"shot","oneShot":true,"capabilities":[{"type":%q,"names":["Shot/v1"],"about":"…"},`+
			`{"type":"credentialSource","names":["Good/v1"],"about":"…"}]}`, kind)+"'\n")
		if _, err := kit.Access.For("Shot/v1"); !errors.Is(err, ocm.ErrUnknownType) || !strings.Contains(err.Error(), "it is one-shot and can be \""+kind+"\"") {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := kit.Secrets.For("Good/v1"); err != nil {
			t.Error(err)
		}
	}
}

// Signers and verifiers are asked in the same way; there is nothing else that such a plugin could be asked.
func TestOneShotSigns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := "#!/bin/sh\n" + `case "$*" in
capabilities) echo '{"protocol":"ocm.software/plugin/v1","name":"shot","oneShot":true,"capabilities":[{"type":"signer","names":["Shot/v1"],"about":"…"}]}' ;;
'call /v1/sign') read -r question; echo "{\"value\":$question}" ;;
*) exit 9 ;;
esac`
	if err := fixture.Program(filepath.Join(dir, "shot"), []byte(script)); err != nil {
		t.Fatal(err)
	}
	h := host.New(host.Options{Dirs: []string{dir}})
	t.Cleanup(func() { _ = h.Close() })
	all, err := h.Plugins()
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	call, err := all[0].Call(t.Context(), &ocm.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer call.End()
	var answer struct {
		Value map[string]string `json:"value"`
	}
	if err := call.Ask("/v1/sign", map[string]string{"name": "release"}, &answer, false); err != nil || answer.Value["name"] != "release" {
		t.Errorf("%v %v", answer, err)
	}
	if _, _, err := call.Stream("/v1/fetch", nil); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "plugin shot") {
		t.Error(err)
	}
	if offered := call.Offer(ocm.Content{Name: "x"}, ""); offered.Handle != "" {
		t.Errorf("%v is offered", offered)
	}
	call.End()
	if err := call.Ask("/v1/sign", map[string]string{"name": "late"}, &answer, false); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}
