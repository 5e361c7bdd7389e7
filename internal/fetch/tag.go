package fetch

import "net/http"

// maxTag is the length of the longest entity tag that is sent back: bytes. Servers make them of a
// digest, or of a size and a time.
const maxTag = 256

// ETag returns the entity tag of an answer, for If-None-Match of the next request; empty: it has
// none, or one that is too long to be a server's. One long tag, of a proxy on the way, must not
// make requests that the server refuses for their size from then on.
func ETag(resp *http.Response) string {
	tag := resp.Header.Get("ETag")
	if len(tag) > maxTag {
		return ""
	}
	return tag
}
