// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

const imagesComponent = "//example.org/images:1.0.0"

// imageData fills the source registry with the images and with component versions that refer to
// them, one for each address by which a registry is reached; and archives with local copies.
func (b *bench) imageData() error {
	if err := b.registries(); err != nil {
		return err
	}
	if !b.once("images") {
		return nil
	}
	if err := b.imageLayouts(); err != nil {
		return err
	}
	if _, err := b.exec(b.bare("push", "images", b.source.addr, "")...); err != nil {
		return err
	}
	for _, e := range []ends{b.direct(), b.viaCounters()} {
		var s strings.Builder
		s.WriteString("components:\n- name: example.org/images\n  version: 1.0.0\n  provider: {name: bench}\n  resources:\n")
		for i := range images {
			fmt.Fprintf(&s, "  - {name: i%d, version: 1.0.0, type: ociImage, access: {type: ociArtifact, imageReference: %q}}\n", i, fmt.Sprintf("%s/images/i%d:1", e.source, i))
		}
		if err := b.writeFile("images.yaml", []byte(s.String())); err != nil {
			return err
		}
		if err := b.do("add", "cv", "-r", imagesAt(e), "-c", "images.yaml"); err != nil {
			return err
		}
	}
	return b.do("transfer", "cv", imagesAt(b.direct())+imagesComponent, "./images-ctf", "--copy-resources")
}

// imagesAt is the repository with the component version that refers to images by this address.
func imagesAt(e ends) string { return "http://" + e.source + "/cv-" + e.slug() }

// bare is a call of the bare client.
func (b *bench) bare(verb, ctf, host, prefix string, more ...string) []string {
	args := []string{b.self, "bare", verb, "-parallel", fmt.Sprint(b.bareParallel), ctf, strings.TrimSuffix("http://"+host+"/v2/"+prefix, "/")}
	return append(args, more...)
}

// transfer is our contender: whatever from and to are for these ends, with content.
func (b *bench) transfer(fresh func() error, from, to func(e ends) string, flags ...string) contender {
	return contender{name: "ocm", ours: true, fresh: fresh, cmd: func(e ends) []string {
		args := []string{b.ocm, "transfer", "cv", from(e), to(e)}
		if b.parallel > 0 {
			args = append(args, "--parallel", fmt.Sprint(b.parallel))
		}
		return append(args, flags...)
	}}
}

func fixed(s string) func(ends) string { return func(ends) string { return s } }

func targetAt(prefix string) func(ends) string {
	return func(e ends) string { return "http://" + e.target + "/" + prefix }
}

// eight is a peer that moves the images one after the other, or all at once, with one command line
// per image, in which {} is its number.
func (b *bench) eight(name string, fresh func() error, line func(e ends) string) (contender, error) {
	numbers := "0 1 2 3 4 5 6 7"
	each := contender{name: name + ", one by one", fresh: fresh, cmd: func(e ends) []string {
		return []string{"sh", "-c", "for i in " + numbers + "; do " + strings.ReplaceAll(line(e), "{}", "$i") + " || exit 1; done"}
	}}
	all := contender{name: name + ", in parallel", fresh: fresh, cmd: func(e ends) []string {
		return []string{"sh", "-c", "printf '%s\\n' " + numbers + " | xargs -P 8 -I{} " + line(e)}
	}}
	return b.faster(each, all)
}

// peers are the public tools that are installed.
func (b *bench) peers(fresh func() error, lines map[string]func(tool string, e ends) string) ([]contender, error) {
	var list []contender
	for _, name := range []string{"crane", "regctl", "skopeo"} {
		tool, ok := b.tool(name)
		if !ok {
			b.say("%s is not installed: left out", name)
			continue
		}
		c, err := b.eight(name, fresh, func(e ends) string { return lines[name](tool, e) })
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

func regctl(tool string, e ends) string {
	return fmt.Sprintf("%s --host reg=%s,tls=disabled --host reg=%s,tls=disabled image copy", tool, e.source, e.target)
}

func skopeo(tool string) string {
	return tool + " --insecure-policy copy --quiet --preserve-digests --src-tls-verify=false --dest-tls-verify=false"
}

// flushed is a peer that waits until what it wrote to out is on the disk, as ocm does.
func flushed(c contender) contender {
	cmd := c.cmd
	c.name += ", sync"
	c.extra = true
	c.cmd = func(e ends) []string {
		args := cmd(e)
		return append(args[:len(args)-1:len(args)-1], "("+args[len(args)-1]+") && sync -f out")
	}
	return c
}

// imageCase is a direction, with the command lines of the peers.
type imageCase struct {
	name  string
	ours  contender
	peers map[string]func(tool string, e ends) string
}

func (b *bench) pullCase() imageCase {
	gone := func() error { return b.shell("sh", "-c", "rm -rf out && mkdir out") }
	return imageCase{"registry→CTF",
		b.transfer(gone, func(e ends) string { return imagesAt(e) + imagesComponent }, fixed("./out/ctf"), "--copy-resources"),
		map[string]func(tool string, e ends) string{
			"crane": func(t string, e ends) string {
				return fmt.Sprintf("%s pull --insecure --format=oci %s/images/i{}:1 out/{}", t, e.source)
			},
			"regctl": func(t string, e ends) string {
				return fmt.Sprintf("%s %s/images/i{}:1 ocidir://out/{}:1", regctl(t, e), e.source)
			},
			"skopeo": func(t string, e ends) string {
				return fmt.Sprintf("%s docker://%s/images/i{}:1 oci:out/{}:1", skopeo(t), e.source)
			},
		}}
}

func (b *bench) pushCase() imageCase {
	return imageCase{"CTF→registry",
		b.transfer(b.emptied, fixed("./images-ctf"+imagesComponent), targetAt("cv")),
		map[string]func(tool string, e ends) string{
			"crane": func(t string, e ends) string {
				return fmt.Sprintf("%s push --insecure image{} %s/images/i{}:1", t, e.target)
			},
			"regctl": func(t string, e ends) string {
				return fmt.Sprintf("%s ocidir://image{}:1 %s/images/i{}:1", regctl(t, e), e.target)
			},
			"skopeo": func(t string, e ends) string {
				return fmt.Sprintf("%s oci:image{}:1 docker://%s/images/i{}:1", skopeo(t), e.target)
			},
		}}
}

func (b *bench) copyCase() imageCase {
	return imageCase{"registry→registry",
		b.transfer(b.emptied, func(e ends) string { return imagesAt(e) + imagesComponent }, targetAt("cv"), "--copy-resources"),
		map[string]func(tool string, e ends) string{
			"crane": func(t string, e ends) string {
				return fmt.Sprintf("%s copy --insecure %s/images/i{}:1 %s/images/i{}:1", t, e.source, e.target)
			},
			"regctl": func(t string, e ends) string {
				return fmt.Sprintf("%s %s/images/i{}:1 %s/images/i{}:1", regctl(t, e), e.source, e.target)
			},
			"skopeo": func(t string, e ends) string {
				return fmt.Sprintf("%s docker://%s/images/i{}:1 docker://%s/images/i{}:1", skopeo(t), e.source, e.target)
			},
		}}
}

// images moves them by one command of ours, and by those of the peers.
func (b *bench) images() error {
	if err := b.imageData(); err != nil {
		return err
	}
	b.writes = images * b.size(imageSize) * 5 / 4
	defer func() { b.writes = 0 }()
	for i, c := range []imageCase{b.pullCase(), b.pushCase(), b.copyCase()} {
		contenders, err := b.peers(c.ours.fresh, c.peers)
		if err != nil {
			return err
		}
		if i == 0 && len(contenders) > 0 {
			contenders = append(contenders, flushed(contenders[0]))
		}
		name := fmt.Sprintf("%d images of %s, %s", images, bytesText(b.size(imageSize)), c.name)
		lines, err := b.compare(name, append([]contender{c.ours}, contenders...)...)
		if err == nil {
			err = moved(lines, images*b.size(imageSize))
		}
		if err != nil {
			return err
		}
		if best := fastest(lines); best.Who != "" {
			b.markRatio(c.name+": time of ocm / "+best.Who, lines[0], best, 1.1)
		}
		if last := lines[len(lines)-1]; last.Extra {
			b.markRatio("for information: time of ocm / "+last.Who, lines[0], last, 0)
		}
	}
	b.markPeak()
	return b.shell("rm", "-rf", "out")
}

// imagesLocally compares a transfer from archive to archive with copying and hashing the files.
func (b *bench) imagesLocally() error {
	if err := b.imageData(); err != nil {
		return err
	}
	b.writes = images * b.size(imageSize) * 5 / 4
	defer func() { b.writes = 0 }()
	gone := b.remove("copy")
	sh := func(name, script string) contender {
		return contender{name: name, fresh: gone, cmd: func(ends) []string { return []string{"sh", "-c", script} }}
	}
	const plain = "cp -r images-ctf copy && openssl dgst -sha256 copy/blobs/*"
	flushed := sh("cp, openssl, sync", plain+" && sync -f copy")
	flushed.extra = true
	ours := b.transfer(gone, fixed("./images-ctf"+imagesComponent), fixed("./copy"))
	lines, err := b.compare(fmt.Sprintf("%d images of %s, CTF→CTF", images, bytesText(b.size(imageSize))), ours, sh("cp, openssl", plain), flushed)
	if err != nil {
		return err
	}
	if _, err := b.runOnce(ours, ends{}); err != nil {
		return err
	}
	if err := b.shell("diff", "-r", "images-ctf/blobs", "copy/blobs"); err != nil {
		return err
	}
	b.markRatio("CTF→CTF: time of ocm / cp, openssl", lines[0], lines[1], 1.3)
	b.markRatio("for information: time of ocm / cp, openssl, sync", lines[0], lines[2], 0)
	b.markPeak()
	return gone()
}
