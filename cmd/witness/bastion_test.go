package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/witness/bastion"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// behindBastion starts a witness behind torchwood's bastion.
func behindBastion(t *testing.T, dir string, flags ...string) (*serving, *witnesstest.Bastion) {
	t.Helper()
	key, err := bastionKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := witnesstest.NewBastion(t, "127.0.0.1:0", bastion.KeyHash(key.Public().(ed25519.PublicKey)))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, b.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serveProgram(t, dir, append([]string{"--bastion", b.Address(), "--bastion-ca", ca}, flags...)...)
	runtest.Eventually(t, "the bastion has the witness", func() bool { return strings.Contains(p.Said(), "connected to the bastion") })
	if want := fmt.Sprintf("bastion %s: key hash %s, submission prefix %s\n", b.Address(), bastion.KeyHash(key.Public().(ed25519.PublicKey)), b.Prefix()); !strings.Contains(p.Said(), strings.TrimSpace(want)) {
		t.Errorf("serve says %q, without %q", p.Said(), want)
	}
	return p, b
}

// TestBehindBastion: a witness without an open port cosigns, from its first start on
// and after a kill, and says on its page where it is reached.
func TestBehindBastion(t *testing.T) {
	dir, key := newWitness(t)
	log := witnesstest.NewLog(t, "log.example")
	mustRun(t, "log", "add", "--dir", dir, log.Key().String())
	about := filepath.Join(t.TempDir(), "about.txt")
	if err := os.WriteFile(about, []byte("Run by <b>volunteers</b>.\n\nFor tests.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, b := behindBastion(t, dir, "--contact", "ops@witness.example <&>", "--about", about)
	c := &client.Client{URL: b.Prefix(), Key: key, HTTP: b.ClientAt("127.0.0.1")}
	grow := func() {
		t.Helper()
		old := log.Size()
		log.Grow(1, "")
		if _, err := c.AddCheckpoint(t.Context(), log.Request(old)); err != nil {
			t.Fatal(err)
		}
	}
	grow()
	resp, err := c.HTTP.Get(b.Prefix() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		b.Prefix() + "/add-checkpoint\n", "Contact: ops@witness.example &lt;&amp;&gt;", "<p>Run by &lt;b&gt;volunteers&lt;/b&gt;.</p>\n<p>For tests.</p>",
		"No list of logs is followed", "100 new checkpoints of one log a second, 1000 at once", strings.ReplaceAll(key.String(), "+", "&#43;") + "\n",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q: %s", want, page)
		}
	}
	p.kill()
	p.Start(t)
	runtest.Eventually(t, "the bastion has the witness again", func() bool {
		return strings.Count(p.Said(), "connected to the bastion") >= 2
	})
	grow()
	p.stop()
	mustRefuse(t, "stands there twice", "serve", "--dir", dir, "--bastion", "b.example,b.example:443")
	mustRefuse(t, "not HOST or HOST:PORT", "serve", "--dir", dir, "--bastion", "https://b.example")
	mustRefuse(t, "has no certificate", "serve", "--dir", dir, "--bastion", "b.example", "--bastion-ca", about)
	mustRefuse(t, "--bastion-ca needs --bastion", "serve", "--dir", dir, "--bastion-ca", about)
}

// TestStrangersAtABastion: a stranger who asks through the bastion, without end or too
// often, keeps no log there waiting, and does not end the connection of all.
func TestStrangersAtABastion(t *testing.T) {
	dir, key := newWitness(t)
	log := witnesstest.NewLog(t, "log.example")
	mustRun(t, "log", "add", "--dir", dir, log.Key().String())
	p, b := behindBastion(t, dir, "--max-per-address", "20", "--metrics-listen", "127.0.0.1:0")
	c := &client.Client{URL: b.Prefix(), Key: key, HTTP: b.ClientAt("127.0.0.1")}
	served := func() {
		t.Helper()
		for range 3 {
			old := log.Size()
			log.Grow(1, "")
			if _, err := c.AddCheckpoint(t.Context(), log.Request(old)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// More requests that do not end than the witness has room for of one address.
	stranger := b.ClientAt("127.0.0.3")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const many = 60
	var begun sync.WaitGroup
	defer begun.Wait()
	defer cancel()
	for range many {
		body, begin := io.Pipe()
		go func() { _, _ = begin.Write([]byte("old ")) }()
		context.AfterFunc(ctx, func() { _ = begin.Close() })
		begun.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.Prefix()+"/add-checkpoint", body)
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := stranger.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		})
	}
	// The bastion answers a client only when it has sent all, so the witness is asked.
	_, metrics, _ := strings.Cut(p.Said(), "metrics on ")
	metrics, _, _ = strings.Cut(metrics, "\n")
	gaveUp := regexp.MustCompile(`(?m)^tuflog_witness_answers_total\{outcome="busy"\} [4-9][0-9]$`)
	runtest.Eventually(t, "those that had to go are given up", func() bool {
		_, text := get(t, metrics)
		return gaveUp.MatchString(text)
	})
	served()
	cancel()
	limited := false
	for range 400 {
		resp, err := stranger.Post(b.Prefix()+"/add-checkpoint", "", bytes.NewReader([]byte("x")))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if limited = resp.StatusCode == http.StatusTooManyRequests; limited {
			break
		}
	}
	if !limited {
		t.Error("400 requests of one stranger meet no limit")
	}
	served()
	if n := strings.Count(p.Said(), "connected to the bastion"); n != 1 {
		t.Errorf("connected %d times: %s", n, p.Said())
	}
}

// TestManyStrangersAtABastion: strangers at many addresses, whose requests do not end, keep
// no log waiting. The bastion counts such a request until its client has sent all.
func TestManyStrangersAtABastion(t *testing.T) {
	dir, key := newWitness(t)
	log := witnesstest.NewLog(t, "log.example")
	mustRun(t, "log", "add", "--dir", dir, log.Key().String())
	p, b := behindBastion(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	// Twelve addresses, each always with as many requests as one may have.
	var sent atomic.Int64
	for i := range 12 {
		stranger := b.ClientAt(fmt.Sprintf("127.0.0.%d", 10+i))
		for range 16 {
			running.Go(func() {
				for ctx.Err() == nil {
					body, begin := io.Pipe()
					go func() {
						_, _ = begin.Write([]byte("old "))
						sent.Add(1)
					}()
					stop := context.AfterFunc(ctx, func() { _ = begin.Close() })
					req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.Prefix()+"/add-checkpoint", body)
					if err != nil {
						t.Error(err)
						return
					}
					if resp, err := stranger.Do(req); err == nil {
						_ = resp.Body.Close()
					}
					stop()
					_ = begin.Close()
				}
			})
		}
	}
	runtest.Eventually(t, "all strangers have begun", func() bool { return sent.Load() >= 12*16 })
	c := &client.Client{URL: b.Prefix(), Key: key, HTTP: b.ClientAt("127.0.0.1")}
	for range 5 {
		old := log.Size()
		log.Grow(1, "")
		begun := time.Now()
		if _, err := c.AddCheckpoint(t.Context(), log.Request(old)); err != nil {
			t.Fatal(err)
		}
		t.Log("cosigned in", time.Since(begun))
	}
	if n := strings.Count(p.Said(), "connected to the bastion"); n != 1 {
		t.Errorf("connected %d times: %s", n, p.Said())
	}
}
