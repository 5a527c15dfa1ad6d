// SPDX-License-Identifier: Apache-2.0

//go:build !race

package plugintest

// Memory is the limit of plugins that are made of a test binary: the default.
const Memory = 0
