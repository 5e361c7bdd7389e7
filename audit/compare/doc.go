// Package compare holds what repositories serve against what a log has. Begin with
// Subject.Compare, which reads the metadata that several vantages serve and says of each file
// whether it is logged, and with Subject.File, for a single file.
//
// A vantage is a place from which the repository is seen: a mirror near somebody, a copy in
// a folder, what a device keeps. A file that is not logged, that is older than what is
// logged, or that another vantage serves otherwise, is what a targeted attack looks like.
// What is compared is the payload: who signs a file again does not change it.
//
// What is logged comes from a replay (package audit/history); the package reads vantages
// through Source and trusts nothing that they serve.
package compare
