// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// memoAge is how long what was read from a Secret or ConfigMap is used again.
	memoAge = 10 * time.Second
	// memoBytes bounds what is remembered of them; what does not fit is read each time.
	memoBytes = 8 << 20
	// memoEntries bounds their number, also of those that are not there.
	memoEntries = 4096
)

// memo remembers Secrets and ConfigMaps for a moment, so that a thousand objects that name the same one do not read it a thousand times.
// There is no cache that watches them: it would hold all Secrets of the cluster. The zero value is ready.
type memo struct {
	mu    sync.Mutex
	all   map[memoKey]*memoEntry
	bytes int
}

type memoKey struct {
	kind string // Secret or ConfigMap
	key  client.ObjectKey
}

type memoEntry struct {
	once sync.Once
	at   time.Time // zero while it is being read
	size int
	data map[string][]byte
	err  error
}

// read returns the data of a Secret or ConfigMap, which must not be modified.
func (m *memo) read(ctx context.Context, api client.Reader, now func() time.Time, k memoKey) (map[string][]byte, error) {
	e := m.entry(k, now())
	e.once.Do(func() {
		data, err := readData(ctx, api, k)
		size := 256
		for key, value := range data {
			size += len(key) + len(value)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		e.data, e.err, e.at, e.size = data, err, now(), size
		m.bytes += size
		if ctx.Err() != nil || m.bytes > memoBytes || len(m.all) > memoEntries {
			m.drop(k, e)
		}
	})
	return e.data, e.err
}

// entry finds the entry for a key, and drops those that are too old.
func (m *memo) entry(k memoKey, now time.Time) *memoEntry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[memoKey]*memoEntry{}
	}
	for key, e := range m.all {
		if !e.at.IsZero() && now.Sub(e.at) >= memoAge {
			m.drop(key, e)
		}
	}
	if m.all[k] == nil {
		m.all[k] = &memoEntry{}
	}
	return m.all[k]
}

func (m *memo) drop(k memoKey, e *memoEntry) {
	if m.all[k] == e {
		delete(m.all, k)
	}
	m.bytes -= e.size
	e.size = 0
}

// readData asks the API server.
func readData(ctx context.Context, api client.Reader, k memoKey) (map[string][]byte, error) {
	if k.kind == "Secret" {
		var s corev1.Secret
		err := api.Get(ctx, k.key, &s)
		return s.Data, err
	}
	var c corev1.ConfigMap
	if err := api.Get(ctx, k.key, &c); err != nil {
		return nil, err
	}
	data := make(map[string][]byte, len(c.Data)+len(c.BinaryData))
	for key, value := range c.Data {
		data[key] = []byte(value)
	}
	for key, value := range c.BinaryData {
		data[key] = value
	}
	return data, nil
}
