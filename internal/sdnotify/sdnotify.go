// Package sdnotify tells systemd how a service is doing (sd_notify(3)), for
// units with Type=notify.
package sdnotify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// States for Notify.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
)

// Notify sends a state to the socket that NOTIFY_SOCKET names. Without one it
// does nothing, because no process waits for the state.
func Notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	// "@" stands for the zero byte of an abstract socket, which net knows too.
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "@") {
		return fmt.Errorf("NOTIFY_SOCKET %q is not a path", path)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	_, err = conn.Write([]byte(state))
	return errors.Join(err, conn.Close())
}
