package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tuflog/tuflog/internal/build"
	"github.com/tuflog/tuflog/internal/fetch"
)

const (
	maxAnswer    = 64 << 10 // bytes of an answer that are read
	maxAnswerSay = 200      // bytes of it that an error has
	maxHeaders   = 16 << 10 // bytes
)

// webhook sends events by HTTP, signed as Standard Webhooks says.
type webhook struct {
	url     string
	signer  *standardwebhooks.Webhook
	client  *http.Client
	cfg     *Config
	timeout time.Duration
}

func (t *To) checkWebhook() error {
	if err := required("url", t.URL); err != nil {
		return err
	}
	u, err := url.Parse(t.URL)
	switch {
	case err != nil:
		return fmt.Errorf("url: %w: not a URL", errConfig) // it may have a secret
	case u.Host == "" || u.Opaque != "" || u.Hostname() == "":
		return fmt.Errorf("url: %w: it has no host", errConfig)
	case u.Scheme == "http" && !t.AllowPrivate:
		return fmt.Errorf("url: %w: http, want https: what a receiver in a private network is sent may go by http, with allow_private = true", errConfig)
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("url: %w: scheme %q, want https", errConfig, clip(u.Scheme))
	case u.Fragment != "":
		return fmt.Errorf("url: %w: it has a fragment", errConfig)
	}
	return required("secret_file", t.SecretFile)
}

func newWebhook(to To, cfg *Config) (sender, error) {
	secret, err := readSecret(to.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("secret_file: %w", err)
	}
	if !strings.HasPrefix(secret, "whsec_") {
		return nil, fmt.Errorf("secret_file: %w: want whsec_ and base64, such as of 32 random bytes", errConfig)
	}
	signer, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, fmt.Errorf("secret_file: %w: what follows whsec_ is not base64", errConfig)
	}
	if n := len(secret) - len("whsec_"); n < 32 {
		return nil, fmt.Errorf("secret_file: %w: a secret of less than 24 bytes", errConfig)
	}
	return &webhook{to.URL, signer, receiverClient(to.AllowPrivate), cfg, to.Timeout}, nil
}

// receiverClient returns a client that speaks with public addresses, or with all, without a
// proxy, which would dial in its stead, and follows no redirect: a receiver that others
// control must not reach what only this machine can.
func receiverClient(allowPrivate bool) *http.Client {
	return fetch.Direct(&http.Client{Transport: &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer(allowPrivate).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: maxHeaders,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        time.Minute,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}})
}

func (w *webhook) send(ctx context.Context, events []outgoing) error {
	for _, e := range events {
		if err := w.post(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (w *webhook) post(ctx context.Context, e outgoing) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	now := w.cfg.Now()
	signature, err := w.signer.Sign(e.ID, now, e.Body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(e.Body))
	if err != nil {
		return fmt.Errorf("url: %w: not a URL", errConfig)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "tuflog-auditor/"+build.Read().Version)
	req.Header.Set(standardwebhooks.HeaderWebhookID, e.ID)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	resp, err := fetch.Do(w.client, req)
	if err != nil {
		return w.withoutURL(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 == 2 {
		return nil
	}
	answer = w.withoutSecret(answer)
	err = fmt.Errorf("the receiver answers %d %s%s", resp.StatusCode, http.StatusText(resp.StatusCode), said(answer[:min(len(answer), maxAnswerSay)]))
	if resp.StatusCode == http.StatusGone {
		return errors.Join(errGone, err)
	}
	// What is about the message delays no other one, whatever else the receiver says.
	if refusal(resp.StatusCode) {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	if after, ok := retryAfter(resp.Header.Get("Retry-After"), now); ok {
		return &laterError{after, err}
	}
	return err
}

// refusal reports whether an answer is about what was sent, and not about when.
func refusal(status int) bool {
	return status/100 == 4 && status != http.StatusRequestTimeout && status != http.StatusTooEarly && status != http.StatusTooManyRequests
}

// withoutURL keeps the URL of a receiver, which is often all that it takes to write there,
// out of logs and of what other receivers are told.
func (w *webhook) withoutURL(err error) error {
	if fetch.AsRedirect(err) != nil {
		return errors.New("the receiver redirects, which is not followed")
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return fmt.Errorf("the receiver is not reached: %w", err)
}

// minSecret is the length from which on a word of a URL may be a secret: bytes.
const minSecret = 4

// withoutSecret returns what a receiver said without the words of the URL behind the host,
// which many repeat.
func (w *webhook) withoutSecret(answer []byte) []byte {
	u, err := url.Parse(w.url)
	if err != nil {
		return nil
	}
	text := string(answer)
	for _, part := range []string{u.EscapedPath(), u.Path, u.RawQuery, u.User.String()} {
		words := strings.FieldsFunc(part, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		for _, word := range append([]string{part}, words...) {
			if len(word) >= minSecret {
				text = regexp.MustCompile("(?i)"+regexp.QuoteMeta(word)).ReplaceAllLiteralString(text, "...")
			}
		}
	}
	return []byte(text)
}

// retryAfter reads the header of this name: seconds, or a date.
func retryAfter(value string, now time.Time) (time.Duration, bool) {
	if value == "" || len(value) > 64 {
		return 0, false
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter, true // that is long
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), maxRetryAfter), true
}
