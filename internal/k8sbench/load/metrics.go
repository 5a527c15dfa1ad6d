// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Sample is what a controller tells of itself by its metrics.
type Sample struct {
	CPU          time.Duration
	Requests     map[string]float64 // to the API server, by method
	Hits, Misses float64            // questions to the pool whose answer was known, or had to be found
}

// Scrape reads the metrics at a URL.
func Scrape(ctx context.Context, client *http.Client, url string) (Sample, error) {
	s := Sample{Requests: map[string]float64{}}
	body, err := get(ctx, client, url)
	if err != nil {
		return s, err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		i := strings.LastIndexByte(lines.Text(), ' ')
		if i < 0 || strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		name, labels, _ := strings.Cut(lines.Text()[:i], "{")
		value, err := strconv.ParseFloat(lines.Text()[i+1:], 64)
		if err != nil {
			continue // no number that we ask for
		}
		switch name {
		case "process_cpu_seconds_total":
			s.CPU = time.Duration(value * float64(time.Second))
		case "rest_client_requests_total":
			_, rest, _ := strings.Cut(labels, `method="`)
			method, _, _ := strings.Cut(rest, `"`)
			s.Requests[method] += value
		case "ocm_system_ocm_k8s_toolkit_cache_hit":
			s.Hits += value
		case "ocm_system_ocm_k8s_toolkit_cache_miss":
			s.Misses += value
		}
	}
	return s, lines.Err()
}

// calm is for how long nothing must have been sent.
const calm = 5 * time.Second

// Calm waits until the last requests have been sent, such as those for events, and returns the sample of then.
func Calm(ctx context.Context, client *http.Client, url string) (Sample, error) {
	last, err := Scrape(ctx, client, url)
	for since := time.Now(); err == nil && time.Since(since) < calm; {
		if err = pause(ctx); err != nil {
			return last, fmt.Errorf("requests do not end: %v: %w", last.Requests, err)
		}
		var now Sample
		if now, err = Scrape(ctx, client, url); now.Total() != last.Total() {
			since = time.Now()
		}
		last = now
	}
	return last, err
}

// Total is the number of requests of all methods.
func (s Sample) Total() (n float64) {
	for _, count := range s.Requests {
		n += count
	}
	return n
}

// Since is what was added to an earlier sample.
func (s Sample) Since(earlier Sample) Sample {
	d := Sample{CPU: s.CPU - earlier.CPU, Requests: maps.Clone(s.Requests), Hits: s.Hits - earlier.Hits, Misses: s.Misses - earlier.Misses}
	for method, count := range earlier.Requests {
		d.Requests[method] -= count
	}
	return d
}
