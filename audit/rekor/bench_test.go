package rekor_test

import (
	"fmt"
	"testing"

	"github.com/tuflog/tuflog/audit/rekor"
)

// BenchmarkVerify reads a receipt from its file and verifies it, without Rekor.
func BenchmarkVerify(b *testing.B) {
	for _, version := range []int{1, 2} {
		b.Run(fmt.Sprintf("v%d", version), func(b *testing.B) {
			l, v := newLedger(b, version), newVendorlog(b)
			for n := range 1000 {
				l.Add(fmt.Appendf(nil, `{"n":%d}`, n))
			}
			r, err := l.instance().Submit(b.Context(), v.note(b, 1), v.key)
			if err != nil {
				b.Fatal(err)
			}
			file, keys := r.Marshal(), l.Config().Keys
			for b.Loop() {
				r, err := rekor.ParseReceipt(file)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := r.Verify(v.key, keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
