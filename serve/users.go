// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"ocm"
)

// Limits of a list of users.
const (
	MaxUsers        = 10_000
	MaxPasswordCost = 15      // of bcrypt: a comparison takes about two seconds
	maxUserBytes    = 1 << 10 // of a line
	maxPassword     = 72      // bytes that bcrypt looks at: what is longer would be compared in part
	maxComparisons  = 2       // at once: strangers may not take all processors
)

// Htpasswd are the users of a file as "htpasswd -B" writes it: name, colon, bcrypt hash; nothing else than bcrypt. Whoever is not in
// it, or has the wrong password, waits as long as for the most expensive of its hashes. A password that was right once is remembered as a code under a
// key that this process made up, because a client sends it with each request.
type Htpasswd struct {
	users   map[string][]byte
	nobody  map[int][]byte // what nobody's password has, for each cost from the lowest to the highest of the users
	highest int
	key     []byte
	turns   chan struct{}                     // to compare
	compare func(hash, password []byte) error // of bcrypt; tests count what it costs

	mu    sync.Mutex
	right map[string][]byte
}

// ReadHtpasswd reads such a file. [ocm.ErrInvalid] names the line, but nothing of it; [ocm.ErrLimit] beyond the limits.
func ReadHtpasswd(r io.Reader) (*Htpasswd, error) {
	h := &Htpasswd{users: map[string][]byte{}, right: map[string][]byte{}, nobody: map[int][]byte{}, key: make([]byte, sha256.Size), turns: make(chan struct{}, maxComparisons), compare: bcrypt.CompareHashAndPassword}
	rand.Read(h.key) // never fails
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, maxUserBytes), maxUserBytes)
	lowest := MaxPasswordCost
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		cost, err := bcrypt.Cost([]byte(hash))
		switch {
		case !ok || name == "" || err != nil || !hashPattern.MatchString(hash):
			return nil, fmt.Errorf("line %d: expected a name, a colon and a bcrypt hash, as \"htpasswd -B\" writes it: %w", n, ocm.ErrInvalid)
		case cost > MaxPasswordCost:
			return nil, fmt.Errorf("line %d: a bcrypt hash of cost %d, accepted are %d: %w", n, cost, MaxPasswordCost, ocm.ErrLimit)
		case h.users[name] != nil:
			return nil, fmt.Errorf("line %d: a name that was there before: %w", n, ocm.ErrInvalid)
		case len(h.users) == MaxUsers:
			return nil, fmt.Errorf("more than %d users: %w", MaxUsers, ocm.ErrLimit)
		}
		h.users[name] = []byte(hash)
		lowest, h.highest = min(lowest, cost), max(h.highest, cost)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ocm.ErrInvalid)
	}
	if len(h.users) == 0 {
		return nil, fmt.Errorf("nobody is in it: %w", ocm.ErrInvalid)
	}
	for cost := lowest; cost <= h.highest; cost++ {
		hash, err := bcrypt.GenerateFromPassword([]byte(rand.Text()), cost)
		if err != nil {
			return nil, err
		}
		h.nobody[cost] = hash
	}
	return h, nil
}

// hashPattern is a bcrypt hash as a whole: what is longer could never be right.
var hashPattern = regexp.MustCompile(`^\$2[aby]?\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// Allowed implements [Users].
func (h *Htpasswd) Allowed(ctx context.Context, name, password string) bool {
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte(password)) // never fails
	code := mac.Sum(nil)
	h.mu.Lock()
	right := h.right[name]
	h.mu.Unlock()
	if hmac.Equal(right, code) {
		return true
	}
	hash, known := h.users[name]
	if !known {
		hash = h.nobody[h.highest]
	}
	select {
	case h.turns <- struct{}{}:
		defer func() { <-h.turns }()
	case <-ctx.Done():
		return false
	}
	given := []byte(password)[:min(len(password), maxPassword)]
	if h.compare(hash, given) != nil || !known || len(password) > maxPassword {
		h.delay(hash, given)
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.right[name] = code
	return true
}

// delay makes up for a hash that is cheaper than others. Each cost takes twice the time of the one below: all from its own on take,
// with the comparison that was, as long as the highest.
func (h *Htpasswd) delay(hash, given []byte) {
	cost, err := bcrypt.Cost(hash)
	if err != nil {
		return // all were looked at when they were read
	}
	for ; cost < h.highest; cost++ {
		_ = h.compare(h.nobody[cost], given)
	}
}
