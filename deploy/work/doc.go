// SPDX-License-Identifier: Apache-2.0

// Package work does slow things beside reconciles: each once for all who ask for it, a bounded number at a time, with results
// that are kept within a number of bytes. Who asks does not wait; it is woken when there is an answer.
package work
