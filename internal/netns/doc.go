// SPDX-License-Identifier: Apache-2.0

// Package netns makes worlds: places on this machine from which no other can be reached. A world has a network, mounts, processes,
// a host name and a folder /run of its own, so neither an address, nor a socket in the file system, nor a signal leads out of
// it. Files are shared with the machine, but for folders that are hidden. When a world is closed, or whoever made it dies in
// whatever way, the system ends every process in it and takes its mounts and links away.
//
// Root makes worlds that can have real nodes in them. For others the world lies in a user namespace, if the system lets them
// make one: they are root in it, over their own files.
//
// Worlds need Linux, and bash, mount, nsenter, setpriv and ip (Debian: util-linux, iproute2).
package netns
