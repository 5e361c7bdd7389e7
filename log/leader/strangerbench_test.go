package leader_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// BenchmarkReleaseBesideStranger releases for a vendor with 2,000 releases while an
// outsider's 1,023 files that nobody has signed wait to be judged. What counts is the
// ratio to the same without the outsider.
func BenchmarkReleaseBesideStranger(b *testing.B) {
	const history, files = 2000, 1023
	r := start(b, nil)
	v := newPlainVendor(b, "vendor")
	r.history(b, v, history)
	var junk []api.File
	for i := range int64(files) {
		junk = append(junk, unsigned("targets", 1+i, listing(8)))
	}
	version := int64(history)
	release := func() time.Duration {
		version++
		files := v.release(b, version, 1)
		began := time.Now()
		if status, body := r.send(b, v, files); status != 200 {
			b.Fatalf("%d %s", status, body)
		}
		return time.Since(began)
	}
	release()
	var alone, beside time.Duration
	for b.Loop() {
		r.until(b, func() bool { return r.log.Stats(b.Context()).Queued == 0 })
		alone += release()
		if status, body := r.send(b, v, junk, "X-Forwarded-For", outsider, "Prefer", "wait=0"); status != 202 {
			b.Fatalf("%d %s", status, body)
		}
		beside += release()
	}
	b.ReportMetric(float64(beside)/float64(alone), "ratio")
	b.ReportMetric(float64(alone.Microseconds())/1000/float64(b.N), "ms-alone")
}

// BenchmarkLookupBesideManyTargets looks for a leaf while a release of 200,000 target
// files is taken in. What counts is the ratio to the same before it.
func BenchmarkLookupBesideManyTargets(b *testing.B) {
	const files, lookups = 200_000, 200
	r := start(b, nil)
	v, tenant := newPlainVendor(b, "vendor"), newPlainVendor(b, "tenant")
	r.history(b, v, 1)
	r.register(b, tenant.root.Data)
	m, err := tuf.ParseJSON(v.root.Data)
	check(b, err)
	look := func() (took time.Duration, behind int64) {
		began := time.Now()
		resp, body := r.do(b, "GET", "/v1/lookup/sha256/"+m.PayloadDigest.String(), nil)
		took = time.Since(began)
		var found api.Lookup
		check(b, json.Unmarshal(body, &found))
		if resp.StatusCode != 200 || len(found.Leaves) != 1 {
			b.Fatalf("%d %s", resp.StatusCode, body)
		}
		return took, found.Behind
	}
	var alone, beside time.Duration
	n, version := 0, int64(0)
	for b.Loop() {
		for range lookups {
			took, _ := look()
			alone += took / lookups
		}
		version++
		if status, body := r.send(b, tenant, tenant.release(b, version, files-int(version)), "X-Forwarded-For", outsider, "Prefer", "wait=60"); status != 200 {
			b.Fatalf("%d %s", status, body)
		}
		var sum time.Duration
		took, behind := look()
		for n = 0; behind > 0; n++ {
			sum += took
			took, behind = look()
		}
		beside += sum / time.Duration(max(1, n))
	}
	b.ReportMetric(float64(beside)/float64(alone), "ratio")
	b.ReportMetric(float64(alone.Microseconds())/1000/float64(b.N), "ms-alone")
	b.ReportMetric(float64(n), "lookups")
}
