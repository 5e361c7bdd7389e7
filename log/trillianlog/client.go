package trillianlog

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// errBusy means that Trillian, its database or its signer cannot be reached or
// is overloaded. This may be temporary, so it wraps log.ErrUnavailable.
var errBusy = fmt.Errorf("the log's Trillian is %w", log.ErrUnavailable)

const (
	maxMessage = 4 << 20 // bytes; the limit that servers have unless told otherwise
	rpcTimeout = 5 * time.Second
	// retryTime is how long a call is repeated before it fails.
	retryTime  = time.Second
	firstPause = 10 * time.Millisecond
	maxPause   = 250 * time.Millisecond
	// maxChunk is the number of leaves that are requested at once. It is halved
	// where they do not fit into a message.
	maxChunk = 1024
	// alignment of chunks: a bundle is not asked for twice.
	alignment = 256
)

// client speaks to a log server about one tree.
type client struct {
	conn *grpc.ClientConn
	rpc  trillian.TrillianLogClient
	tree int64
	// heard is the time of the server's last successful answer.
	heard *atomic.Pointer[time.Time]
	// chunk is how many leaves probably fit into a message. It belongs to the
	// one who reads.
	chunk int64
}

func newClient(conn *grpc.ClientConn, tree int64) client {
	c := client{conn: conn, rpc: trillian.NewTrillianLogClient(conn), tree: tree, heard: new(atomic.Pointer[time.Time]), chunk: maxChunk}
	c.hear()
	return c
}

func (c *client) hear() {
	now := time.Now()
	c.heard.Store(&now)
}

// silent is for how long nothing was heard.
func (c *client) silent() time.Duration { return time.Since(*c.heard.Load()) }

func dial(target string, config *tls.Config, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if config != nil {
		creds = credentials.NewTLS(config)
	}
	options := append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(), // nobody else says what is sent again
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.WaitForReady(false)),
		// A connection that swallows what is sent is given up after Timeout.
		// Pings are rare: servers disconnect clients that ping often.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 3 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
	}, more...)
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to Trillian at %q: %w", target, err)
	}
	return conn, nil
}

// failed describes the error of a call. A cancelled call fails for the caller's
// reason, not because a server is busy.
func failed(ctx context.Context, call string, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w: %w", call, context.Cause(ctx), err)
	case isBusy(err):
		return fmt.Errorf("%w: %s: %w", errBusy, call, err)
	}
	return fmt.Errorf("%s: %w", call, err)
}

// isBusy reports whether an error may be temporary. PostgreSQL's messages come
// without a code of their own.
func isBusy(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Canceled:
		return true
	case codes.Unknown, codes.Internal:
	default:
		return false
	}
	text := strings.ToLower(err.Error())
	for _, s := range []string{
		"too many clients", "too many connections", "connection slots", "connection limit",
		"failed to connect", "connection refused", "connection reset", "broken pipe", "unexpected eof", "conn closed", "closed pool",
		"database system is", "terminating connection", "context deadline exceeded", "context canceled", "i/o timeout",
	} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// isDefinite reports whether the server has refused a call without any effect.
func isDefinite(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.NotFound, codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented, codes.OutOfRange:
		return true
	}
	return false
}

// retry repeats a call that changes nothing for a short while.
func (c *client) retry(ctx context.Context, name string, call func(context.Context) error) error {
	end := time.Now().Add(retryTime)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		attempt, cancel := context.WithTimeout(ctx, rpcTimeout)
		err := call(attempt)
		cancel()
		if err == nil {
			c.hear()
			return nil
		}
		if status.Code(err) == codes.ResourceExhausted || !isBusy(err) || time.Now().After(end) || wait.For(ctx, jitter(pause)) != nil {
			return failed(ctx, name, err)
		}
	}
}

// jitter is between half of d and d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// treeOf reads Trillian's unsigned root.
func treeOf(signed *trillian.SignedLogRoot) (proofs.Tree, error) {
	var root types.LogRootV1
	if err := root.UnmarshalBinary(signed.GetLogRoot()); err != nil {
		return proofs.Tree{}, fmt.Errorf("root of Trillian: %w", err)
	}
	size := int64(root.TreeSize)
	if size < 0 || len(root.RootHash) != len(proofs.Hash{}) {
		return proofs.Tree{}, fmt.Errorf("root of Trillian: size %d, hash of %d bytes", root.TreeSize, len(root.RootHash))
	}
	tree := proofs.Tree{N: size, Hash: proofs.Hash(root.RootHash)}
	if size == 0 && tree != proofs.EmptyTree {
		return proofs.Tree{}, fmt.Errorf("root of Trillian: %v for the empty tree", tree.Hash)
	}
	return tree, nil
}

// root returns the tree that Trillian has integrated.
func (c *client) root(ctx context.Context) (tree proofs.Tree, err error) {
	const name = "GetLatestSignedLogRoot"
	var r *trillian.GetLatestSignedLogRootResponse
	err = c.retry(ctx, name, func(ctx context.Context) (err error) {
		r, err = c.rpc.GetLatestSignedLogRoot(ctx, &trillian.GetLatestSignedLogRootRequest{LogId: c.tree})
		return err
	})
	if err != nil {
		return tree, err
	}
	return treeOf(r.GetSignedLogRoot())
}

// leaves returns the values of up to most leaves from start on, and the tree
// that Trillian has integrated. There are leaves only if start is within that
// tree, but then also such as are not integrated yet. Fewer than most are
// returned where Trillian has no more or a message would be too large.
func (c *client) leaves(ctx context.Context, start, most int64) (tree proofs.Tree, values [][]byte, err error) {
	const name = "GetLeavesByRange"
	for {
		count := c.chunk - start%min(alignment, c.chunk)
		if count < 2 { // what follows on a leaf is to be seen
			count += c.chunk
		}
		count = min(most, count)
		var r *trillian.GetLeavesByRangeResponse
		err = c.retry(ctx, name, func(ctx context.Context) (err error) {
			r, err = c.rpc.GetLeavesByRange(ctx, &trillian.GetLeavesByRangeRequest{LogId: c.tree, StartIndex: start, Count: count})
			return err
		})
		switch {
		case status.Code(err) == codes.ResourceExhausted && c.chunk > 1:
			c.chunk /= 2
			continue
		case err != nil:
			return tree, nil, err
		}
		if tree, err = treeOf(r.GetSignedLogRoot()); err != nil {
			return tree, nil, err
		}
		size := 0
		for i, leaf := range r.GetLeaves() {
			if leaf.GetLeafIndex() != start+int64(i) {
				return tree, nil, fmt.Errorf("%s from %d on: leaf %d has index %d", name, start, i, leaf.GetLeafIndex())
			}
			values = append(values, leaf.GetLeafValue())
			size += len(leaf.GetLeafValue())
		}
		if int64(len(values)) > count {
			return tree, nil, fmt.Errorf("%s: %d leaves instead of %d", name, len(values), count)
		}
		if size < maxMessage/8 && c.chunk < maxChunk {
			c.chunk *= 2
		}
		return tree, values, nil
	}
}

// consistent checks with a proof from Trillian that the newer tree begins with
// the older one.
func (c *client) consistent(ctx context.Context, older, newer proofs.Tree) error {
	var hashes []proofs.Hash
	if older.N > 0 && older.N < newer.N {
		const name = "GetConsistencyProof"
		var r *trillian.GetConsistencyProofResponse
		err := c.retry(ctx, name, func(ctx context.Context) (err error) {
			r, err = c.rpc.GetConsistencyProof(ctx, &trillian.GetConsistencyProofRequest{LogId: c.tree, FirstTreeSize: older.N, SecondTreeSize: newer.N})
			return err
		})
		if err != nil {
			return err
		}
		for _, h := range r.GetProof().GetHashes() {
			if len(h) != len(proofs.Hash{}) {
				return fmt.Errorf("%s: hash of %d bytes", name, len(h))
			}
			hashes = append(hashes, proofs.Hash(h))
		}
	}
	if err := proofs.VerifyConsistency(older, newer, hashes); err != nil {
		return fmt.Errorf("%w: %w", ErrContradiction, err)
	}
	return nil
}

// state returns Trillian's state of the tree.
func (c *client) state(ctx context.Context) (string, error) {
	tree, err := trillian.NewTrillianAdminClient(c.conn).GetTree(ctx, &trillian.GetTreeRequest{TreeId: c.tree})
	if status.Code(err) == codes.NotFound {
		return "", fmt.Errorf("%w: %d", ErrNoTree, c.tree)
	}
	if err != nil {
		return "", failed(ctx, "GetTree", err)
	}
	return tree.GetTreeState().String(), nil
}
