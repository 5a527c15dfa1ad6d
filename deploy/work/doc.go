// SPDX-License-Identifier: Apache-2.0

// Package work does slow things beside reconciles: each once for all who ask for it, a bounded number at a time, with results
// that are kept within a number of bytes. Who asks does not wait; it is woken when there is an answer.
//
// An answer that somebody was woken for is owed to them: they get it once, however old it is by then, and whatever else is to be kept.
// Otherwise somebody who is slow to come back would have to ask for ever. While more is owed than may be kept nothing new begins, so
// that memory stays bounded; what nobody fetches is owed for [ClaimTime] only.
package work
