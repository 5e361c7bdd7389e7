package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/quota"
)

// ForwarderConfig says where to pass requests on to.
type ForwarderConfig struct {
	// Leader returns the present leader, and false where there is none. It is asked
	// several times a second.
	Leader func(ctx context.Context) (Leader, bool, error)
	// Why says, where nobody leads, what keeps this front end from it, or is
	// nil. Nil means that nothing ever does.
	Why func() error
	// Secret identifies front ends to the leader. It is sent to the
	// leader's URL and nowhere else.
	Secret string
	// Patience is how long a request waits at most for a leader, if its client
	// waits as long. Zero means 10 s: more than a change of leaders takes.
	Patience time.Duration
	// Transport sends the requests. Nil means one that uses no proxy.
	Transport http.RoundTripper
	// Logger reports what an operator should know. Nil means slog.Default().
	Logger *slog.Logger
}

// Forwarder is PassOn over HTTP. Where the leader is gone, or no longer leads, or
// dies before it has answered, the request is sent to the next one: a submission
// that is sent twice is in the log once.
type Forwarder struct {
	cfg ForwarderConfig

	mu     sync.Mutex // one question at a time
	asked  time.Time
	leader Leader
	err    error // why the leader is not known

	asking   sync.Mutex // whether the leader is ready, one at a time
	answered time.Time
	of       int64 // the epoch of which it was
	unready  error

	warning sync.Mutex
	warned  time.Time
}

const (
	leaderFor = 100 * time.Millisecond // how long an answer of ForwarderConfig.Leader holds
	watchFor  = 250 * time.Millisecond // how often a request that waits looks for the leader
	readyFor  = 500 * time.Millisecond // how long the leader's answer holds whether it is ready
	askFor    = 2 * time.Second        // how long asking may take
	hurryFor  = 5 * time.Second        // how long Hurry may take

	firstRetry, lastRetry = 50 * time.Millisecond, 500 * time.Millisecond

	// maxBroken is how often a request is sent that a leader has taken and not
	// answered: should it be what ends leaders, it does not end all of them.
	maxBroken = 3
	// slack is how long an answer may take beyond what the client waits for.
	slack = 30 * time.Second
	// maxAnswer is the largest answer in bytes: as many as api.Client reads.
	maxAnswer = 64 << 20
)

var (
	errNoLeader  = errors.New("no front end leads the log at the moment")
	errNotLeader = errors.New("it does not lead, or not for much longer")
	errDeposed   = errors.New("another front end leads now")
)

// strangerError is an answer from the leader's URL that is not the leader's.
type strangerError struct {
	url    string
	status int
}

func (e *strangerError) Error() string {
	return fmt.Sprintf("%s answered %d %s: that is not the answer of a front end, but of a proxy before it or of another server", e.url, e.status, http.StatusText(e.status))
}

// NewForwarder returns a Forwarder.
func NewForwarder(cfg ForwarderConfig) *Forwarder {
	if cfg.Patience == 0 {
		cfg.Patience = 10 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Transport == nil {
		cfg.Transport = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second,
			MaxIdleConnsPerHost: 256,
			IdleConnTimeout:     time.Minute,
			DisableCompression:  true,
		}
	}
	return &Forwarder{cfg: cfg}
}

// Trouble implements PassOn: it asks the leader whether it is ready. A lost leader counts
// as absent until a new one takes over.
func (f *Forwarder) Trouble(ctx context.Context) error {
	leader, err := f.find(ctx)
	if err != nil {
		return err
	}
	f.asking.Lock()
	defer f.asking.Unlock()
	if leader.Epoch != f.of || time.Since(f.answered) >= readyFor {
		f.unready = f.ready(ctx, leader)
		f.of, f.answered = leader.Epoch, time.Now()
	}
	return f.unready
}

// ready asks the leader whether it is. Others get the same answer, so a client that does
// not wait for it does not end the question.
func (f *Forwarder) ready(ctx context.Context, leader Leader) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor)
	defer cancel()
	a, err := f.get(ctx, leader, "/readyz")
	if err == nil && a.status != http.StatusOK {
		p, _ := a.problem()
		err = errors.New(cmp.Or(p.Detail, http.StatusText(a.status)))
	}
	if err != nil {
		return fmt.Errorf("the front end that leads is not ready: %w", err)
	}
	return nil
}

// Reach asks the leader whether it leads, and returns its epoch, 0 where no leader is
// known. The error says why nobody answers at its URL, or that somebody else does. Whether
// the leader is ready is another question.
func (f *Forwarder) Reach(ctx context.Context) (epoch int64, err error) {
	leader, err := f.find(ctx)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	_, err = f.get(ctx, leader, "/readyz")
	return leader.Epoch, err
}

// Hurry implements PassOn: it asks the leader a question that is answered only when the
// derived state there has everything.
func (f *Forwarder) Hurry(ctx context.Context) {
	leader, err := f.find(ctx)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, hurryFor)
	defer cancel()
	// It matters only that there is an answer.
	_, _ = f.get(ctx, leader, "/v1/lookup/sha256/"+strings.Repeat("0", 64))
}

// get asks the leader in this front end's own name.
func (f *Forwarder) get(ctx context.Context, leader Leader, path string) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(leader.URL, "/")+path, nil)
	if err != nil {
		return nil, fetch.RedactError(err)
	}
	req.Header.Set(quota.HeaderFrontEnd, f.cfg.Secret)
	return f.receive(req, leader)
}

// find returns the leader.
func (f *Forwarder) find(ctx context.Context) (Leader, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.asked) < leaderFor {
		return f.leader, f.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor)
	defer cancel()
	leader, ok, err := f.cfg.Leader(ctx)
	switch {
	case err != nil:
		err = fmt.Errorf("the leader of the log is not known: %w", err)
	case !ok:
		err = f.nobody()
	}
	if err == nil && leader.Epoch != f.leader.Epoch {
		f.cfg.Logger.Info("following a leader", "url", fetch.Redacted(leader.URL), "epoch", leader.Epoch)
	}
	if err == nil {
		f.leader = leader
	}
	f.err, f.asked = err, time.Now()
	return f.leader, f.err
}

// nobody is the error where nobody leads.
func (f *Forwarder) nobody() error {
	if f.cfg.Why != nil {
		if why := f.cfg.Why(); why != nil {
			return fmt.Errorf("%w: %w", errNoLeader, why)
		}
	}
	return errNoLeader
}

// ServeHTTP implements PassOn.
func (f *Forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	patience := httpd.PreferredWait(r.Header)
	began := time.Now()
	lost := began // since when it has been looking for a leader
	broken := 0
	stranger := int64(-1) // the epoch in which something else than the leader has answered
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		leader, err := f.find(r.Context())
		if err == nil {
			sent := time.Now()
			var a *answer
			if a, err = f.send(r, leader, max(0, patience-time.Since(began))); err == nil {
				a.write(w)
				return
			}
			// A proxy says the same whether the leader has died of the request or
			// had died before: it counts once for each leader.
			var other *strangerError
			strange := errors.As(err, &other)
			if mayBeTaken(err) && !(strange && stranger == leader.Epoch) {
				broken++
			}
			if strange {
				stranger = leader.Epoch
			}
			if time.Since(sent) > lastRetry {
				lost, pause = time.Now(), firstRetry // the leader had it, and was lost only now
			}
		}
		if time.Since(lost) >= f.cfg.Patience || time.Since(began) >= patience || broken >= maxBroken || wait.For(r.Context(), pause) != nil {
			f.warn(r, err)
			detail := "the front end that leads the log cannot be reached; another one takes over in a few seconds"
			var other *strangerError
			if errors.As(err, &other) {
				// It may be the same the next time: a proxy that wants no large bodies, say.
				detail = fmt.Sprintf("the front end that leads the log cannot be reached: something else answers in its place, %d %s", other.status, http.StatusText(other.status))
			}
			httpd.Unavailable(w, api.CodeUnavailable, "%s", detail)
			return
		}
	}
}

// warn tells of a request that was not passed on, once a second.
func (f *Forwarder) warn(r *http.Request, err error) {
	f.warning.Lock()
	defer f.warning.Unlock()
	if r.Context().Err() != nil || time.Since(f.warned) < time.Second {
		return
	}
	f.warned = time.Now()
	f.cfg.Logger.Warn("a request was not passed on", "method", r.Method, "path", r.URL.Path, "err", err)
}

// mayBeTaken reports whether a request that failed may have been taken.
func mayBeTaken(err error) bool {
	var dial *net.OpError
	return !errors.Is(err, errNotLeader) && !errors.Is(err, errDeposed) && !(errors.As(err, &dial) && dial.Op == "dial")
}

// answer is the leader's answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send sends a request to the leader and reads the whole answer: one that breaks
// off in the middle does not count.
func (f *Forwarder) send(r *http.Request, leader Leader, wait time.Duration) (*answer, error) {
	ctx, cancel := context.WithTimeout(r.Context(), wait+slack)
	defer cancel()
	ctx, give := context.WithCancelCause(ctx)
	defer give(nil)
	go f.watch(ctx, leader, give)
	req, err := f.request(ctx, r, leader, wait)
	if err != nil {
		return nil, err
	}
	a, err := f.receive(req, leader)
	if err != nil {
		return nil, because(ctx, err)
	}
	return a, nil
}

// receive sends a request to the leader and reads its answer.
func (f *Forwarder) receive(req *http.Request, leader Leader) (*answer, error) {
	// Not http.Client: the secret follows no redirect.
	resp, err := f.cfg.Transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fetch.Redacted(leader.URL), err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the leader's answer is larger than %d bytes", maxAnswer)
	}
	a := &answer{resp.StatusCode, resp.Header, body}
	p, ok := a.problem()
	switch {
	case ok && a.status == http.StatusServiceUnavailable && p.Code == api.CodeNotLeader:
		return nil, fmt.Errorf("%s: %w", fetch.Redacted(leader.URL), errNotLeader)
	case a.status >= http.StatusBadRequest && !(ok && p.Code != ""), a.header.Get("X-Request-Id") == "":
		// In place of a leader that is gone a proxy may answer, and anybody at a wrong --url.
		return nil, &strangerError{fetch.Redacted(leader.URL), a.status}
	}
	return a, nil
}

// because prefers the reason why a request was given up to the error that followed.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errDeposed) {
		return cause
	}
	return err
}

// watch gives up waiting for a leader that has been deposed: one that hangs, or
// that cannot be reached any more, may never answer.
func (f *Forwarder) watch(ctx context.Context, leader Leader, give context.CancelCauseFunc) {
	for wait.For(ctx, watchFor) == nil {
		if now, err := f.find(ctx); err == nil && now.Epoch != leader.Epoch {
			give(errDeposed)
			return
		}
	}
}

// passedOn are the headers of a client that the leader gets to see.
var passedOn = []string{"Authorization", "Content-Type", "Content-Encoding", "Accept", "User-Agent", "If-None-Match", api.HeaderToken, quota.HeaderClient}

// request is the client's request as the leader gets it.
func (f *Forwarder) request(ctx context.Context, r *http.Request, leader Leader, wait time.Duration) (*http.Request, error) {
	var body io.Reader = http.NoBody
	if r.GetBody != nil {
		b, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		body = b
	}
	url := strings.TrimSuffix(leader.URL, "/") + r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		url += "?" + r.URL.RawQuery
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, url, body)
	if err != nil {
		return nil, fetch.RedactError(err)
	}
	if r.GetBody != nil {
		req.ContentLength, req.GetBody = r.ContentLength, r.GetBody
	}
	for _, name := range passedOn {
		if v, ok := r.Header[name]; ok {
			req.Header[name] = v
		}
	}
	req.Header.Set("X-Request-Id", r.Header.Get("X-Request-Id"))
	req.Header.Set("Prefer", "wait="+strconv.Itoa(int(wait.Seconds()+0.5)))
	req.Header.Set(quota.HeaderFrontEnd, f.cfg.Secret)
	// So net/http sends it again by itself on a connection that the leader had
	// closed while it was idle. A nil value is not sent.
	req.Header["Idempotency-Key"] = nil
	return req, nil
}

// problem reads an answer that is a problem.
func (a *answer) problem() (p api.Problem, ok bool) {
	mediaType, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	ok = err == nil && mediaType == api.TypeProblem && json.Unmarshal(a.body, &p) == nil
	return p, ok
}

// fromConnection are headers that do not belong to the answer itself.
var fromConnection = []string{"Connection", "Keep-Alive", "Date", "Transfer-Encoding", "Trailer", "Upgrade", "Content-Length"}

func (a *answer) write(w http.ResponseWriter) {
	h := w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	for _, name := range fromConnection {
		h.Del(name)
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	// An error here is a client that has gone.
	_, _ = io.Copy(w, bytes.NewReader(a.body))
}
