// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"
)

const (
	smallCount = 500
	smallSize  = 4 << 10
)

// smallData makes the archive of n small components and puts its content into the source registry.
func (b *bench) smallData(n int) error {
	if err := b.registries(); err != nil {
		return err
	}
	if err := b.smallArchive(n); err != nil || !b.once("registry "+smallName(n)) {
		return err
	}
	_, err := b.exec(b.bare("push", smallName(n), b.source.addr, smallName(n))...)
	return err
}

// toRegistry and toArchive are both directions, of ocm and of the bare client.
func (b *bench) toRegistry(n int) []contender {
	return []contender{
		b.transfer(b.emptied, fixed("./"+smallName(n)+smallRoot), targetAt("small"), "-r"),
		{name: "bare client", fresh: b.emptied, cmd: func(e ends) []string { return b.bare("push", smallName(n), e.target, "small") }},
	}
}

func (b *bench) toArchive(n int) []contender {
	gone := b.remove("copy")
	return []contender{
		b.transfer(gone, func(e ends) string { return "http://" + e.source + "/" + smallName(n) + smallRoot }, fixed("./copy"), "-r"),
		{name: "bare client", fresh: gone, cmd: func(e ends) []string { return b.bare("pull", smallName(n), e.source, smallName(n), "copy") }},
	}
}

// small compares both directions with the bare client, and the cost of one component among few and many.
func (b *bench) small() error {
	few, n, many := b.count(50), b.count(smallCount), b.count(2000)
	for _, n := range []int{few, n, many} {
		if err := b.smallData(n); err != nil {
			return err
		}
	}
	for _, direction := range []struct {
		name string
		of   func(int) []contender
	}{{"CTF→registry", b.toRegistry}, {"registry→CTF", b.toArchive}} {
		lines, err := b.compare(fmt.Sprintf("%d components, %s", n, direction.name), direction.of(n)...)
		if err == nil {
			err = moved(lines, int64(n)*2*smallSize)
		}
		if err != nil {
			return err
		}
		b.markRatio(direction.name+": time of ocm / bare client", lines[0], lines[1], 1.3)
		of := func(n int) contender {
			c := direction.of(n)[0]
			c.name = fmt.Sprintf("ocm, %d components", n)
			return c
		}
		if lines, err = b.compare("few and many, "+direction.name, of(few), of(many)); err != nil {
			return err
		}
		start := b.startTime()
		b.markRounds(fmt.Sprintf("%s: cost of one of %d / one of %d components", direction.name, many, few), 1.1, func(i int) float64 {
			return ratio((lines[1].Rounds[i].wall-start)/time.Duration(many), (lines[0].Rounds[i].wall-start)/time.Duration(few))
		})
	}
	b.markPeak()
	return b.remove("copy")()
}

// smallDelayed compares with the same run without delay.
func (b *bench) smallDelayed() error {
	n := b.count(smallCount)
	if err := b.smallData(n); err != nil {
		return err
	}
	for _, direction := range []struct {
		name string
		of   []contender
	}{{"CTF→registry", b.toRegistry(n)}, {"registry→CTF", b.toArchive(n)}} {
		near, far, bare := direction.of[0], direction.of[0], direction.of[1]
		far.name, far.slow = "ocm, 20 ms", true
		bare.name, bare.slow = "bare client, 20 ms", true
		lines, err := b.compare(fmt.Sprintf("%d components, %s, delayed", n, direction.name), near, far, bare)
		if err != nil {
			return err
		}
		b.markRatio(direction.name+": time of ocm with delay / without", lines[1], lines[0], 3)
		b.markRatio("for information: "+direction.name+", time of ocm / bare client, both with delay", lines[1], lines[2], 0)
	}
	b.markPeak()
	return b.remove("copy")()
}

// again is a finished transfer that is run once more.
type again struct {
	name     string
	from, to func(ends) string
	flags    []string
	bare     func(ends) []string // what has to be asked at least; nil: nothing
}

func (b *bench) secondRun() error {
	n := b.count(smallCount)
	if err := b.imageData(); err != nil {
		return err
	}
	if err := b.smallData(n); err != nil {
		return err
	}
	imagesFrom := func(e ends) string { return imagesAt(e) + imagesComponent }
	smallFrom := func(e ends) string { return "http://" + e.source + "/" + smallName(n) + smallRoot }
	copyFor := func(e ends) string { return "./copy/" + e.slug() }
	targetFor := func(e ends) string { return "http://" + e.target + "/again-" + e.slug() }
	content, deep := []string{"--copy-resources"}, []string{"-r"}
	eight, many := fmt.Sprintf("%d images, ", images), fmt.Sprintf("%d components, ", n)
	for _, a := range []again{
		{eight + "registry→CTF", imagesFrom, copyFor, content, nil},
		{eight + "CTF→registry", fixed("./images-ctf" + imagesComponent), targetFor, nil, nil},
		{eight + "registry→registry", imagesFrom, targetFor, content, nil},
		{eight + "CTF→CTF", fixed("./images-ctf" + imagesComponent), copyFor, nil, nil},
		{many + "CTF→registry", fixed("./" + smallName(n) + smallRoot), targetFor, deep,
			func(e ends) []string { return b.bare("head", smallName(n), e.target, "again-"+e.slug()) }},
		{many + "registry→CTF", smallFrom, copyFor, deep,
			func(e ends) []string { return b.bare("head", smallName(n), e.source, smallName(n)) }},
		{many + "CTF→CTF", fixed("./" + smallName(n) + smallRoot), copyFor, deep, nil},
	} {
		if err := b.again(a); err != nil {
			return err
		}
	}
	b.markPeak()
	return b.remove("copy")()
}

// again does the first runs, then measures the second ones.
func (b *bench) again(a again) error {
	if err := b.shell("sh", "-c", "rm -rf copy && mkdir copy"); err != nil {
		return err
	}
	if err := b.emptied(); err != nil {
		return err
	}
	ours := b.transfer(nil, a.from, a.to, a.flags...)
	first, err := b.counted(ours)
	if err != nil {
		return err
	}
	if _, err := b.runOnce(ours, b.direct()); err != nil {
		return err
	}
	contenders := []contender{ours}
	if a.bare != nil {
		contenders = append(contenders, contender{name: "bare client, HEAD of each version", cmd: a.bare})
	}
	lines, err := b.compare("second run, "+a.name, contenders...)
	if err != nil {
		return err
	}
	if all := first.bytes(); all > 0 {
		b.mark(a.name+": bytes of the second run, of the first", 100*float64(lines[0].Traffic.bytes())/float64(all), 3, " %")
	}
	if a.bare != nil {
		b.markRatio(a.name+": time of ocm / bare client", lines[0], lines[1], 1.3)
		return nil
	}
	b.mark(a.name+": time above start-up", float64(lines[0].Cost.wall-b.startTime())/1e6, 150, " ms")
	return nil
}
