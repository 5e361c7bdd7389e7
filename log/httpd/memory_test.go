package httpd

import (
	"testing"

	"github.com/tuflog/tuflog/log/quota"
)

// Guesses of the registration token cost what submissions do, and nobody else.
func TestGuessesOfTheRegistrationToken(t *testing.T) {
	sources := quotas(quota.Config{}, quota.Limits{Anonymous: quota.Quota{Submissions: 1, SubmissionBurst: 3, Bytes: 1, ByteBurst: 1000}}, "token")
	s := &Server{sources: sources}
	for i, want := range []int{401, 401, 401, 429, 429} {
		if p := s.mayRegister(sources.Of(request("192.0.2.1:1", "", "wrong"))); p == nil || p.Status != want {
			t.Errorf("guess %d: %+v, want %d", i+1, p, want)
		}
	}
	if p := s.mayRegister(sources.Of(request("192.0.2.1:1", "", ""))); p == nil || p.Status != 401 {
		t.Errorf("without a token, which is no guess: %+v", p)
	}
	if p := s.mayRegister(sources.Of(request("192.0.2.1:1", "", "token"))); p != nil {
		t.Errorf("the holder: %+v", p)
	}
}

// The files read from a body count in its place.
func TestMemoryOfASubmission(t *testing.T) {
	from := quotas(quota.Config{}, quota.Limits{Memory: quota.Pool{Capacity: 1000, Share: 500, Reserve: 1}}, "")
	s := &Server{sources: from}
	grow := func(h *held, n int64) bool { // as reading a body does
		stay := from.Memory.Stay(h.from, func() {})
		ok := stay.Take(n)
		h.n, _ = stay.Keep()
		return ok
	}
	h := &held{s: s, from: quota.Source{Key: "a"}}
	for i, step := range []struct {
		grow, counts int64
		want         bool
		taken        int64
	}{
		{grow: 300, want: true, taken: 300},
		{counts: 450, want: true, taken: 450},
		{counts: 100, want: true, taken: 100},
		{counts: 9999, want: true, taken: 500}, // alone it is taken, whatever it is
		{counts: 200, want: true, taken: 200},
	} {
		got := false
		if step.grow > 0 {
			got = grow(h, step.grow)
		} else {
			got = h.counts(step.counts)
		}
		if got != step.want || from.Memory.Used() != step.taken {
			t.Errorf("step %d: %v, %d are taken", i, got, from.Memory.Used())
		}
	}
	second := &held{s: s, from: h.from}
	if !grow(second, 100) || second.counts(301) || from.Memory.Used() != 300 {
		t.Errorf("two of one source: %d are taken", from.Memory.Used())
	}
	h.release()
	if second.release(); from.Memory.Used() != 0 {
		t.Errorf("%d are not given back", from.Memory.Used())
	}
}
