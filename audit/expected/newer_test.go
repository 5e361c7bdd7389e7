package expected_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/proofs"
)

// The first expectations were signed with a wrong beginning, and corrected: the corrected ones
// count. Until then it is said that nothing is judged.
func TestBeginsLate(t *testing.T) {
	w := newWorld(t)
	w.serve(w.sign(1, 3650*24*time.Hour, 3680*24*time.Hour, "release targets any"))
	w.step(true)
	w.want("expectations-missing@-1: expectations 1 of acme are in force from 2036-11-27T12:00:00Z on, and none are before: until then no release is judged")
	w.serve(w.sign(2, 0, month, "release targets any"))
	w.step(true)
	w.want()
	w.put("evil.bin", "evil")
	w.step(true)
	w.want("unexpected-release@2: targets 3 of acme is not what its vendor said would be released (expectations 2)")
	// Between two, no release is expected.
	w.serve(w.sign(3, 2*month, 3*month, "release targets any"))
	w.step(true)
	w.now = w.now.Add(month)
	w.step(true)
	w.want("@2", "expectations-missing@-1: expectations 3 of acme are in force from 2027-01-29T12:00:03Z on, and none are before: until then no release is expected")
}

// A thief of the key signs expectations that allow everything, for ever, under the highest
// version. With another key in the configuration they allow nothing, and those of the other
// key are the first.
func TestKeyReplaced(t *testing.T) {
	w := newWorld(t)
	w.cfg.Beside = w.dir + "/state."
	w.start()
	w.serve(w.sign(1, 0, month, "release targets any"))
	w.step(true)
	w.serve(w.sign(9007199254740991, 0, 1000*month, "release targets any", "paths *", "delegations any"))
	w.step(true)
	w.put("evil.bin", "evil")
	w.step(true)
	w.want()
	fresh, err := proofs.GenerateSigner(nil, "acme.example/expect2", proofs.Ed25519)
	must(t, err)
	w.cfg.Keys = []proofs.Key{fresh.Key()}
	w.start()
	w.step(true)
	w.want("so that no release is judged: " + w.note + ": not signed by a key for these expectations")
	w.serve(w.signBy(fresh, 2, 0, month, "release targets any"))
	w.step(true)
	// Its base is targets 2: what the thief's expectations let pass since is judged again.
	first := "unexpected-release@2: targets 3 of acme is not what its vendor said would be released (expectations 2): it lists evil.bin"
	w.want(first)
	w.put("evil2.bin", "evil")
	w.step(true)
	w.want(first, "@3")
	w.start()
	w.put("evil3.bin", "evil")
	w.step(true)
	w.want(first, "@3", "@4: targets 5 of acme")
	if s := w.w.Status(); s.Version != 2 {
		t.Errorf("status %+v", s)
	}
}

// Expectations that are signed ahead do not push out those that are in force, however many
// they are.
func TestSignedAhead(t *testing.T) {
	w := newWorld(t)
	w.serve(w.sign(1, 0, month, "release targets any", "paths *"))
	w.step(true)
	for i := int64(2); i <= 16; i++ {
		w.serve(w.sign(i, time.Duration(i-1)*month, time.Duration(i)*month, "release targets any", "paths *"))
		w.step(true)
	}
	w.put("good.bin", "1")
	w.step(true)
	w.want()
	w.serve(w.sign(17, 16*month, 17*month, "release targets any", "paths *"))
	w.step(true)
	full := "expectations-missing@-1: the expectations of acme cannot be read: expectations 17: 15 expectations are signed ahead, and there is no room for more"
	w.want(full)
	w.put("good.bin", "2")
	w.step(true)
	w.want(full)
	w.start()
	w.now = w.now.Add(month) // the first have ended
	w.step(true)
	w.put("good.bin", "3")
	w.step(true)
	w.want()
	if s := w.w.Status(); s.Version != 17 || !s.InForce {
		t.Errorf("status %+v", s)
	}
}

// Narrower expectations count from their beginning, also if the monitor reads them only after a
// release that wider ones allow, because somebody kept them from it.
func TestNarrowedInTime(t *testing.T) {
	w := newWorld(t)
	wide := []string{"release targets any", "paths *"}
	w.serve(w.sign(1, 0, month, wide...))
	w.step(true)
	w.put("good.bin", "1")
	w.step(true)
	// They are read before a release is accepted.
	narrow := w.sign(2, time.Second, month, "release targets any", "paths good.bin")
	w.now = w.now.Add(5 * time.Second)
	w.step(false)
	w.serve(narrow)
	w.put("evil.bin", "evil")
	w.step(false)
	w.want("unexpected-release@3: targets 4 of acme is not what its vendor said would be released (expectations 2): it lists evil.bin")

	// Somebody serves the wider ones for an hour.
	w = newWorld(t)
	w.serve(w.sign(1, 0, month, wide...))
	w.step(true)
	w.put("good.bin", "1")
	w.step(true)
	narrow = w.sign(2, time.Second, month, "release targets any", "paths good.bin")
	w.now = w.now.Add(5 * time.Second)
	w.step(true)
	w.put("evil.bin", "evil")
	w.step(true)
	w.now = w.now.Add(time.Hour)
	w.release("targets") // as it is now, with evil.bin
	w.step(true)
	w.want()
	w.start()
	w.serve(narrow)
	w.step(true)
	evil := []string{"unexpected-release@3: targets 4 of acme is not what its vendor said would be released (expectations 2): it lists evil.bin", "unexpected-release@4: targets 5 of acme"}
	w.want(evil...)
	delete(w.v.Signed("targets").Targets, "evil.bin")
	w.put("good.bin", "2")
	w.step(true)
	w.want(evil...)
	// What the vendor had before him when he signed, he has seen.
	for i := range 3 {
		w.put("good.bin", fmt.Sprint("again ", i))
		w.step(true)
	}
	_, file := w.v.File("targets")
	w.bases["targets"] = audittest.Parse(t, file)
	w.serve(w.sign(3, -time.Minute, month))
	w.step(true)
	w.want(evil...)
}
