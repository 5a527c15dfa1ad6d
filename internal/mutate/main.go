// SPDX-License-Identifier: Apache-2.0

// Command mutate takes the checks out of the verify path, one at a time, and demands that a named test
// notices. Run it by "make mutate". A check whose test does not fail is a check that nobody tests; a
// mutation whose text is not in the file any more is an error, so that the lists stay true.
//
//	main.go     flags, workers, the verdict
//	run.go      applying one mutation with "go test -overlay", which copies nothing
//	switch.go   many mutations in one binary, to be chosen when it runs
//	list_*.go   the mutations, a file per room: to add one, add a line
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// mutation takes one check out.
type mutation struct {
	file    string // from the module's root
	find    string // text that is in the file exactly once
	replace string
	pkg     string // whose test notices, from the module's root
	test    string // its name; subtests as they stand in the source, after a slash
}

// in makes mutations of a file whose tests are in a package.
func in(file, pkg string) func(find, replace, test string) mutation {
	return func(find, replace, test string) mutation { return mutation{file, find, replace, pkg, test} }
}

// lists are all mutations.
func lists() []mutation {
	return slices.Concat(inGraph(), inVerification(), inSigning(), inNormalise(), inDescriptor(), inOCI(),
		inCert(), inOpenPGP(), inTimestamps(), inSigstoreRoom(), inSigningServer(), inDemands(), inNetwork(), inControllers(), inPluginSigning(), inPluginRepositories(), inDelivery())
}

func main() {
	only := flag.String("only", "", "regular `expression`: only mutations of files, or noticed by tests, that match")
	parallel := flag.Int("parallel", runtime.NumCPU(), "how many tests run at once")
	verbose := flag.Bool("v", false, "tell also which mutations were noticed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	problems, err := run(ctx, *only, max(1, *parallel), *verbose)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	if problems > 0 {
		os.Exit(1)
	}
}

// run returns how many mutations were not noticed, or could not be made.
func run(ctx context.Context, only string, parallel int, verbose bool) (problems int, err error) {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return 0, err
	}
	list := slices.DeleteFunc(lists(), func(m mutation) bool { return !pattern.MatchString(m.file) && !pattern.MatchString(m.test) })
	start := time.Now()
	w, err := newWorkshop(ctx)
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(w.temp)
	if err := w.baseline(list); err != nil {
		return 0, err
	}
	shared := w.shareAll(list, parallel)
	var mu sync.Mutex
	each(ctx, parallel, len(list), func(i int) {
		result := w.apply(i, list[i], shared[i])
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil {
			problems += tell(list[i], result, verbose)
		}
	})
	if ctx.Err() != nil { // what was not tried is neither noticed nor not
		return problems, ctx.Err()
	}
	fmt.Printf("%d mutations (%d share a binary), %d not noticed, %v\n", len(list), len(shared), problems, time.Since(start).Round(time.Second))
	return problems, nil
}

// each calls f with 0 to n-1, several at once, until the context ends.
func each(ctx context.Context, parallel, n int, f func(int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	wg.Wait()
}

// tell prints what has become of a mutation, and counts it if that is not as it should be.
func tell(m mutation, result error, verbose bool) int {
	text := strings.TrimSpace(m.find)
	switch {
	case result != nil:
		fmt.Printf("%s: %q: %v\n", m.file, text, result)
		return 1
	case verbose:
		fmt.Printf("%s: %q: noticed by %s\n", m.file, text, m.test)
	}
	return 0
}
