package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/tuflog/tuflog/internal/lockfile"
)

// passing are errors of the system after which the same may go well later.
var passing = []error{
	syscall.EADDRINUSE, syscall.EADDRNOTAVAIL, syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
	syscall.EAGAIN, syscall.EBUSY, syscall.EIO, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ETIMEDOUT, syscall.ENETUNREACH, syscall.EHOSTUNREACH,
	lockfile.ErrHeld, context.DeadlineExceeded,
}

// Results of SQLite after which the same may go well later: busy, locked, an error of
// the disk, a full disk.
var passingSQLite = map[int]bool{5: true, 6: true, 10: true, 13: true}

// Passing marks an error of a service as Failed if starting it again may help: an
// address that is in use or not there yet, a full disk, a lock of another process. So
// the service ends with exit code 1 and is started again; 2 is for faults that need a
// person.
func Passing(err error) error {
	for _, p := range passing {
		if errors.Is(err, p) {
			return Failed(err)
		}
	}
	var listen *net.OpError
	if errors.As(err, &listen) && listen.Op == "listen" {
		return Failed(err)
	}
	var database interface {
		error
		Code() int
	}
	if errors.As(err, &database) && passingSQLite[database.Code()&0xff] {
		return Failed(err)
	}
	return err
}

// CheckListen returns an error unless addr can be an address to listen on.
func CheckListen(flag, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("--%s %q: want HOST:PORT, such as 127.0.0.1:7370: %w", flag, addr, err)
	}
	return nil
}
