package tuf

import (
	"runtime"
	"testing"
)

// Reading takes little more memory than the payload, whatever is listed: nothing
// is built of the lists before somebody looks something up.
func TestReadingTakesLittle(t *testing.T) {
	var before, after runtime.MemStats
	for name, make := range greedyFiles() {
		if testing.Short() && name != "delegations" {
			continue
		}
		file := make()
		runtime.GC()
		runtime.ReadMemStats(&before)
		m, err := ParseJSON(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		const most = 48 << 20
		if live := after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc); live > most {
			t.Errorf("%s: a file of %d bytes takes %d bytes more once it is read", name, len(file), live)
		}
		if live, counted := after.HeapAlloc-min(before.HeapAlloc, after.HeapAlloc), uint64(m.Memory()); live > counted+1<<20 {
			t.Errorf("%s: %d bytes are live, %d counted", name, live, counted)
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > 3*MaxFileSize {
			t.Errorf("%s: a file of %d bytes takes %d bytes while it is read", name, len(file), made)
		}
		runtime.KeepAlive(m)
	}
	key := ed25519TestKey(t)
	f := newBenchFile(t, 100_000, key)
	runtime.ReadMemStats(&before)
	f.verify(t)
	runtime.ReadMemStats(&after)
	if made := int(after.TotalAlloc - before.TotalAlloc); made > 2*len(f.file) {
		t.Errorf("reading a signed file of %d bytes takes %d bytes", len(f.file), made)
	}
}
