package leader_test

import (
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// get reads an answer of JSON.
func (r *running) get(t *testing.T, path string, v any) {
	t.Helper()
	resp, body := r.do(t, "GET", path, nil)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != api.TypeJSON || resp.Header.Get("Cache-Control") != "no-cache" {
		t.Fatalf("GET %s: %d %v %s", path, resp.StatusCode, resp.Header, body)
	}
	check(t, json.Unmarshal(body, v))
	if resp, _ := r.do(t, "GET", path, nil, "If-None-Match", resp.Header.Get("ETag")); resp.StatusCode != 304 {
		t.Errorf("GET %s again: %d", path, resp.StatusCode)
	}
}

// escaped returns all files of a vendor as they travel.
func escaped(v *testvendor.Vendor) []api.File {
	files := all(v)
	for i := range files {
		files[i].Name = tuf.EscapeRole(files[i].Name)
	}
	return files
}

func hex512(content string) string {
	sum := sha512.Sum512([]byte(content))
	return hex.EncodeToString(sum[:])
}

// says puts listings as "index role version path length", and checks their digests.
func says(t *testing.T, listings []api.Listing, id, content string) string {
	t.Helper()
	var lines []string
	for _, l := range listings {
		if l.Repository != id || l.Kind != "release" || content != "" && (l.SHA256 != tuf.Sum([]byte(content)).String() || l.SHA512 != hex512(content)) {
			t.Errorf("listing %+v", l)
		}
		lines = append(lines, fmt.Sprint(l.Index, " ", l.Role, " ", l.Version, " ", l.Path, " ", l.Length))
	}
	return strings.Join(lines, ", ")
}

func TestSearch(t *testing.T) {
	const odd = "dir/a//ä b?#%2F/../app.bin"
	r := start(t, nil)
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	check(t, v.Delegate("targets", "team/ö", "*"))
	check(t, v.Put("targets", "app", []byte("one")))
	check(t, v.Put("team/ö", odd, []byte("odd")))
	check(t, v.Release("targets", "team/ö"))
	r.submit(t, id, escaped(v)...)
	check(t, v.Put("targets", "app", []byte("second")))
	check(t, v.Put("targets", "other", []byte("one")))
	check(t, v.Release("targets"))
	r.submit(t, id, escaped(v)...)

	var repository api.Repository
	r.get(t, "/v1/repositories/"+id, &repository)
	at := map[string]int64{}
	for _, l := range repository.Leaves {
		at[fmt.Sprint(l.Role, " ", l.Version)] = l.Index
	}
	versions := [2]int64{v.Version("targets") - 1, v.Version("targets")}
	first, second := at[fmt.Sprint("targets ", versions[0])], at[fmt.Sprint("targets ", versions[1])]
	team := at[fmt.Sprint("team/ö ", v.Version("team/ö"))]
	if first == 0 || second == 0 || team == 0 {
		t.Fatalf("leaves %v", at)
	}
	listing := func(index int64, role string, version int64, path string, length int) string {
		return fmt.Sprint(index, " ", role, " ", version, " ", path, " ", length)
	}
	oddListing := listing(team, "team/ö", v.Version("team/ö"), odd, 3)
	search := func(when string) {
		t.Helper()
		for _, tt := range []struct{ path, content, want string }{
			{"sha512/" + hex512("one"), "one", listing(first, "targets", versions[0], "app", 3) + ", " + listing(second, "targets", versions[1], "other", 3)},
			{"sha512/" + hex512("none"), "", ""},
			{"path/app", "", listing(first, "targets", versions[0], "app", 3) + ", " + listing(second, "targets", versions[1], "app", 6)},
			{"path/other", "one", listing(second, "targets", versions[1], "other", 3)},
			{"path/none", "", ""},
			{"length/6", "second", listing(second, "targets", versions[1], "app", 6)},
			{"length/7", "", ""},
			{"path/" + url.PathEscape(odd), "odd", oddListing},
			{"path/" + strings.Replace(url.PathEscape(odd), "%2F", "/", 1), "odd", oddListing},
		} {
			var found api.Listings
			r.get(t, "/v1/lookup/"+tt.path, &found)
			if got := says(t, found.Targets, id, tt.content); got != tt.want || found.More || found.Targets == nil {
				t.Errorf("%s: %s: %s; want %s", when, tt.path, got, tt.want)
			}
		}
		var found api.Lookup
		r.get(t, "/v1/lookup/sha256/"+tuf.Sum([]byte("second")).String(), &found)
		if got, want := says(t, found.Targets, id, "second"), listing(second, "targets", versions[1], "app", 6); got != want || found.More {
			t.Errorf("%s: SHA-256: %s; want %s", when, got, want)
		}
		for index, want := range map[int64]string{
			0:      "[]",
			first:  fmt.Sprintf("[{app 3 %v %s}]", tuf.Sum([]byte("one")), hex512("one")),
			second: fmt.Sprintf("[{app 6 %v %s} {other 3 %v %s}]", tuf.Sum([]byte("second")), hex512("second"), tuf.Sum([]byte("one")), hex512("one")),
			team:   fmt.Sprintf("[{%s 3 %v %s}]", odd, tuf.Sum([]byte("odd")), hex512("odd")),
		} {
			var files api.Files
			r.get(t, fmt.Sprint("/v1/entries/", index, "/files"), &files)
			if got := fmt.Sprint(files.Files); got != want || files.Leaf != repository.Leaves[index] || files.More || files.Files == nil {
				t.Errorf("%s: files of %d: %+v; want %s", when, index, files, want)
			}
		}
		var role api.Role
		r.get(t, "/v1/repositories/"+id+"/roles/targets", &role)
		if got, want := fmt.Sprint(role), fmt.Sprintf("{%s targets [{%d 1 release false} {%d %d release false} {%d %d release true}]}", id, at["targets 1"], first, versions[0], second, versions[1]); got != want {
			t.Errorf("%s: role %s; want %s", when, got, want)
		}
		r.get(t, "/v1/repositories/"+id+"/roles/"+url.PathEscape("team/ö"), &role)
		if role.Role != "team/ö" || len(role.Versions) != 1 || role.Versions[0] != (api.RoleVersion{Index: team, Version: v.Version("team/ö"), Kind: "release", Current: true}) {
			t.Errorf("%s: a delegated role: %+v", when, role)
		}
	}
	search("at first")
	size := r.log.Publisher().Tree().N
	// What is integrated is nobody's business before it is published.
	r.Witnesses.SetDown(true, true, true)
	check(t, v.Put("targets", "app", []byte("third")))
	check(t, v.Put("targets", "secret", []byte("one")))
	check(t, v.Release("targets"))
	submission, err := api.Tar(escaped(v))
	check(t, err)
	resp, body := r.do(t, "POST", "/v1/repositories/"+id+"/metadata", submission, "Content-Type", api.TypeTar, "Prefer", "wait=0")
	if resp.StatusCode != 202 {
		t.Fatalf("below quorum: %d %s", resp.StatusCode, body)
	}
	for deadline := time.Now().Add(10 * time.Second); r.log.Publisher().Tree().N == size; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what is accepted is not integrated")
		}
	}
	resp, body = r.do(t, "GET", fmt.Sprint("/v1/entries/", size, "/files"), nil)
	problem(t, resp, body, 404, api.CodeNotFound)
	var found api.Listings
	r.get(t, "/v1/lookup/sha512/"+hex512("one"), &found)
	if got, want := says(t, found.Targets, id, "one"), listing(first, "targets", versions[0], "app", 3)+", "+listing(second, "targets", versions[1], "other", 3); got != want || found.More {
		t.Errorf("with more that is not published: %s; want %s", got, want)
	}
	r.get(t, "/v1/lookup/path/secret", &found)
	if len(found.Targets) > 0 || found.More {
		t.Errorf("what is not published is told: %+v", found)
	}
	var role api.Role
	r.get(t, "/v1/repositories/"+id+"/roles/targets", &role)
	if len(role.Versions) != 3 {
		t.Errorf("what is not published is told: %+v", role)
	}
	r.Witnesses.SetDown(false, false, false)
	r.submit(t, id, escaped(v)...)
	r.get(t, "/v1/lookup/path/secret", &found)
	if len(found.Targets) != 1 || found.Targets[0].Index != size {
		t.Errorf("when it is published: %+v", found)
	}

	// What can be found is found again after a restart.
	r.close(t)
	r.open(t)
	r.get(t, "/v1/lookup/path/secret", &found)
	r.get(t, "/v1/repositories/"+id+"/roles/targets", &role)
	if n := len(role.Versions); len(found.Targets) != 1 || n != 4 || role.Versions[n-2].Current || !role.Versions[n-1].Current {
		t.Errorf("after a restart: %+v, %+v", found, role)
	}
}

func TestSearchForWhatIsNotThere(t *testing.T) {
	r := start(t, nil)
	id := r.register(t, file(newVendor(t), "root").Data)
	for _, tt := range []struct {
		path   string
		status int
		code   string
	}{
		{"/v1/lookup/sha512/" + strings.ToUpper(hex512("one")), 400, api.CodeBadRequest},
		{"/v1/lookup/sha512/" + hex512("one")[2:], 400, api.CodeBadRequest},
		{"/v1/lookup/sha512/", 404, api.CodeNotFound},
		{"/v1/lookup/path/", 400, api.CodeBadRequest},
		{"/v1/lookup/path/%ff", 400, api.CodeBadRequest},
		{"/v1/lookup/length/-1", 400, api.CodeBadRequest},
		{"/v1/lookup/length/03", 400, api.CodeBadRequest},
		{"/v1/lookup/length/9223372036854775808", 400, api.CodeBadRequest},
		{"/v1/entries/01/files", 400, api.CodeBadRequest},
		{"/v1/entries//files", 404, api.CodeNotFound},
		{"/v1/lookup/path/a//b", 404, api.CodeNotFound},
		{"/v1/lookup/path/a/../b", 404, api.CodeNotFound},
		{"/v1/entries/1/files", 404, api.CodeNotFound},
		{"/v1/entries/0/files/", 404, api.CodeNotFound},
		{"/v1/repositories/" + id + "/roles", 404, api.CodeNotFound},
		{"/v1/repositories/" + id + "/roles/", 404, api.CodeNotFound},
		{"/v1/repositories/" + id + "/roles/%ff", 400, api.CodeBadRequest},
		{"/v1/repositories/" + id + "/roles/none", 404, api.CodeNotFound},
		{"/v1/repositories/" + id + "/roles/team/ö", 404, api.CodeNotFound},
		{"/v1/repositories/" + strings.Repeat("ab", 32) + "/roles/targets", 404, api.CodeUnknownRepo},
	} {
		resp, body := r.do(t, "GET", tt.path, nil)
		problem(t, resp, body, tt.status, tt.code)
	}
}
