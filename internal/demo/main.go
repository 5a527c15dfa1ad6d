// SPDX-License-Identifier: Apache-2.0

// Command demo makes the whole journey with this project itself as the product: it packs the
// ocm binaries, an image, manifests and notices into two components, signs, carries them over
// an air gap into a registry, verifies there, downloads and runs the binary. Then it breaks two
// copies in two places and shows that both are refused. Run it by "make demo".
package main

import (
	"bytes"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
)

const version = "0.1.0"

//go:embed component-constructor.yaml manifests
var files embed.FS

type demo struct {
	ocm string // path of the built command
	dir string // where everything happens
}

func main() {
	ocm := flag.String("ocm", "bin/ocm", "the ocm command to show")
	dir := flag.String("dir", "", "work in this new folder and keep it; default: a temporary one that is removed")
	flag.Parse()
	if err := run(*ocm, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ocm, dir string) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "ocm-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	if ocm, err = filepath.Abs(ocm); err != nil {
		return err
	}
	d := &demo{ocm: ocm, dir: dir}
	for _, step := range []struct {
		title string
		run   func() error
	}{
		{"Build the product: ocm for two platforms, an image, manifests, notices", d.product},
		{"Pack it into a transport archive", d.pack},
		{"Sign it, once for everything", d.sign},
		{"Carry it over the air gap into a registry, verify and use it there", d.registry},
		{"Break a blob: one byte", d.breakBlob},
		{"Break a descriptor: one byte", d.breakDescriptor},
	} {
		fmt.Printf("\n=== %s\n", step.title)
		if err := step.run(); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	fmt.Println("\nThe journey is complete: packed, signed, transported, verified, downloaded and run; both forgeries were refused.")
	return nil
}

// product puts everything that is to be packed into the work folder.
func (d *demo) product() error {
	for _, arch := range []string{"amd64", "arm64"} {
		cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(d.dir, "ocm-linux-"+arch), "./cmd/ocm")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		cmd.Stderr = os.Stderr
		fmt.Printf("$ GOOS=linux GOARCH=%s go build ./cmd/ocm\n", arch)
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	if err := os.CopyFS(d.dir, files); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range []string{"LICENSE", "README.md"} {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(d.dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return writeImage(filepath.Join(d.dir, "image.tar"), filepath.Join(d.dir, "ocm-linux-amd64"))
}

func (d *demo) pack() error {
	return d.all(
		"add component-version --repository ./ctf --constructor component-constructor.yaml",
		"get component-version ./ctf//example.org/ocm/cli --recursive -o tree",
		"describe component-version ./ctf//example.org/ocm/cli:"+version,
	)
}

func (d *demo) sign() error {
	return d.all(
		"create rsakeypair demo.key demo.pub",
		"sign component-version ./ctf//example.org/ocm/cli:"+version+" --signature release --private-key demo.key",
		"verify component-version ./ctf//example.org/ocm/cli:"+version+" --public-key demo.pub",
	)
}

// registry transfers over a second archive into a registry: a real server if there is one on
// PATH, else one in this process.
func (d *demo) registry() error {
	host, stop, err := d.startRegistry()
	if err != nil {
		return err
	}
	defer stop()
	target := "http://" + host + "/products"
	binary := "downloaded/ocm"
	if err := d.all(
		"transfer component-version --recursive --copy-resources ./ctf//example.org/ocm/cli:"+version+" ./airgap",
		"transfer component-version --recursive --copy-resources ./airgap//example.org/ocm/cli:"+version+" "+target,
		"get component-version "+target+"//example.org/ocm/cli --recursive -o tree",
		"verify component-version "+target+"//example.org/ocm/cli:"+version+" --public-key demo.pub",
		"download resource "+target+"//example.org/ocm/cli:"+version+" --identity name=ocm,os=linux,architecture="+runtime.GOARCH+" --output "+binary,
	); err != nil {
		return err
	}
	fmt.Printf("$ %s version\n", binary)
	cmd := exec.Command(filepath.Join(d.dir, binary), "version")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// breakBlob flips a byte of the licence in a copy of the archive.
func (d *demo) breakBlob() error {
	licence, err := os.ReadFile(filepath.Join(d.dir, "LICENSE"))
	if err != nil {
		return err
	}
	return d.forge("broken-blob", licence[:200], "resource licence")
}

// breakDescriptor flips a byte of the root's descriptor in a copy of the archive.
func (d *demo) breakDescriptor() error {
	return d.forge("broken-descriptor", []byte(`"name":"example.org/ocm/cli","version"`), "example.org/ocm/cli:"+version)
}

// forge copies the archive, flips one byte in the blob that contains content, and expects verify
// to refuse it and to name the object.
func (d *demo) forge(name string, content []byte, object string) error {
	dir := filepath.Join(d.dir, name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(d.dir, "airgap"))); err != nil {
		return err
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256.*"))
	if err != nil {
		return err
	}
	flipped := ""
	for _, path := range blobs {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		i := bytes.Index(b, content)
		if i < 0 || len(b) > 1<<20 {
			continue
		}
		b[i+10] ^= 1
		if err := errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, b, 0o644)); err != nil {
			return err
		}
		flipped = filepath.Base(path)
		fmt.Printf("(flipped one bit at offset %d of %s)\n", i+10, flipped)
	}
	if flipped == "" {
		return errors.New("found no blob to break")
	}
	out, err := d.try("verify component-version ./" + name + "//example.org/ocm/cli:" + version + " --public-key demo.pub")
	switch {
	case err == nil:
		return errors.New("the forgery was accepted")
	case !strings.Contains(out, object):
		return fmt.Errorf("refused, but without naming %q", object)
	}
	return nil
}

// all runs commands one after the other.
func (d *demo) all(commands ...string) error {
	for _, c := range commands {
		if _, err := d.try(c); err != nil {
			return err
		}
	}
	return nil
}

// try prints and runs one ocm command and returns what it printed.
func (d *demo) try(command string) (string, error) {
	fmt.Printf("$ ocm %s\n", command)
	cmd := exec.Command(d.ocm, strings.Fields(command)...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "VERSION="+version)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	fmt.Print(out.String())
	return out.String(), err
}

// startRegistry returns host:port and a function that stops it.
func (d *demo) startRegistry() (string, func(), error) {
	path, _ := exec.LookPath("docker-registry")
	if path == "" {
		s := httptest.NewServer(olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}}))
		host := strings.TrimPrefix(s.URL, "http://")
		fmt.Printf("(a registry in this process listens on %s)\n", host)
		return host, s.Close, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	host := l.Addr().String()
	l.Close()
	conf := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", filepath.Join(d.dir, "registry"), host)
	file := filepath.Join(d.dir, "registry.yml")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return "", nil, err
	}
	cmd := exec.Command(path, "serve", file)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for range 100 {
		if c, err := net.Dial("tcp", host); err == nil {
			c.Close()
			fmt.Printf("(docker-registry listens on %s)\n", host)
			return host, stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return "", nil, fmt.Errorf("docker-registry does not listen on %s", host)
}
