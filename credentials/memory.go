// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"fmt"
	"strings"

	json "github.com/go-json-experiment/json"

	"ocm"
)

// MemoryConfig is the type, without version, of entries of the older tool that hold sets of credentials by name:
//
//	type: memory.credentials.config.ocm.software
//	repoName: default
//	credentials:
//	- credentialsName: mine
//	  credentials: {username: u, password: p}
//	- credentialsName: hers
//	  reference: {type: Credentials, properties: {username: u, password: p}}
//
// A consumer names such a set by {type: Memory, repoName: default, credentialsName: mine}.
const MemoryConfig = "memory.credentials.config.ocm.software"

// memoryRepository is the type of references to these sets.
const memoryRepository = "Memory"

// isMemory recognises entries of [MemoryConfig].
func isMemory(typ string) bool {
	return strings.HasPrefix(typ, MemoryConfig) && baseType(typ) == MemoryConfig
}

type memoryName struct {
	Repository string `json:"repoName"`
	Name       string `json:"credentialsName"`
}

// memory returns the set of a name, which may get its content later.
func (s *Store) memory(name memoryName) *bundle {
	if s.sets[name] == nil {
		s.sets[name] = &bundle{}
	}
	return s.sets[name]
}

// addSets reads an entry of [MemoryConfig]. A later set replaces one of the same name.
func (s *Store) addSets(e ocm.Spec) error {
	var v struct {
		Repository  string `json:"repoName"`
		Credentials []struct {
			Name       string                 `json:"credentialsName"`
			Properties map[string]ocm.RawJSON `json:"credentials"`
			Reference  ocm.RawJSON            `json:"reference"`
		} `json:"credentials"`
	}
	if err := decode(e.Raw, &v); err != nil {
		return err
	}
	for i, c := range v.Credentials {
		if c.Name == "" {
			return fmt.Errorf("credentials[%d]: credentialsName is missing: %w", i, ocm.ErrInvalid)
		}
		if len(s.sets) == MaxConsumers {
			return fmt.Errorf("more than %d sets of credentials: %w", MaxConsumers, ocm.ErrLimit)
		}
		set := s.memory(memoryName{v.Repository, c.Name})
		set.steps = nil
		properties, err := texts("credentials", c.Properties)
		if err == nil {
			err = s.confinedSecret(properties)
		}
		if err != nil {
			return fmt.Errorf("credentials[%d]: %w", i, err)
		}
		set.steps = append(set.steps, step{properties: properties})
		if c.Reference == nil || c.Reference.Kind() == 'n' {
			continue
		}
		if err := set.add(s, c.Reference); err != nil {
			return fmt.Errorf("credentials[%d]: reference: %w", i, err)
		}
	}
	return nil
}

// addMemory adds the reference to a set. That there is one is checked when all entries were read.
func (b *bundle) addMemory(s *Store, members map[string]ocm.RawJSON) error {
	raw, err := json.Marshal(members)
	if err != nil {
		return fmt.Errorf("%s: %w", memoryRepository, ocm.ErrInvalid)
	}
	var name memoryName
	if err := decode(raw, &name); err != nil {
		return fmt.Errorf("%s: %w", memoryRepository, err)
	}
	if name.Name == "" {
		return fmt.Errorf("%s: credentialsName is missing: %w", memoryRepository, ocm.ErrInvalid)
	}
	b.steps = append(b.steps, step{set: s.memory(name)})
	return nil
}

// checkSets finds references to sets that nobody defined.
func (s *Store) checkSets() error {
	for name, set := range s.sets {
		if len(set.steps) == 0 {
			return fmt.Errorf("%s: repository %q has no credentials %q: %w", memoryRepository, name.Repository, name.Name, ocm.ErrInvalid)
		}
	}
	return nil
}
