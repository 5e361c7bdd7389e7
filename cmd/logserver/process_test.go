package main

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func TestMain(m *testing.M) { runtest.Main(m) }

// world is a log, its witnesses and a client.
type world struct {
	*runtest.World
	client *api.Client
}

func newWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	w := &world{World: runtest.NewWorld(t, flags...)}
	w.client = &api.Client{Base: w.Log.URL}
	return w
}

// serve starts the witnesses and the log.
func (w *world) serve(t *testing.T, vkey string, flags ...string) {
	t.Helper()
	w.Serve(t, vkey, flags...)
	w.client = &api.Client{Base: w.Log.URL}
}

func newVendor(t *testing.T) *testvendor.Vendor {
	t.Helper()
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// release publishes a new targets version of the vendor and returns its files.
func release(t *testing.T, v *testvendor.Vendor, content string) []api.File {
	t.Helper()
	if err := errors.Join(v.Put("targets", "app.bin", []byte(content)), v.Release("targets")); err != nil {
		t.Error(err) // not Fatal: clients run in goroutines
	}
	return files(v)
}

// files returns the present targets and snapshot of a vendor.
func files(v *testvendor.Vendor) []api.File {
	var list []api.File
	for _, role := range []string{"targets", "snapshot"} {
		name, data := v.File(role)
		list = append(list, api.File{Name: name, Data: data})
	}
	return list
}

// check verifies a result as a device would.
func (w *world) check(t *testing.T, repository string, files []api.File, r api.FileResult) {
	t.Helper()
	i := slices.IndexFunc(files, func(f api.File) bool { return f.Name == r.File })
	if i < 0 {
		t.Errorf("a result for %s, which was not sent", r.File)
		return
	}
	id, err := tuf.ParseDigest(repository)
	if err != nil {
		t.Error(err)
		return
	}
	m, err := tuf.ParseJSON(files[i].Data)
	if err != nil {
		t.Error(err)
		return
	}
	logged, err := verify.CheckSidecar([]byte(r.Sidecar), verify.ClaimFor(id, r.Role, m), w.Policy)
	if err != nil {
		t.Errorf("%s at %d: %v", r.File, r.Index, err)
		return
	}
	if logged.Index != r.Index {
		t.Errorf("%s is proved at %d, not at %d", r.File, logged.Index, r.Index)
	}
}

func (w *world) register(t *testing.T, v *testvendor.Vendor) string {
	t.Helper()
	_, root := v.File("root")
	res, err := w.client.Register(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if !res.Done || len(res.Results) != 1 || res.Results[0].Status != api.StatusReleased {
		t.Fatalf("register: %+v", res)
	}
	w.check(t, res.Repository, []api.File{{Name: "root.json", Data: root}}, res.Results[0])
	return res.Repository
}

func withTimeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
