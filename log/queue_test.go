package log

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

// waiting is a submission of a source.
func waiting(from source) *submission {
	return &submission{from: from, decided: make(chan struct{}), release: func() {}}
}

func TestTurns(t *testing.T) {
	id := tuf.Sum([]byte("repository"))
	a, b := source{key: "192.0.2.0/24"}, source{key: "198.51.100.0/24"}
	own := source{key: "repository", holder: true, tokens: &holding{[]Token{{Repository: id}}}}
	other := source{key: "other", holder: true, tokens: &holding{[]Token{{Repository: tuf.Sum([]byte("other"))}}}}
	names := map[string]string{a.key: "a", b.key: "b", own.key: "own", other.key: "other", "": "local"}
	for _, tt := range []struct {
		what    string
		add     []source
		poor    []source
		decided bool // each in its first turn
		want    string
	}{
		{"one source in its order", []source{a, a, a}, nil, true, "a0 a1 a2"},
		{"others do not wait for a crowd", []source{a, a, a, a, b}, nil, true, "a0 b4 a1 a2 a3"},
		{"sources in turn", []source{a, a, b, b, source{}}, nil, true, "a0 b2 local4 a1 b3"},
		{"the own token first", []source{a, b, a, own, own}, nil, true, "own3 own4 a0 b1 a2"},
		{"another's token is as good as none", []source{a, a, other}, nil, true, "a0 other2 a1"},
		{"what takes many turns", []source{a, b}, nil, false, "a0 b1 a0 b1 a0"},
		{"who has used up his time", []source{a, a, b, b}, []source{a}, true, "b2 b3"},
		{"even the own token", []source{a, own}, []source{own}, true, "a0"},
		{"all have", []source{a, b}, []source{a, b}, true, ""},
	} {
		q := &queue{id: id}
		var all []*submission
		for _, from := range tt.add {
			s := waiting(from)
			all = append(all, s)
			q.add(s)
		}
		wait := func(from source) time.Duration {
			if slices.Contains(tt.poor, from) {
				return time.Duration(len(from.key)) * time.Second
			}
			return 0
		}
		var got []string
		decided := 0 // submissions
		for len(got) < 5 && len(q.lines) > 0 {
			after, ok := q.next(wait)
			if !ok {
				if want := wait(tt.poor[0]); after != want {
					t.Errorf("%s: the next turn is in %v, want %v", tt.what, after, want)
				}
				break
			}
			s := q.served.submissions[0]
			got = append(got, fmt.Sprint(names[s.from.key], slices.Index(all, s)))
			if tt.decided {
				close(s.decided)
			}
			decided += q.end()
		}
		if line := strings.Join(got, " "); line != tt.want || tt.decided && decided != len(got) {
			t.Errorf("%s: %s, %d decided; want %s", tt.what, line, decided, tt.want)
		}
	}
}

// Judging time that is used up comes back, to each source its own.
func TestJudgingTime(t *testing.T) {
	s, now := quotas(HTTPConfig{}, Limits{Anonymous: Quota{Judging: 0.5, JudgingBurst: 4}, Holder: Quota{Judging: 2, JudgingBurst: 4}}, "token")
	outsider, vendor := s.of(request("192.0.2.1:1", "", "")), s.of(request("192.0.2.1:1", "", "token"))
	local := s.of(request("127.0.0.1:1", "", ""))
	wait := func(from source, want time.Duration) {
		t.Helper()
		if got := s.wait(from).Round(time.Millisecond); got != want {
			t.Errorf("%s waits for %v, want %v", from.key, got, want)
		}
	}
	for _, from := range []source{outsider, vendor, local} {
		wait(from, 0)
		s.spent(from, 4*time.Second)
		wait(from, 0)
		s.spent(from, 10*time.Second)
	}
	wait(outsider, 20*time.Second)
	wait(vendor, 5*time.Second)
	wait(local, 0)
	*now = now.Add(15 * time.Second)
	wait(outsider, 5*time.Second)
	wait(vendor, 0)
	*now = now.Add(time.Hour)
	wait(outsider, 0)
	s.spent(outsider, 5*time.Second)
	wait(outsider, 2*time.Second) // there is never more than at once
}

// What has paid waits for no judging time, nor behind what does.
func TestPaidTurns(t *testing.T) {
	q := &queue{}
	broke := func(source) time.Duration { return time.Hour }
	q.add(&submission{from: source{key: "a"}})
	if after, ok := q.next(broke); ok || after != time.Hour {
		t.Errorf("a turn without judging time: %v, %v", after, ok)
	}
	q.add(&submission{from: source{key: "a"}, paid: true})
	if _, ok := q.next(broke); !ok {
		t.Error("what has paid waits")
	}
}
