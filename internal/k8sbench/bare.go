// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"

	"k8s.io/client-go/tools/clientcmd"

	"ocm/internal/k8sbench/load"
)

// bareMain is the bare client: it reads beforehand what is to be written, says so, begins when it is told to by a line, says how many
// requests it sent, and stays until nobody listens, so that its memory can be looked at.
func bareMain(args []string) int {
	fs := flag.NewFlagSet("bare", flag.ExitOnError)
	kubeconfig := fs.String("kubeconfig", "", "where the cluster is")
	file := fs.String("outcomes", "", "what to write, in JSON")
	parallel := fs.Int("parallel", 1, "requests at once")
	_ = fs.Parse(args) // it exits
	if err := bare(*kubeconfig, *file, *parallel); err != nil {
		fmt.Fprintln(os.Stderr, "bare client:", err)
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func bare(kubeconfig, file string, parallel int) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var all []load.Outcome
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	var requests atomic.Int64
	config.UserAgent = "bare"
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			requests.Add(1)
			return next.RoundTrip(r)
		})
	})
	client, err := load.Client(config)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	if err := load.Bare(context.Background(), client, parallel, all); err != nil {
		return err
	}
	fmt.Println(requests.Load())
	return nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
