// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"fmt"
	"maps"
	"strings"

	"ocm"
)

// parseVaultLogin reads the answer to a login.
func parseVaultLogin(raw []byte) (string, error) {
	var answer struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	if err := decode(raw, &answer); err != nil {
		return "", fmt.Errorf("answer to the login: %w", err)
	}
	if answer.Auth.Token == "" {
		return "", fmt.Errorf("answer to the login has no token: %w", ocm.ErrInvalid)
	}
	return answer.Auth.Token, nil
}

// parseVaultList reads a listing. Folders in it are left out.
func parseVaultList(raw []byte) ([]string, error) {
	var answer struct {
		Data struct {
			Keys []string `json:"keys"`
		} `json:"data"`
	}
	if err := decode(raw, &answer); err != nil {
		return nil, fmt.Errorf("list of secrets: %w", err)
	}
	if answer.Data.Keys == nil {
		return nil, fmt.Errorf("the answer is no list of secrets, is the engine of version 2 (kv-v2)? %w", ocm.ErrInvalid)
	}
	if len(answer.Data.Keys) > MaxVaultSecrets {
		return nil, fmt.Errorf("more than %d secrets in one folder: %w", MaxVaultSecrets, ocm.ErrLimit)
	}
	var list []string
	for _, key := range answer.Data.Keys {
		if strings.HasSuffix(key, "/") {
			continue
		}
		if err := checkVaultPath(key); err != nil {
			return nil, fmt.Errorf("list of secrets: %w", err)
		}
		list = append(list, key)
	}
	return list, nil
}

// parseVaultSecret reads a secret with its metadata. What is wrong with one secret must not keep others from being
// used: it is told to whom the secret is for.
func parseVaultSecret(raw []byte) (*vaultSecret, error) {
	var answer struct {
		Data struct {
			Data     map[string]ocm.RawJSON `json:"data"`
			Metadata struct {
				Custom map[string]ocm.RawJSON `json:"custom_metadata"`
			} `json:"metadata"`
		} `json:"data"`
	}
	if err := decode(raw, &answer); err != nil {
		return nil, fmt.Errorf("unexpected answer, is the engine of version 2 (kv-v2)? %w", err)
	}
	if answer.Data.Data == nil {
		return nil, fmt.Errorf("the answer has no data, is the engine of version 2 (kv-v2)? %w", ocm.ErrInvalid)
	}
	s := &vaultSecret{}
	if s.values, s.unusable = texts("value", answer.Data.Data); s.unusable != nil {
		s.values = nil
	}
	custom, err := texts("custom_metadata", answer.Data.Metadata.Custom)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(custom["secrets"], ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if err := checkVaultPath(name); err != nil {
			return nil, fmt.Errorf("custom_metadata: secrets: %w", err)
		}
		if s.listed = append(s.listed, name); len(s.listed) > MaxVaultSecrets {
			return nil, fmt.Errorf("custom_metadata: secrets: more than %d: %w", MaxVaultSecrets, ocm.ErrLimit)
		}
	}
	s.id, err = vaultIdentity(custom)
	return s, err
}

// vaultIdentity is whom a secret is for, by its metadata; nil: nobody in particular.
func vaultIdentity(custom ocm.Secret) (ocm.Identity, error) {
	if text := custom["consumerId"]; text != "" {
		var members map[string]ocm.RawJSON
		if err := decode([]byte(text), &members); err != nil {
			return nil, fmt.Errorf("custom_metadata: consumerId: %w", err)
		}
		id, err := readIdentity(members)
		if err != nil {
			return nil, fmt.Errorf("custom_metadata: consumerId: %w", err)
		}
		return id, nil
	}
	if custom[attrType] == "" {
		return nil, nil
	}
	id := ocm.Identity(maps.Clone(custom))
	delete(id, "secrets")
	return normal(id), nil
}
