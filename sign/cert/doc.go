// SPDX-License-Identifier: Apache-2.0

// Package cert is what all signature algorithms with X.509-style keys have in common: how keys and
// certificates are configured and read, whose certificates are trusted and at which time they are
// judged, and how a signature and its certificates are written into one value.
package cert
