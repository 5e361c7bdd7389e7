package witness

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

const (
	fooKey = "tlog.example/foo"
	barKey = "tlog.example/bar"
)

func listKey(t testing.TB, name string) string {
	t.Helper()
	s, err := proofs.GenerateSigner(nil, name, proofs.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return s.Key().String()
}

func TestCheckList(t *testing.T) {
	foo, bar := listKey(t, fooKey), listKey(t, barKey)
	good := fmt.Sprintf("# a list\nlogs/v0\n\nvkey %s\norigin none\nbastion none\nqpd 864\ncontact a b\n\nvkey %s\nqpd 24\ncontact c\n", foo, bar)
	logs, faults := CheckList([]byte(good))
	if len(faults) != 0 || len(logs) != 2 || logs[0].Line != 4 || logs[0].QPDLine != 7 || logs[1].PerDay != 24 || logs[1].Contact != "c" {
		t.Fatalf("%+v, %v", logs, faults)
	}
	for name, tt := range map[string]struct{ list, want string }{
		"empty":                    {"", `1: no line "logs/v0"`},
		"no header":                {"vkey x\n", `1: "vkey x" is not "logs/v0"`},
		"bad key":                  {strings.Replace(good, foo, foo[:len(foo)-1], 1), "4: "},
		"two faults":               {strings.NewReplacer("qpd 864", "qpd x", "qpd 24", "qpd 0").Replace(good), "7: qpd \"x\" is not a number of queries; 11: qpd \"0\" is not a positive number of queries"},
		"a second name":            {good + "vkey " + listKey(t, fooKey) + "\nqpd 1\ncontact x\n", "13: a second log named \"tlog.example/foo\"; the first is at line 4"},
		"a second key":             {good + "vkey " + foo + "\norigin other\nqpd 1\ncontact x\n", "13: a second log with the key"},
		"unknown word":             {strings.Replace(good, "bastion none", "color red", 1), `6: "color" where a line of origin, bastion or qpd should follow`},
		"no contact":               {strings.Replace(good, "contact a b\n", "", 1), "9: a log begins where a contact line should follow"},
		"an end too early":         {strings.TrimSuffix(good, "contact c\n"), "11: the list ends where a contact line should follow"},
		"origin after qpd":         {strings.Replace(good, "qpd 24\n", "qpd 24\norigin x\n", 1), `12: "origin" where a contact line should follow`},
		"two origins":              {strings.Replace(good, "origin none\n", "origin none\norigin x\n", 1), `6: "origin" where`},
		"a key that does not sign": {strings.Replace(good, foo, cosigner(t), 1), "which logs do not sign with"},
	} {
		_, faults := CheckList([]byte(tt.list))
		var all []string
		for _, f := range faults {
			all = append(all, fmt.Sprintf("%d: %s", f.Line, f.What))
		}
		if got := strings.Join(all, "; "); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func cosigner(t testing.TB) string {
	t.Helper()
	s, err := proofs.GenerateSigner(nil, "w.example", proofs.CosignatureV1)
	if err != nil {
		t.Fatal(err)
	}
	return s.Key().String()
}

// FuzzCheckList holds it against ParseList, which witnesses use: a list without a fault is
// read by it, and has the same logs.
func FuzzCheckList(f *testing.F) {
	foo, bar := listKey(f, fooKey), listKey(f, barKey)
	f.Add([]byte("logs/v0\nvkey " + foo + "\norigin none\nqpd 864\ncontact a b\nvkey " + bar + "\nqpd 24\nbastion none\ncontact c\n"))
	f.Add([]byte("logs/v0\nvkey " + foo + "\norigin x\nbastion b\nqpd 1\ncontact a"))
	f.Add([]byte("logs/v0\n"))
	f.Fuzz(func(t *testing.T, list []byte) {
		logs, faults := CheckList(list)
		if len(faults) > 0 {
			return
		}
		read, err := ParseList(list, func(vkey string, err error) { t.Fatalf("%s is passed over: %v", vkey, err) })
		if err != nil || len(read) != len(logs) {
			t.Fatalf("%d logs, ParseList has %d: %v", len(logs), len(read), err)
		}
		for i, l := range logs {
			if l.NewLog != read[i] {
				t.Fatalf("log %d is %+v, ParseList has %+v", i, l.NewLog, read[i])
			}
		}
	})
}
