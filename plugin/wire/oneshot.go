// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"

	json "github.com/go-json-experiment/json"

	"ocm"
)

// OneShotArgument is the first argument of a one-shot plugin that is asked something; the second one is the path of the question, such as
// [CredentialsPath]. The question is on its standard input, on one line without white space between the tokens and with the members in
// the order of the types of this package, so that a shell script can read it. The answer is what it prints, or {"error": {"kind": …,
// "message": …}}. It ends with status 0 in both cases.
const OneShotArgument = "call"

// ReadAnswer reads what a one-shot plugin has printed. Its errors keep their meaning; [ocm.ErrInvalid] for what is no answer, without
// repeating any of it.
func ReadAnswer(raw []byte, answer any) error {
	var f failed
	if json.Unmarshal(raw, &f) == nil && f.Error != nil {
		return f.Error.Err()
	}
	if json.Unmarshal(raw, answer) != nil {
		return fmt.Errorf("what it printed is not one JSON object with an answer: %w", ocm.ErrInvalid)
	}
	return nil
}
