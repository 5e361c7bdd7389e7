// Package admit has the rules of admission to a log. Begin with [JudgeGenesis], for the
// first root of a repository, and with [Repository.Judge], for every other file of it.
//
// The judgement is a function of the log's entries before it and of the files that they
// name: the log asks before it appends, an auditor asks again for every leaf, and both come
// to the same verdict. A [Repository] is made of the leaves of one repository
// ([NewRepository], [Repository.Apply]); it reads their files when it needs them and caches
// parts of them. The cache never changes a verdict.
//
// A file that is not admitted is a [Refused] with a code (codes.go). Every other error
// means that a file could not be read, and that there is no verdict.
package admit
