package device_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/testrepo"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func someState(clock int64) verify.State {
	return verify.State{Repository: tuf.Sum([]byte("a")), TrustedRoot: tuf.Sum([]byte("b")), Root: verify.Seen{Version: 1, Payload: tuf.Sum([]byte("b"))}, Clock: clock}
}

// Of two copies of a state the newer one counts, whichever file it is in, and what cannot be
// used is said, and never taken for a device that has not been set up.
func TestTwoCopies(t *testing.T) {
	s := device.Store{Dir: t.TempDir()}
	path := []string{filepath.Join(s.Dir, "updater.state"), filepath.Join(s.Dir, "updater.state.copy")}
	text := map[string][]byte{"missing": nil, "empty": {}, "garbage": []byte("garbage")}
	for i, name := range []string{"old", "new"} {
		if err := s.SaveState(someState(int64(i + 1))); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path[0])
		if err != nil {
			t.Fatal(err)
		}
		if other, err := os.ReadFile(path[1]); err != nil || !bytes.Equal(b, other) {
			t.Fatalf("two copies: %s and %s, %v", b, other, err)
		}
		text[name] = b
	}
	text["cut short"] = text["new"][:len(text["new"])/2]
	text["one bit"] = bytes.Replace(text["new"], []byte(`"clock":2`), []byte(`"clock":3`), 1)
	text["too long"] = bytes.Repeat([]byte(" "), verify.MaxStateSize+1)
	for _, first := range []string{"old", "new", "missing", "empty", "garbage", "cut short", "one bit", "too long"} {
		for _, second := range []string{"old", "new", "missing", "empty", "garbage", "cut short", "one bit", "too long"} {
			if (first == "too long") != (second == "too long") && first != "new" && second != "new" || first == "too long" && second == first {
				continue // they are large
			}
			for i, name := range []string{first, second} {
				if err := os.Remove(path[i]); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				if text[name] != nil {
					if err := os.WriteFile(path[i], text[name], 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			state, trouble, err := s.State()
			clock, good := int64(0), 0
			for _, name := range []string{first, second} {
				switch name {
				case "old":
					clock, good = max(clock, 1), good+1
				case "new":
					clock, good = 2, good+1
				}
			}
			switch {
			case first == "missing" && second == "missing":
				if !errors.Is(err, device.ErrNotInitialised) {
					t.Errorf("none: %v", err)
				}
			case good == 0:
				if err == nil || errors.Is(err, device.ErrNotInitialised) || !strings.Contains(err.Error(), "in another directory") {
					t.Errorf("%s, %s: %v", first, second, err)
				}
				if err := s.Create(nil, someState(7)); err == nil {
					t.Errorf("%s, %s: set up anew", first, second)
				}
			default:
				if err != nil || state.Clock != clock {
					t.Errorf("%s, %s: clock %d, %v; want %d", first, second, state.Clock, err, clock)
				}
				if want := good == 1 || first == "old" && second == "new"; (trouble != nil) != want {
					t.Errorf("%s, %s: trouble %v", first, second, trouble)
				}
				if first != "old" && second != "old" {
					continue
				}
				// The next one is newer than both.
				if err := s.SaveState(state); err != nil {
					t.Fatal(err)
				}
				if again, trouble, err := s.State(); err != nil || trouble != nil || again.Serial != state.Serial+1 || again.Clock != clock {
					t.Errorf("%s, %s: then %+v, %v, %v", first, second, again, trouble, err)
				}
			}
		}
	}
}

// No bytes in the two files give a state that neither has, or a device that can be set up
// anew in their place.
func FuzzTwoCopies(f *testing.F) {
	for i := range int64(2) {
		state := someState(i + 1)
		state.Serial = i
		b, err := state.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, b[:len(b)-1])
		f.Add([]byte{}, b)
	}
	s := device.Store{Dir: f.TempDir()}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		best := int64(-1)
		for name, b := range map[string][]byte{"updater.state": first, "updater.state.copy": second} {
			if err := os.WriteFile(filepath.Join(s.Dir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
			if state, err := verify.ParseState(b); err == nil {
				best = max(best, state.Serial)
			}
		}
		state, _, err := s.State()
		if (err == nil) != (best >= 0) || err == nil && state.Serial != best || errors.Is(err, device.ErrNotInitialised) {
			t.Fatalf("serial %d, %v; want %d", state.Serial, err, best)
		}
	})
}

// A root that is not the one which the device trusted gives way to the one that it was given.
func TestCreatePutsTheRootBack(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	must(t, testrepo.Write(dir))
	must(t, testrepo.Write(other))
	cfg, err := config(dir)
	must(t, err)
	path := filepath.Join(dir, "device", "root.json")
	given, err := os.ReadFile(path)
	must(t, err)
	_, err = create(dir, cfg)
	must(t, err)
	stranger, err := os.ReadFile(filepath.Join(other, "device", "root.json"))
	must(t, err)
	root, err := tuf.ParseJSON(given)
	must(t, err)
	state := someState(0)
	state.TrustedRoot, state.Repository = root.PayloadDigest, root.PayloadDigest
	for _, bad := range [][]byte{stranger, []byte("{}"), nil} {
		must(t, os.WriteFile(path, bad, 0o644))
		must(t, device.Store{Dir: filepath.Join(dir, "device")}.Create(given, state))
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, given) {
			t.Errorf("the root is %.60q, %v", b, err)
		}
	}
}
