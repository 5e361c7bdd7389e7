// Package export writes what an auditor remembers of a log, its history and the findings,
// as tables for other programs. [SQLite] writes one database; [Folder] a folder of CSV or
// JSON Lines files, one for each table. [Tables] is the data dictionary, which
// docs/data.md prints and each export contains as the table "columns".
//
// Every value is a text, an integer, a boolean or missing: digests are lower-case hex,
// times are UTC in ISO 8601 to the second, and nothing is nested. Rows of a table are in a
// fixed order, so that two exports of one state are equal.
package export
