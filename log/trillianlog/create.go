package trillianlog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/google/trillian"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// CreateTree makes an empty tree for a log at a log server and returns its
// number. config nil means plain text. A tree that was made but could not be
// initialised is named in the error.
func CreateTree(ctx context.Context, target string, config *tls.Config) (treeID int64, err error) {
	conn, err := dial(target, config, grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := checkCertificate(ctx, target, config); err != nil {
		return 0, err
	}
	tree, err := trillian.NewTrillianAdminClient(conn).CreateTree(ctx, &trillian.CreateTreeRequest{Tree: &trillian.Tree{
		TreeState:   trillian.TreeState_ACTIVE,
		TreeType:    trillian.TreeType_PREORDERED_LOG,
		DisplayName: "tuflog",
		// Trillian's root changes when there are new leaves, and only then.
		MaxRootDuration: durationpb.New(0),
	}})
	if err != nil {
		return 0, failed(ctx, "CreateTree", err)
	}
	c := newClient(conn, tree.GetTreeId())
	if _, err := c.rpc.InitLog(ctx, &trillian.InitLogRequest{LogId: c.tree}); err != nil {
		return 0, fmt.Errorf("initialise tree %d: %w", c.tree, failed(ctx, "InitLog", err))
	}
	if _, err := c.root(ctx); err != nil {
		return 0, fmt.Errorf("first root of tree %d: %w", c.tree, err)
	}
	return c.tree, nil
}

// checkCertificate refuses a server that shows a wrong certificate, or none: a call that
// waits for the server to be there would wait for that as well.
func checkCertificate(ctx context.Context, target string, config *tls.Config) error {
	if config == nil {
		return nil
	}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", target)
	var wrong *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &wrong) || errors.As(err, &plain):
		return fmt.Errorf("log server of Trillian at %s: %w", target, err)
	case err != nil:
		return nil // it is not there yet
	}
	_ = conn.Close() // nothing was sent
	return nil
}

// FreezeTree asks a log server to refuse further appends to a tree.
func FreezeTree(ctx context.Context, cfg Config) (err error) {
	conn, err := dial(cfg.Target, cfg.TLS, cfg.dialOptions...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	if _, err := trillian.NewTrillianAdminClient(conn).UpdateTree(ctx, &trillian.UpdateTreeRequest{
		Tree:       &trillian.Tree{TreeId: cfg.TreeID, TreeState: trillian.TreeState_FROZEN},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"tree_state"}},
	}); err != nil {
		return fmt.Errorf("freeze tree %d: %w", cfg.TreeID, failed(ctx, "UpdateTree", err))
	}
	return nil
}
