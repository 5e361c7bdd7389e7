package witness

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/internal/rates"
	"github.com/tuflog/tuflog/witness/client"
)

// The page on limits has the witness's as they are.
func TestLimitsPage(t *testing.T) {
	l := DefaultLimits
	rate := func(r Rate) string { return fmt.Sprintf("%g/s, %g at once", r.PerSecond, r.Burst) }
	rows := []struct {
		what         string
		all, address any
		beyond       string
		field        string
	}{
		{"connections, or half of the files that may be open", l.Connections, l.ConnectionsPerAddress, "one more ends another, an idle one first: of its own address, or of the one that has the most", "Connections, ConnectionsPerAddress"},
		{"bytes of a header", maxHeader, "–", "431", "maxHeader"},
		{"time for a header", headerFor, "–", "the connection ends", "headerFor"},
		{"time for a request", bodyFor, "–", "408", "bodyFor"},
		{"time for an answer", answerFor, "–", "the connection ends", "answerFor"},
		{"time between requests", idleFor, "–", "the connection ends", "idleFor"},
		{"bytes of a body", client.MaxRequestSize, "–", "413", "client.MaxRequestSize"},
		{"bodies that have not come whole", l.Unread, l.UnreadPerAddress, "one more ends another, as with connections", "Unread, UnreadPerAddress"},
		{"requests being handled", l.Concurrent, l.inOneAddress(), "503", "Concurrent, perAddressPart"},
		{"requests", "–", rate(l.PerAddress), "429", "PerAddress"},
		{"checkpoints of a log that are cosigned, and as many of its latest one again", "–", rate(l.PerOrigin) + ", of any address", "429", "PerOrigin"},
		{"addresses remembered", rates.MaxAddresses, "–", "one that has asked for little is forgotten", "rates.MaxAddresses"},
	}
	var want, fields strings.Builder
	want.WriteString("| limit | all | one address | beyond it | in `witness.Limits` |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&want, "| %s | %v | %v | %s | `%s` |\n", r.what, r.all, r.address, r.beyond, r.field)
		fmt.Fprintf(&fields, ", %s,", r.field)
	}
	text, err := os.ReadFile("../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\n\n"+want.String()+"\n") {
		t.Errorf("docs/limits.md does not have this table:\n%s", want.String())
	}
	for i := range reflect.TypeFor[Limits]().NumField() {
		if name := reflect.TypeFor[Limits]().Field(i).Name; !strings.Contains(fields.String(), " "+name+",") {
			t.Errorf("%s is in no row of the table", name)
		}
	}
}
