package intake

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/tuf"
)

// waiting is a submission of a source.
func waiting(from quota.Source) *Submission {
	return &Submission{From: from, Decided: make(chan struct{}), Release: func() {}}
}

func TestTurns(t *testing.T) {
	id := tuf.Sum([]byte("repository"))
	a, b := quota.Source{Key: "192.0.2.0/24"}, quota.Source{Key: "198.51.100.0/24"}
	own := quota.Source{Key: "repository", Holder: true, Tokens: &quota.Holding{List: []log.Token{{Repository: id}}}}
	other := quota.Source{Key: "other", Holder: true, Tokens: &quota.Holding{List: []log.Token{{Repository: tuf.Sum([]byte("other"))}}}}
	names := map[string]string{a.Key: "a", b.Key: "b", own.Key: "own", other.Key: "other", "": "local"}
	for _, tt := range []struct {
		what    string
		add     []quota.Source
		poor    []quota.Source
		decided bool // each in its first turn
		want    string
	}{
		{"one source in its order", []quota.Source{a, a, a}, nil, true, "a0 a1 a2"},
		{"others do not wait for a crowd", []quota.Source{a, a, a, a, b}, nil, true, "a0 b4 a1 a2 a3"},
		{"sources in turn", []quota.Source{a, a, b, b, quota.Source{}}, nil, true, "a0 b2 local4 a1 b3"},
		{"the own token first", []quota.Source{a, b, a, own, own}, nil, true, "own3 own4 a0 b1 a2"},
		{"another's token is as good as none", []quota.Source{a, a, other}, nil, true, "a0 other2 a1"},
		{"what takes many turns", []quota.Source{a, b}, nil, false, "a0 b1 a0 b1 a0"},
		{"who has used up his time", []quota.Source{a, a, b, b}, []quota.Source{a}, true, "b2 b3"},
		{"even the own token", []quota.Source{a, own}, []quota.Source{own}, true, "a0"},
		{"all have", []quota.Source{a, b}, []quota.Source{a, b}, true, ""},
	} {
		q := &queue{id: id}
		var all []*Submission
		for _, from := range tt.add {
			s := waiting(from)
			all = append(all, s)
			q.add(s)
		}
		wait := func(from quota.Source) time.Duration {
			if slices.Contains(tt.poor, from) {
				return time.Duration(len(from.Key)) * time.Second
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
			got = append(got, fmt.Sprint(names[s.From.Key], slices.Index(all, s)))
			if tt.decided {
				close(s.Decided)
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
	s, now := quotas(quota.Config{}, quota.Limits{Anonymous: quota.Quota{Judging: 0.5, JudgingBurst: 4}, Holder: quota.Quota{Judging: 2, JudgingBurst: 4}}, "token")
	outsider, vendor := s.Of(request("192.0.2.1:1", "", "")), s.Of(request("192.0.2.1:1", "", "token"))
	local := s.Of(request("127.0.0.1:1", "", ""))
	wait := func(from quota.Source, want time.Duration) {
		t.Helper()
		if got := s.Wait(from).Round(time.Millisecond); got != want {
			t.Errorf("%s waits for %v, want %v", from.Key, got, want)
		}
	}
	for _, from := range []quota.Source{outsider, vendor, local} {
		wait(from, 0)
		s.Spent(from, 4*time.Second)
		wait(from, 0)
		s.Spent(from, 10*time.Second)
	}
	wait(outsider, 20*time.Second)
	wait(vendor, 5*time.Second)
	wait(local, 0)
	*now = now.Add(15 * time.Second)
	wait(outsider, 5*time.Second)
	wait(vendor, 0)
	*now = now.Add(time.Hour)
	wait(outsider, 0)
	s.Spent(outsider, 5*time.Second)
	wait(outsider, 2*time.Second) // there is never more than at once
}

// What has paid waits for no judging time, nor behind what does.
func TestPaidTurns(t *testing.T) {
	q := &queue{}
	broke := func(quota.Source) time.Duration { return time.Hour }
	q.add(&Submission{From: quota.Source{Key: "a"}})
	if after, ok := q.next(broke); ok || after != time.Hour {
		t.Errorf("a turn without judging time: %v, %v", after, ok)
	}
	q.add(&Submission{From: quota.Source{Key: "a"}, Paid: true})
	if _, ok := q.next(broke); !ok {
		t.Error("what has paid waits")
	}
}
