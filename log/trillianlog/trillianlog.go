// Package trillianlog keeps a log's entries in a Trillian server.
package trillianlog

import (
	_ "github.com/google/trillian"
	_ "github.com/google/trillian/types"
	_ "google.golang.org/grpc"
	_ "google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/keepalive"
	_ "google.golang.org/grpc/status"
)
