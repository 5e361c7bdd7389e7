package httpd

import (
	"net/http"

	"github.com/tuflog/tuflog/internal/room"
	"github.com/tuflog/tuflog/log/quota"
)

// LimitConnections keeps a server from having more connections than most at once.
// One more takes the place of another: see package internal/room. So nobody keeps
// others out by sending slowly.
func LimitConnections(server *http.Server, most int) {
	room.LimitConnections(server, room.New(most, 0), quota.NetworkOfConn)
}
