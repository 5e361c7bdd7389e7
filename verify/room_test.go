package verify

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

// What is kept of accepted releases and of a snapshot is measured before it is trusted:
// never less than it takes when it is printed.
func TestPrintedSizes(t *testing.T) {
	if maxListedSize+maxAcceptedSize+maxWitnessTimes*90+2*tuf.MaxKeys*70+8192 > MaxStateSize {
		t.Error("the parts of a state do not fit into it")
	}
	empty := State{Repository: tuf.Sum(nil), TrustedRoot: tuf.Sum(nil), Root: Seen{Version: 1, Payload: tuf.Sum(nil)}}
	size := func(s State) int {
		t.Helper()
		b, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
	for _, name := range []string{"targets", "a\"b\\c", "\x01\n\x7f", "\u2028\u2029", "ö/<&>\U0001f600", "\ufffd"} {
		if b, err := json.Marshal(name); err != nil || printedSize(name) < len(b)-5*3 { // it escapes <, & and >
			t.Errorf("%q: %d bytes, printed as %s, %v", name, printedSize(name), b, err)
		}
		for signers := range 3 {
			a := AcceptedRelease{Delegator: name, Version: tuf.MaxVersion, Payload: tuf.Sum(nil), Signers: make([]tuf.Digest, signers+1)}
			for i := range a.Signers {
				a.Signers[i] = tuf.Sum([]byte{byte(i)})
			}
			s := empty
			s.Accepted = map[string][]AcceptedRelease{name: {a}}
			if took, said := size(s)-size(empty), acceptedSize(s.Accepted); took > said+len(`"accepted":{},`) {
				t.Errorf("%q by %d keys takes %d bytes, and is taken for %d", name, signers+1, took, said)
			}
		}
		s := empty
		s.Snapshot = Seen{Version: 1, Payload: tuf.Sum(nil), Listed: map[string]int64{"x": 1}}
		without := size(s)
		s.Snapshot.Listed[name] = tuf.MaxVersion
		if took := size(s) - without; took > printedSize(name)+20 {
			t.Errorf("%q in a list takes %d bytes", name, took)
		}
	}
}

// When there is no room for another release, those go of which the snapshot lists
// another version. While there are none, another is refused and nothing forgotten.
func TestRoomForAcceptedReleases(t *testing.T) {
	signed := func(meta string) *tuf.Metadata {
		m, err := tuf.ParseJSON([]byte(`{"signatures":[],"signed":{"_type":"snapshot","expires":"2030-01-01T00:00:00Z","meta":{` + meta + `},"spec_version":"1.0","version":1}}`))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	c := &Client{snapshot: signed(`"old.json":{"version":2},"targets.json":{"version":1}`)}
	c.state.Accepted = map[string][]AcceptedRelease{"old": {{Version: 1, Payload: tuf.Sum(nil), Signers: []tuf.Digest{tuf.Sum(nil)}}}}
	old := acceptedSize(c.state.Accepted)
	c.acceptedSize = maxAcceptedSize
	file := &tuf.Metadata{Version: 1, PayloadDigest: tuf.Sum([]byte("new"))}
	if err := c.remember("targets", "", file, []tuf.Digest{tuf.Sum(nil)}); err != nil {
		t.Fatal(err) // what was counted too much is counted anew
	}
	if got := fmt.Sprint(len(c.state.Accepted["old"]), len(c.state.Accepted["targets"])); got != "0 1" || c.acceptedSize != acceptedSize(c.state.Accepted) || c.acceptedSize > 2*old {
		t.Errorf("%s releases, %d bytes", got, c.acceptedSize)
	}
	long := make([]byte, maxAcceptedSize)
	for i := range long {
		long[i] = 'x'
	}
	before := c.acceptedSize
	if err := c.remember(string(long), "targets", file, []tuf.Digest{tuf.Sum(nil)}); err == nil || c.acceptedSize != before || len(c.state.Accepted) != 1 {
		t.Errorf("%v; %d roles, %d bytes", err, len(c.state.Accepted), c.acceptedSize)
	}
}
