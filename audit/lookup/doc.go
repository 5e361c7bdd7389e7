// Package lookup finds the releases that list a file, and says whose they are. Begin with
// New, and with Lookup.Find, which asks what an auditor remembers of a log that was judged to
// its end and is complete; or with Lookup.Add, which takes what the index of a log says and
// checks it, and can only be right, not complete.
//
// Lookup.Keys finds where a key is listed, and Lookup.Files what the newest releases of a
// vendor list.
package lookup
