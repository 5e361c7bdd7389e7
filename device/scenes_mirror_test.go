package device_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// mirrorScenes are of a mirror, or of anybody on the way to it, without a key.
var mirrorScenes = []scene{
	// What is served is altered.
	{name: "timestamp altered", code: verify.CodeBadMetadata, role: "timestamp", process: true, do: func(w *world) {
		w.replace("timestamp.json", `"version":3`, `"version":4`)
	}},
	{name: "snapshot altered", code: verify.CodeBadMetadata, role: "snapshot", do: func(w *world) { w.alterSignature("snapshot") }},
	{name: "targets altered", code: verify.CodeBadMetadata, role: "targets", do: func(w *world) { w.alterSignature("targets") }},
	{name: "delegated targets altered", code: verify.CodeBadMetadata, role: "app", do: func(w *world) { w.alterSignature("app") }},
	{name: "target altered", code: verify.CodeBadMetadata, process: true, says: "the target's sha", do: func(w *world) {
		w.files[w.target("targets", "firmware.bin")] = []byte("wormware 2")
	}},
	{name: "target of a release before", code: verify.CodeBadMetadata, do: func(w *world) {
		w.files[w.target("targets", "firmware.bin")] = []byte("firmware 1")
	}},
	{name: "target swapped for another", code: verify.CodeBadMetadata, do: func(w *world) {
		w.files[w.target("targets", "firmware.bin")] = append([]byte("tool 2"), "    "...)
	}},
	{name: "target too long", code: verify.CodeBadMetadata, says: "longer than the 10 bytes listed", do: func(w *world) {
		w.files[w.target("targets", "firmware.bin")] = []byte("firmware 2 and more")
	}},
	{name: "snapshot without its signatures", code: verify.CodeBadMetadata, role: "snapshot", do: func(w *world) {
		file := string(w.get(w.name("snapshot")))
		_, signed, _ := strings.Cut(file, `"signed"`)
		w.put(w.name("snapshot"), []byte(`{"signatures":[],"signed"`+signed))
	}},
	{name: "timestamp in the place of the snapshot", code: verify.CodeBadMetadata, role: "snapshot", do: func(w *world) {
		w.put(w.name("snapshot"), w.get("timestamp.json"))
	}},
	{name: "another role's targets", code: verify.CodeBadMetadata, role: "targets", do: func(w *world) {
		w.put(w.name("targets"), w.get(w.name("app")))
	}},
	{name: "name given twice", code: verify.CodeBadMetadata, role: "timestamp", says: "repeated", do: func(w *world) {
		w.replace("timestamp.json", `"version":3`, `"version":3,"version":3`)
	}},
	{name: "more behind the end", code: verify.CodeBadMetadata, role: "timestamp", do: func(w *world) {
		w.put("timestamp.json", append(bytes.Clone(w.get("timestamp.json")), "{}"...))
	}},
	{name: "nested without end", code: verify.CodeBadMetadata, role: "timestamp", says: "nested deeper", do: func(w *world) {
		w.put("timestamp.json", []byte(`{"signed":`+strings.Repeat(`{"a":`, 1000)+"1"+strings.Repeat("}", 1001)))
	}},
	{name: "not JSON", code: verify.CodeBadMetadata, role: "timestamp", do: func(w *world) { w.put("timestamp.json", []byte("\x00\x01\x02 not JSON")) }},
	{name: "another repository's files", code: verify.CodeBadMetadata, role: "timestamp", do: func(w *world) { w.serveVendor(w.stranger()) }},
	{name: "another repository's root", code: verify.CodeBadMetadata, role: "root", says: "not signed by enough of the keys of root 1", do: func(w *world) {
		v := w.stranger()
		must(w.t, v.Rotate("targets"))
		w.put("2.root.json", v.Files()["2.root.json"])
	}},

	// What is served was right once.
	{name: "everything replayed", code: verify.CodeRollback, role: "timestamp", process: true, lasts: true, do: func(w *world) {
		must(w.t, w.update())
		maps.Copy(w.files, w.old)
	}},
	{name: "snapshot replayed", code: verify.CodeRollback, role: "snapshot", says: "but timestamp 3 lists version 3", do: func(w *world) {
		w.put(w.name("snapshot"), w.old["/metadata/2.snapshot.json"])
	}},
	{name: "targets replayed", code: verify.CodeRollback, role: "targets", do: func(w *world) {
		w.put(w.name("targets"), w.old["/metadata/2.targets.json"])
	}},
	{name: "delegated targets replayed", code: verify.CodeRollback, role: "app", do: func(w *world) {
		w.put(w.name("app"), w.old["/metadata/1.app.json"])
	}},
	{name: "root replayed", code: verify.CodeRollback, role: "root", do: func(w *world) { w.put("2.root.json", w.get("1.root.json")) }},
	{name: "frozen until it expired", code: verify.CodeExpired, role: "timestamp", process: true, do: func(w *world) {
		maps.Copy(w.files, w.old)
		w.cfg.Now = epoch.Add(31 * day)
	}, lasts: true},
	{name: "frozen before it expired", do: func(w *world) {
		maps.Copy(w.files, w.old)
	}},
	{name: "root skipped", code: verify.CodeBadMetadata, role: "timestamp", says: "not signed by enough of the keys that root 1 names", do: func(w *world) {
		w.rotate("targets")
		w.rotate("timestamp")
		delete(w.files, "/metadata/2.root.json")
	}},
	{name: "root under the name of the one before", code: verify.CodeBadMetadata, role: "root", says: "version 3 where version 2 should be", do: func(w *world) {
		w.rotate("targets")
		w.rotate("timestamp")
		w.put("2.root.json", w.get("3.root.json"))
	}},
	{name: "newest root hidden", code: verify.CodeBadMetadata, role: "timestamp", do: func(w *world) {
		w.rotate("timestamp")
		delete(w.files, "/metadata/2.root.json")
	}},

	// The proofs.
	{name: "proof withheld", code: verify.CodeNotLogged, role: "targets", process: true, do: func(w *world) { w.remove(w.proof("targets")) }},
	{name: "proof of a delegated role withheld", code: verify.CodeNotLogged, role: "app", do: func(w *world) { w.remove(w.proof("app")) }},
	{name: "proof of a root withheld", code: verify.CodeNotLogged, role: "root", do: func(w *world) {
		w.rotate("targets")
		w.remove(w.proof("root"))
	}},
	{name: "proof of another role", code: verify.CodeBadProof, role: "targets", says: `about role "app"`, process: true, do: func(w *world) {
		w.put(w.proof("targets"), w.get(w.proof("app")))
	}},
	{name: "proof of another version", code: verify.CodeBadProof, role: "targets", says: "about version 2, want 3", do: func(w *world) {
		w.put(w.proof("targets"), w.get("2.targets.json.tlog-proof"))
	}},
	{name: "proof of another repository", code: verify.CodeWrongRepository, role: "targets", process: true, do: func(w *world) {
		w.entry("targets", func(l *leaf.Leaf) { l.Repository = tuf.Sum([]byte("another")) })
	}},
	{name: "proof of another payload", code: verify.CodeBadProof, role: "targets", says: "another payload of version 3", do: func(w *world) {
		w.entry("targets", func(l *leaf.Leaf) { l.Payload = tuf.Sum([]byte("another")) })
	}},
	{name: "proof that is none", code: verify.CodeBadProof, role: "targets", says: "cannot be read", do: func(w *world) {
		w.put(w.proof("targets"), []byte("trust me\n"))
	}},
	{name: "proof with other line ends", code: verify.CodeBadProof, role: "targets", do: func(w *world) {
		w.put(w.proof("targets"), bytes.ReplaceAll(w.get(w.proof("targets")), []byte("\n"), []byte("\r\n")))
	}},
	{name: "proof too long", code: verify.CodeBadProof, role: "targets", do: func(w *world) {
		w.put(w.proof("targets"), append(bytes.Clone(w.get(w.proof("targets"))), strings.Repeat("x\n", proofs.MaxProofSize/2)...))
	}},
	{name: "proof without its leaf", code: verify.CodeBadProof, role: "targets", do: func(w *world) {
		w.forge("targets", func(p *proofs.Proof) { p.Extra = nil })
	}},
	{name: "another repository's snapshot", code: verify.CodeBadMetadata, role: "snapshot", do: func(w *world) {
		w.put(w.name("snapshot"), w.stranger().Files()["2.snapshot.json"])
	}},
}

// endless sends without an end.
func endless(rw http.ResponseWriter, r *http.Request) {
	chunk := bytes.Repeat([]byte(" "), 64<<10)
	for r.Context().Err() == nil {
		if _, err := rw.Write(chunk); err != nil {
			return
		}
	}
}

// wireScenes are of a server that does on the wire what no file could.
var wireScenes = []scene{
	{name: "endless timestamp", code: verify.CodeBadMetadata, role: "timestamp", says: "more than 4096 bytes", process: true, do: func(w *world) {
		w.cfg.Limits.Timestamp = 4096
		w.answer("timestamp.json", endless)
	}},
	{name: "endless root", code: verify.CodeBadMetadata, role: "root", do: func(w *world) {
		w.cfg.Limits.Root = 4096
		w.answer("2.root.json", endless)
	}},
	{name: "endless snapshot", code: verify.CodeBadMetadata, role: "snapshot", do: func(w *world) { w.answer(w.name("snapshot"), endless) }},
	{name: "endless targets", code: verify.CodeBadMetadata, role: "targets", do: func(w *world) { w.answer(w.name("targets"), endless) }},
	{name: "endless proof", code: verify.CodeBadProof, role: "targets", do: func(w *world) { w.answer(w.proof("targets"), endless) }},
	{name: "endless target", code: verify.CodeBadMetadata, says: "longer than", do: func(w *world) {
		w.answers[w.target("targets", "firmware.bin")] = endless
	}},
	{name: "small packet that grows", code: verify.CodeBadMetadata, role: "timestamp", do: func(w *world) {
		w.cfg.Limits.Timestamp = 4096
		w.answer("timestamp.json", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(rw)
			_, _ = io.CopyN(z, blank{}, 1<<20)
			_ = z.Close()
		})
	}},
	{name: "redirected to another repository", code: verify.CodeBadMetadata, role: "timestamp", do: func(w *world) {
		w.files["/elsewhere/timestamp.json"] = w.stranger().Files()["timestamp.json"]
		w.answer("timestamp.json", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, w.url+"/elsewhere/timestamp.json", http.StatusFound)
		})
	}},
	{name: "redirected in a circle", code: verify.CodeNetwork, role: "timestamp", says: "redirects", do: func(w *world) {
		w.answer("timestamp.json", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, r.URL.Path, http.StatusFound)
		})
	}},
	{name: "redirected to a file", code: verify.CodeNetwork, role: "timestamp", says: "unsupported protocol scheme", do: func(w *world) {
		w.answer("timestamp.json", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "file:///etc/passwd", http.StatusFound)
		})
	}},
	{name: "redirected to the same", do: func(w *world) {
		maps.Copy(w.files, moved(w.files))
		for path := range w.files {
			if strings.HasPrefix(path, "/metadata/") {
				w.answers[path] = func(rw http.ResponseWriter, r *http.Request) {
					http.Redirect(rw, r, w.url+"/moved"+path, http.StatusMovedPermanently)
				}
			}
		}
	}},
	{name: "wrong content type", do: func(w *world) {
		w.answers[""] = func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "text/html; charset=utf-16")
			w.file(rw, r)
		}
	}},
	{name: "false length", code: verify.CodeNetwork, role: "timestamp", do: func(w *world) {
		w.answer("timestamp.json", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "100000")
			_, _ = rw.Write(w.get("timestamp.json"))
		})
	}},
	{name: "false coding", code: verify.CodeNetwork, role: "timestamp", do: func(w *world) {
		w.answer("timestamp.json", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Encoding", "gzip")
			_, _ = rw.Write(w.get("timestamp.json"))
		})
	}},
	{name: "byte by byte", code: verify.CodeNetwork, role: "timestamp", process: true, do: func(w *world) {
		w.repo.Timeout = 100 * time.Millisecond
		w.answer("timestamp.json", func(rw http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = rw.Write([]byte(" "))
				_ = http.NewResponseController(rw).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(10 * time.Millisecond):
				}
			}
		})
	}},
}

// blank reads as spaces without an end.
type blank struct{}

func (blank) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// moved returns files under other paths.
func moved(files map[string][]byte) map[string][]byte {
	m := map[string][]byte{}
	for path, content := range files {
		m["/moved"+path] = content
	}
	return m
}

// file answers with the file.
func (w *world) file(rw http.ResponseWriter, r *http.Request) {
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	content, ok := w.files["/"+path]
	if !ok {
		http.NotFound(rw, r)
		return
	}
	_, _ = rw.Write(content)
}

// outageScenes are nobody's ill will.
var outageScenes = []scene{
	{name: "mirror away", code: verify.CodeNetwork, role: "root", says: "connection refused", process: true, do: func(w *world) {
		w.repo.URL = "http://127.0.0.1:1/metadata"
	}},
	{name: "name not resolved", code: verify.CodeNetwork, role: "root", says: "no such host", do: func(w *world) { w.noName() }},
	{name: "500", code: verify.CodeNetwork, role: "root", says: "500", process: true, do: func(w *world) { w.status("", 500) }},
	{name: "503", code: verify.CodeNetwork, role: "targets", says: "503", do: func(w *world) { w.status(w.name("targets"), 503) }},
	{name: "429", code: verify.CodeNetwork, role: "snapshot", says: "429", do: func(w *world) { w.status(w.name("snapshot"), 429) }},
	{name: "407", code: verify.CodeNetwork, role: "root", says: "407", do: func(w *world) { w.status("", 407) }},
	{name: "403", code: verify.CodeNetwork, role: "timestamp", says: "403", do: func(w *world) { w.status("", 403) }},
	{name: "proof that cannot be had", code: verify.CodeNetwork, role: "targets", says: "503", process: true, do: func(w *world) { w.status(w.proof("targets"), 503) }},
	{name: "target that cannot be had", code: verify.CodeNetwork, says: "502", do: func(w *world) {
		w.answers[w.target("targets", "firmware.bin")] = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(502) }
	}},
	{name: "target not there yet", code: verify.CodeNetwork, do: func(w *world) {
		delete(w.files, w.target("targets", "firmware.bin"))
		delete(w.files, "/targets/firmware.bin")
	}},
	{name: "snapshot not there yet", code: verify.CodeNetwork, role: "snapshot", do: func(w *world) { w.remove(w.name("snapshot")) }},
	{name: "targets not there yet", code: verify.CodeNetwork, role: "targets", do: func(w *world) { w.remove(w.name("targets")) }},
	{name: "silent mirror", code: verify.CodeNetwork, role: "timestamp", says: "longer than", do: func(w *world) {
		w.repo.Timeout = 100 * time.Millisecond
		w.answer("timestamp.json", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	}},
	{name: "connection lost in the timestamp", code: verify.CodeNetwork, role: "timestamp", do: func(w *world) { w.lose(w.name("timestamp")) }},
	{name: "connection lost in the snapshot", code: verify.CodeNetwork, role: "snapshot", do: func(w *world) { w.lose(w.name("snapshot")) }},
	{name: "connection lost in the targets", code: verify.CodeNetwork, role: "targets", do: func(w *world) { w.lose(w.name("targets")) }},
	{name: "connection lost in the proof", code: verify.CodeNetwork, role: "targets", do: func(w *world) { w.lose(w.proof("targets")) }},
	{name: "half a root", code: verify.CodeNetwork, role: "root", do: func(w *world) {
		w.rotate("targets")
		w.halve(w.name("root"))
	}},
	{name: "half a timestamp", code: verify.CodeNetwork, role: "timestamp", says: "cut off", process: true, do: func(w *world) { w.halve("timestamp.json") }},
	{name: "half a snapshot", code: verify.CodeNetwork, role: "snapshot", do: func(w *world) { w.halve(w.name("snapshot")) }},
	{name: "half a targets file", code: verify.CodeNetwork, role: "targets", do: func(w *world) { w.halve(w.name("targets")) }},
	{name: "half a proof", code: verify.CodeNetwork, role: "targets", do: func(w *world) { w.halve(w.proof("targets")) }},
	{name: "half a target", code: verify.CodeNetwork, says: "5 of the 10 bytes", do: func(w *world) {
		w.files[w.target("targets", "firmware.bin")] = []byte("firmw")
	}},
	{name: "empty timestamp", code: verify.CodeNetwork, role: "timestamp", do: func(w *world) { w.put("timestamp.json", []byte{}) }},
	{name: "empty proof", code: verify.CodeNetwork, role: "targets", do: func(w *world) { w.put(w.proof("targets"), []byte{}) }},
	{name: "portal that answers everything", code: verify.CodeNetwork, role: "root", says: "a web page", process: true, do: func(w *world) {
		w.answers[""] = portal
	}},
	{name: "web page in the place of a missing root", code: verify.CodeNetwork, role: "root", says: "a web page", do: func(w *world) {
		w.answer("2.root.json", portal)
	}},
	{name: "web page in the place of a proof", code: verify.CodeNetwork, role: "targets", says: "a web page", do: func(w *world) {
		w.answer(w.proof("targets"), portal)
	}},
	{name: "log away", do: func(*world) {}}, // no device ever asks one
	{name: "connection lost in the target", code: verify.CodeNetwork, do: func(w *world) {
		path := w.target("targets", "firmware.bin")
		w.answers[path] = func(rw http.ResponseWriter, _ *http.Request) { cut(rw, w.files[path]) }
	}},
}

// portal is what a hotel's network answers.
func portal(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("Content-Type", "text/html")
	fmt.Fprint(rw, "\n<!DOCTYPE html><html><body>Welcome. Please log in.</body></html>\n")
}
