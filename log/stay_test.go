package log

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

func TestStaysGiveWay(t *testing.T) {
	p := newPool(Pool{Capacity: 10, Share: 6, Reserve: 2}) // 8 for those without a token
	var left string
	stays := map[string]*stay{}
	enter := func(name string, n int64, want bool, leaves string) {
		t.Helper()
		key, _, _ := strings.Cut(name, " ")
		if stays[name] == nil {
			stays[name] = p.stay(source{key: key, holder: key == "holder"}, func() { left += name + ";" })
		}
		left = ""
		if got := stays[name].take(n); got != want || left != leaves {
			t.Fatalf("%s takes %d: %v, and %q give way; want %v and %q", name, n, got, left, want, leaves)
		}
	}
	enter("a 1", 2, true, "")
	enter("a 2", 1, true, "")
	enter("a 3", 3, true, "")
	enter("a 4", 1, false, "") // has its share, and loses nothing to itself
	enter("b 1", 2, true, "")
	enter("b 2", 4, false, "") // would have as much as the one that has the most
	enter("b 2", 2, true, "a 1;")
	enter("a 1", 1, false, "") // has given way
	if n, ok := stays["a 1"].keep(); n != 0 || ok {
		t.Errorf("what has given way has %d, %v", n, ok)
	}
	if n, ok := stays["b 2"].keep(); n != 2 || !ok {
		t.Errorf("what is kept is %d, %v", n, ok)
	}
	enter("c 1", 2, true, "a 2;a 3;")
	enter("holder 1", 4, true, "")
	enter("holder 2", 1, false, "") // nobody has more
	enter("d 1", 2, false, "")      // nor more than two, but for the holder, who does not give way to it
	enter("d 1", 1, true, "b 1;")   // half of what b has is there for good
	p.giveBack(source{key: "b"}, 2)
	for _, s := range stays {
		s.leave()
	}
	if p.taken != 0 || p.others != 0 || len(p.by) != 0 || len(p.stays) != 0 {
		t.Errorf("left over: %+v", p)
	}
}

// However much is taken and given back, no more is taken than there is, and a source
// loses nothing to one that has as much.
func TestRandomStays(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		p := newPool(Pool{Capacity: 20, Share: 12, Reserve: 4})
		var in []*stay
		total := func(key string) (n int64) {
			for _, s := range in {
				if s.from.key == key {
					n += s.n
				}
			}
			return n
		}
		for range 300 {
			if len(in) > 0 && rnd.IntN(3) == 0 {
				i := rnd.IntN(len(in))
				in[i].leave()
				in = append(in[:i:i], in[i+1:]...)
				continue
			}
			key := fmt.Sprint(rnd.IntN(6))
			before := map[string]int64{}
			for i := range 6 {
				before[fmt.Sprint(i)] = total(fmt.Sprint(i))
			}
			n := 1 + rnd.Int64N(8)
			s := p.stay(source{key: key, holder: key == "0"}, func() {})
			in = append(in, s)
			ok := s.take(n)
			for i := range 6 {
				other := fmt.Sprint(i)
				if lost := before[other] - total(other); lost > 0 && (!ok || other == key || before[other] <= before[key]+n) {
					t.Fatalf("%s has %d and loses %d to %s, who has %d and takes %d: %v", other, before[other], lost, key, before[key], n, ok)
				}
			}
			if p.taken > p.Capacity || p.others > p.Capacity-p.Reserve || p.by[key] > p.Share {
				t.Fatalf("%d are taken, %d by others, %d by %s", p.taken, p.others, p.by[key], key)
			}
		}
		for _, s := range in {
			s.leave()
		}
		if p.taken != 0 || p.others != 0 || len(p.by) != 0 || len(p.stays) != 0 {
			t.Fatalf("left over: %+v", p)
		}
	}
}

// Bodies that are announced and do not come shut out nobody who sends less: neither
// their networks' neighbours nor anybody else.
func TestUnfinishedBodiesHoldUpNobody(t *testing.T) {
	const room, announced = 4 << 20, 1 << 20
	from, _ := quotas(HTTPConfig{}, Limits{Memory: Pool{Capacity: room, Share: room / 2}}, "")
	s := newServer(&Log{}, ServerConfig{}, from)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, h, p := s.body(w, r, from.of(r), tuf.MaxFileSize)
		if p != nil {
			p.write(w)
			return
		}
		defer h.release()
		fmt.Fprint(w, len(b))
	}))
	defer server.Close()
	taken := func() int64 {
		from.memory.mu.Lock()
		defer from.memory.mu.Unlock()
		return from.memory.taken
	}
	var strangers []net.Conn
	for i := range 4 {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.%d.1\r\nContent-Length: %d\r\n\r\n%s", i/2, announced-1, strings.Repeat("x", announced/8+firstBuffer))
		strangers = append(strangers, c)
		for deadline := time.Now().Add(30 * time.Second); taken() < int64(i+1)*announced; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d are taken", taken(), (i+1)*announced)
			}
		}
	}
	post := func(network string, size int) (int, string) {
		t.Helper()
		req, err := http.NewRequest("POST", server.URL, strings.NewReader(strings.Repeat("y", size)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", network)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if status, body := post("203.0.113.1", 100_000); status != http.StatusOK || body != "100000" {
		t.Errorf("one who sends little: %d %s", status, body)
	}
	// Of those who have the most, the first had to give way, and is told so.
	check := strangers[0]
	_ = check.SetReadDeadline(time.Now().Add(30 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(check), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(b), "had not come whole") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a stranger is told %d %s", resp.StatusCode, b)
	}
}
