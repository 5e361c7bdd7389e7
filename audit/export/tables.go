package export

import "context"

// Type is the type of a column.
type Type string

// The types of columns.
const (
	Text    Type = "text"    // UTF-8
	Hex     Type = "hex"     // text: a digest, 64 lower-case hex digits, or 128 where it says so
	Time    Type = "time"    // text: such as 2026-11-30T04:00:00Z
	Integer Type = "integer" // at most 2^63-1
	Boolean Type = "boolean" // 0 or 1 in SQLite, true or false elsewhere
)

// Column is a column of a table.
type Column struct {
	Name string
	Type Type
	Null bool   // it may be missing: NULL, null in JSON, empty in CSV
	What string // in words
}

// Table is a table of an export.
type Table struct {
	Name    string
	What    string // what a row is
	Columns []Column
	rows    func(ctx context.Context, from *source, emit func(...any) error) error
}

var (
	repository = Column{"repository", Hex, false, "id of the repository: SHA-256 of its first root's payload"}
	listing    = Column{"role", Text, false, "role whose releases list it"}
	first      = Column{"first_leaf", Integer, false, "first leaf that lists it"}
	last       = Column{"last_leaf", Integer, false, "last leaf that lists it: all releases of the role between the two do"}
	open       = Column{"in_force", Boolean, false, "the newest release of the role lists it"}
	evidence   = Column{"evidence", Boolean, false, "the leaf is evidence, not a release"}
)

// Tables are the tables of an export, in the order in which they are written.
var Tables = []Table{
	{"log", "the log, at the newest checkpoint that was verified; no row if none was", []Column{
		{"origin", Text, false, "the log's name"},
		{"size", Integer, false, "entries in the tree of the checkpoint"},
		{"root", Hex, false, "root hash of that tree"},
		{"judged", Integer, false, "entries that were judged: the other tables are about these"},
		{"checkpoint", Text, false, "the signed note"},
	}, logRow},
	{"checkpoints", "a tree that the log has signed, with the signatures that the auditor has seen", []Column{
		{"size", Integer, false, "entries in the tree"},
		{"root", Hex, false, "root hash of the tree"},
		{"quorum", Boolean, false, "the cosignatures satisfy the policy"},
		{"note", Text, false, "the signed note"},
	}, checkpointRows},
	{"cosignatures", "a witness that cosigned such a tree", []Column{
		{"size", Integer, false, "entries in the tree"},
		{"root", Hex, false, "root hash of the tree"},
		{"witness", Text, false, "name of the witness in the policy"},
		{"time", Time, true, "when it cosigned, by its clock; missing: the cosignature carries no time"},
	}, cosignatureRows},
	{"repositories", "a repository with leaves in the log", []Column{
		repository,
		{"genesis_leaf", Integer, true, "leaf of its first root; missing: no leaf of it is right"},
	}, repositoryRows},
	{"leaves", "an entry of the log, with the auditor's verdict", []Column{
		{"leaf", Integer, false, "index in the log, from 0"},
		{"leaf_hash", Hex, false, "RFC 6962 leaf hash of the entry"},
		{"verdict", Text, false, "right, wrong, not-judged, unknown-kind, or end: the log's last entry, which is not a leaf"},
		{"kind", Text, true, "release or evidence; missing, with all that follows: the entry is not a leaf"},
		{"repository", Hex, true, "id of the repository"},
		{"role", Text, true, "root, targets, snapshot, timestamp, or the name of a delegated role"},
		{"version", Integer, true, "of the metadata"},
		{"payload", Hex, true, "SHA-256 of the signed bytes"},
		{"metadata", Hex, true, "SHA-256 of the metadata file"},
		{"size", Integer, true, "of that file, in bytes"},
		{"snapshot", Hex, true, "SHA-256 of the snapshot beside it; missing: none"},
		{"listed", Text, true, "how that snapshot lists it: hash or version"},
		{"encoding", Text, true, "json or pigweed"},
		{"contradicts", Integer, true, "of evidence: the release with the same role and version"},
		{"expires", Time, true, "when the metadata expires; missing: not known"},
	}, leafRows},
	{"files", "a target file, with successive releases of a role that list it", []Column{
		repository, listing,
		{"path", Text, false, "target path"},
		{"length", Integer, true, "in bytes; missing: not listed"},
		{"sha256", Hex, true, "of the file; missing: not listed"},
		{"sha512", Hex, true, "of the file, 128 hex digits; missing: not listed"},
		first, last, open, evidence,
	}, fileRows},
	{"keys", "a key, with successive releases that list it", []Column{
		repository, listing,
		{"key_id", Text, false, "id under which it is listed"},
		{"identity", Hex, true, "of the key itself, under whatever id; missing: of an unknown type"},
		first, last, open, evidence,
		{"more_roles", Integer, false, "roles that it may sign, beside those in key_roles"},
	}, keyRows},
	{"key_roles", "a role that such a key may sign", []Column{
		repository, listing,
		{"key_id", Text, false, "id of the key"},
		first,
		{"may_sign", Text, false, "name of the role"},
		{"threshold", Integer, false, "how many keys the role takes"},
	}, keyRoleRows},
	{"findings", "a finding, of now or of before", []Column{
		{"finding", Hex, false, "what tells it apart: its id"},
		{"kind", Text, false, "as in docs/findings.md"},
		{"class", Text, false, "tampering, equivocation, unexpected, outage or hygiene"},
		{"repository", Hex, true, "that it is about"},
		{"leaf", Integer, true, "that it is about"},
		{"sentence", Text, false, "what was found"},
		{"first_seen", Time, false, "when it was found"},
		{"last_seen", Time, false, "when it was there last"},
		{"gone", Time, true, "since when it is not there any more; missing: it is there"},
		{"acknowledged", Time, true, "when somebody acknowledged it"},
		{"reason", Text, true, "for that"},
	}, findingRows},
	{"columns", "a column of this export", []Column{
		{"table_name", Text, false, "table"},
		{"column_name", Text, false, "column of it"},
		{"type", Text, false, "text, hex, time, integer or boolean"},
		{"nullable", Boolean, false, "it may be missing"},
		{"description", Text, false, "what it is"},
	}, nil},
}

func init() {
	// It is about all tables, itself as well.
	Tables[len(Tables)-1].rows = func(_ context.Context, _ *source, emit func(...any) error) error {
		for _, t := range Tables {
			for _, c := range t.Columns {
				if err := emit(t.Name, c.Name, string(c.Type), c.Null, c.What); err != nil {
					return err
				}
			}
		}
		return nil
	}
}
