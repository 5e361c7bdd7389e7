package quota

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"
)

// seconds returns how long a source that is over its quota waits, rounded up; 0 means that
// it is not.
func seconds(err error) int {
	over := (*Over)(nil)
	if !errors.As(err, &over) {
		return 0
	}
	return int(math.Ceil(over.Wait.Seconds()))
}

func TestQuota(t *testing.T) {
	quota := Quota{Submissions: 0.5, SubmissionBurst: 3, Bytes: 100, ByteBurst: 1000}
	s, now := quotas(Config{}, Limits{Anonymous: quota}, "token")
	outsider, neighbour, other := s.Of(request("192.0.2.1:1", "", "")), s.Of(request("192.0.2.2:1", "", "")), s.Of(request("198.51.100.1:1", "", ""))
	vendor, local := s.Of(request("192.0.2.1:1", "", "token")), s.Of(request("127.0.0.1:1", "", ""))
	for range 3 {
		if p := s.Charge(outsider, 10); p != nil {
			t.Fatalf("within the burst: %v", p)
		}
	}
	p := s.Charge(outsider, 10)
	if seconds(p) != 2 {
		t.Fatalf("beyond it: %+v", p)
	}
	if s.Charge(neighbour, 0) == nil {
		t.Error("an address more in the network is a quota more")
	}
	for range 100 {
		if s.Charge(vendor, 1<<20) != nil || s.Charge(local, 1<<20) != nil {
			t.Fatal("an outsider has used up what is the vendor's")
		}
	}
	if s.Charge(other, 0) != nil {
		t.Error("an outsider has used up what is another's")
	}
	*now = now.Add(2 * time.Second)
	if s.Charge(outsider, 10) != nil || s.Charge(outsider, 10) == nil {
		t.Error("in two seconds there is one more")
	}
	*now = now.Add(time.Hour)
	if s.Charge(outsider, 900) != nil {
		t.Error("within the bytes at once")
	}
	if p := s.Charge(outsider, 150); seconds(p) != 1 {
		t.Errorf("beyond them: %+v", p)
	}
	s.Spend(outsider, 400) // came without being announced
	if p := s.Charge(outsider, 100); seconds(p) != 4 {
		t.Errorf("after an unannounced body: %+v", p)
	}
	// More than there is at once waits for a full bucket, and then not for ever.
	*now = now.Add(time.Hour)
	if s.Charge(outsider, 5000) != nil {
		t.Error("a large submission never fits")
	}
	if p := s.Charge(outsider, 0); seconds(p) != 40 {
		t.Errorf("after a large submission: %+v", p)
	}
	*now = now.Add(-time.Hour)
	if s.Charge(outsider, 0) == nil {
		t.Error("a clock that is set back fills buckets")
	}
	free, _ := quotas(Config{}, Limits{Anonymous: Quota{Submissions: -1, Bytes: -1}}, "")
	for range 1000 {
		if free.Charge(outsider, 1<<30) != nil {
			t.Fatal("no limit is a limit")
		}
	}
}

func TestSourcesAreBounded(t *testing.T) {
	s, _ := quotas(Config{}, Limits{Sources: 10, Anonymous: Quota{Submissions: 1, SubmissionBurst: 1}}, "token")
	steady := s.Of(request("192.0.2.1:1", "", ""))
	if s.Charge(steady, 0) != nil {
		t.Fatal("the first submission")
	}
	for i := range 1000 {
		s.Charge(s.Of(request(fmt.Sprintf("10.%d.%d.1:1", i/256, i%256), "", "")), 0)
		if s.Charge(steady, 0) == nil {
			t.Fatal("who is busy is forgotten")
		}
	}
	if len(s.others) != 10 || s.recent.Len() != 10 {
		t.Errorf("%d sources, %d in the list", len(s.others), s.recent.Len())
	}
}
