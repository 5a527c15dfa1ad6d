// SPDX-License-Identifier: Apache-2.0

// Package nearest compares words that were typed with words that are known, for messages that ask
// "did you mean …?".
package nearest

// MaxLength is the longest word, in bytes, that is worth comparing.
const MaxLength = 64

// Distance counts the bytes to insert, delete or replace to make b of a. If one of them is longer than
// [MaxLength], it is the length of the longer one.
func Distance(a, b string) int {
	if len(a) > MaxLength || len(b) > MaxLength {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
