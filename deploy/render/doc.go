// SPDX-License-Identifier: Apache-2.0

// Package render makes Kubernetes objects of the content of a resource: of manifests, Helm charts and Kustomize directories.
//
// All content is taken for hostile. Archives are unpacked in memory and YAML is read here, within the constants of the package. The
// templates of a chart, though, are programs: they loop, call themselves and ask for any amount of memory, and some of what they can do,
// such as writing an object that contains itself, ends the process that it runs in. So do kustomizations. They are therefore
// rendered by a process of their own, a copy of this program that [Main] serves: it has no environment, opens neither files nor sockets,
// and is ended when it takes too long. What a chart looks up in the cluster, this process asks the API server for.
package render
