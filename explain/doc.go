// Package explain says what a release of TUF metadata means: who could replace a file,
// what changed, and what is unlike all releases before. Begin with [Radius], which takes
// the metadata in force ([Repository]) and a target's path and says which keys an attacker
// needs to make a device accept another file there; with [Diff], which compares two
// metadata files of one role; or with [Predecessors], which is given the releases of a role
// in order and says how each is unlike all before. [Compare] says what a release changed
// about who can replace a file, [ImpactOf] the same for all files whose paths a pattern
// matches, and [Unused] which keys hold power that they never used.
//
// All results are data (Go types with JSON tags; the names of their fields and kinds do not
// change) and sentences for people. The package is pure: metadata in, sentences out, without
// clock, network or disk, so that a device can use it as well as an auditor. Its input may
// be hostile: every loop has a limit, and a result that a limit cut short says so.
//
// # The attacker of Radius
//
// The attacker holds some keys and answers all of a device's requests. The device holds the
// metadata in force and follows the TUF client workflow: it takes nothing older, a root only
// with the signatures of the root before, every other file only if a newer snapshot lists
// it, and that only if a newer timestamp lists it. So there are two kinds of way: enough keys
// of root, which can give all roles new keys; or enough keys of snapshot, of timestamp and
// of one role that a search for the path (TUF 5.6.7) visits up to the role that lists it
// today. A role after that one is never asked, nor is one after a terminating delegation.
// A role that could delegate the path anew could also list it itself, so such ways need no
// other keys. One key in two roles counts for both.
//
// The signatures of the metadata in force are not checked here: the caller has them from a
// place that did. Pure knowledge of old files is not enough for the attacker of this model,
// because the device takes nothing older. A device that does not have the versions in force
// yet can be shown another file of such a version, where the snapshot lists it by its version
// alone, as many do: that takes the role's keys only, and the result lists such ways apart.
package explain
