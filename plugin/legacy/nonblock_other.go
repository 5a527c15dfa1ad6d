// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package legacy

// nonblock has no meaning here.
const nonblock = 0
