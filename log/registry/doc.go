// Package registry has the repositories of a log in memory, as far as they are needed to
// judge what comes next: [New], [Registry.Judge], [Registry.Roles]. It reads them from the
// derived state, and believes that only as far as the log's entries confirm it ([Checked]).
package registry
