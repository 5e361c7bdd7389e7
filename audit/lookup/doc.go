// Package lookup finds the releases that list a file, and says whose they are. Begin with
// New, and with Lookup.Observe during a replay and Lookup.Finish after it, which give a
// complete answer; or with Lookup.Add, which takes what the index of a log says and checks
// it, and can only be right, not complete.
package lookup
