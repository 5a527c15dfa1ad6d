// SPDX-License-Identifier: Apache-2.0

//go:build race

package plugintest

// Memory is the limit of plugins that are made of a test binary: the race detector takes as much as it wants.
const Memory = -1
