// SPDX-License-Identifier: Apache-2.0

// Package apply brings objects into a cluster, and takes away those that are no longer wanted.
//
// The objects come from content that anybody may have written, and are applied as an identity whose rights say what of them may be: the
// server decides, not this package. What is applied together is an ApplySet (KEP-3659): members carry a label of their set, an object of
// another set is never touched, and what is no longer among the objects is found by that label, and deleted.
//
// A caller asks first whether everything would be accepted ([Cluster.Check]), so that nothing is half deployed, then applies
// ([Cluster.Apply]), and looks afterwards at how the members are ([Cluster.Health]) and whether somebody has changed them
// ([Cluster.Drift]). Nothing of a Secret but the names of its keys is ever in a text that this package makes.
package apply
