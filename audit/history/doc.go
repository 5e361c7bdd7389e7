// Package history tells one repository's releases in the order of the log. Begin with
// History.Rows, which says of each leaf who signed it, what it changed and how it is unlike
// all before it, and with History.InForce, which returns the metadata that was in force when
// the log had a number of entries.
//
// A History is made of leaves that were judged to be right (admit.Repository.Records, after
// a replay) and reads the files that they name; who signed what follows from the rules of
// admission again. The words are those of package explain.
package history
