// Package registry keeps the repositories of a log in memory, as far as they are needed to
// judge the next files: [New], [Registry.Judge], [Registry.Roles]. It reads them from the
// derived state, and trusts that state only as far as the log's entries confirm it
// ([Checked]).
package registry
