package runtest

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// Auditor shows what it has cosigned of one log, as an auditor does, and judges nothing: a
// test says when it cosigns.
type Auditor struct {
	// URL is its monitoring prefix.
	URL string
	// Key is its public key, and Name what policies call it.
	Key  proofs.Key
	Name string

	signer *proofs.Signer
	http   *httptest.Server
	mu     sync.Mutex
	shows  []byte
}

// NewAuditor starts an auditor of the log with an origin.
func NewAuditor(t testing.TB, origin string) *Auditor {
	t.Helper()
	signer, err := proofs.GenerateSigner(rand.Reader, "auditor.example", proofs.CosignatureV1)
	if err != nil {
		t.Fatal(err)
	}
	a := &Auditor{Name: "auditor", Key: signer.Key(), signer: signer}
	path := fmt.Sprintf("/%x/checkpoint", sha256.Sum256([]byte(origin)))
	a.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Tuflog-Auditor", "auditor.example")
		a.mu.Lock()
		defer a.mu.Unlock()
		switch {
		case r.Method != http.MethodGet:
			http.Error(w, "this is an auditor and not a witness", http.StatusForbidden)
		case r.URL.Path != path || a.shows == nil:
			http.NotFound(w, r)
		default:
			_, _ = w.Write(a.shows)
		}
	}))
	a.URL = a.http.URL
	t.Cleanup(a.http.Close)
	return a
}

// Cosign cosigns what the log at a URL has published.
func (a *Auditor) Cosign(t testing.TB, log string) {
	t.Helper()
	resp, err := http.Get(log + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	signed, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	note, err := proofs.ParseNote(signed)
	if err != nil {
		t.Fatalf("%v: %s", err, signed)
	}
	sig, err := a.signer.Sign(note.Text, time.Now().Unix())
	if err != nil {
		t.Fatal(err)
	}
	note.Signatures = append(note.Signatures, sig)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shows = note.Marshal()
}

// Away makes it unreachable, for good.
func (a *Auditor) Away() { a.http.Close() }

// Devices returns the policy of devices that need the auditor, beside the quorum of another
// policy.
func (a *Auditor) Devices(policy string) string {
	rest, quorum, _ := strings.Cut(policy, "quorum ")
	return fmt.Sprintf("%switness %s %v %s\ngroup auditors any %s\ngroup devices all %s auditors\nquorum devices\n", rest, a.Name, a.Key, a.URL, a.Name, strings.TrimSpace(quorum))
}
