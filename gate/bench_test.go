package gate_test

import (
	"fmt"
	"testing"

	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// BenchmarkGate measures a request with a new timestamp of a repository with delegated roles,
// none of which has changed.
func BenchmarkGate(b *testing.B) {
	for _, roles := range []int{1, 100, 1023} {
		b.Run(fmt.Sprintf("roles=%d", roles), func(b *testing.B) {
			w := newWorld(b, 1, 1)
			names := []string{tuf.RoleTargets}
			for i := range roles {
				name := fmt.Sprint("app", i)
				must(b, w.vendor.Delegate(tuf.RoleTargets, name, name+"/*"))
				names = append(names, name)
			}
			must(b, w.vendor.Release(names...))
			w.logged(w.vendor, leaf.Release, append(names, tuf.RoleRoot)...)
			w.wantSigned(w.gates[0], w.stage(w.vendor))
			for b.Loop() {
				b.StopTimer()
				must(b, w.vendor.Release())
				s, err := client.ReadStaged(w.stage(w.vendor))
				must(b, err)
				tar, err := s.Tar()
				must(b, err)
				b.StartTimer()
				if _, err := w.gates[0].client().Sign(b.Context(), w.id, tar); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
