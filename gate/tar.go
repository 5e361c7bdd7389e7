package gate

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

const timestampName = "timestamp.json"

// tarLimits bound what is read of a tar file.
type tarLimits struct {
	bytes int64 // of all files together
	files int
}

// readTar reads the files of a staged repository, by name. The first is timestamp.json, which
// is given to first before more is read: its error ends it. Errors are refusals, or those of
// r.
func readTar(r io.Reader, limits tarLimits, first func([]byte) error) (map[string][]byte, error) {
	// A tar file has a header and padding for each file, and some at its end.
	counted := &countingReader{r: r, left: limits.bytes + int64(limits.files+1)*2048}
	t := tar.NewReader(counted)
	files := map[string][]byte{}
	left := limits.bytes
	for {
		header, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, counted.fault(err)
		}
		if err := checkHeader(header, files); err != nil {
			return nil, err
		}
		if len(files) == limits.files {
			return nil, refuse(client.CodeTooLarge, "", "more than %d files", limits.files)
		}
		if header.Size > min(left, mostOf(header.Name)) {
			return nil, refuse(client.CodeTooLarge, "", "%s has %d bytes: at most %d of a file are read, and %d of all together", tuf.Clip(header.Name), header.Size, mostOf(header.Name), limits.bytes)
		}
		b := make([]byte, 0, min(header.Size, 64<<10)) // what is announced need not come
		b, err = readInto(b, t)
		if err != nil {
			return nil, counted.fault(err)
		}
		left -= int64(len(b))
		files[header.Name] = b
		if len(files) == 1 {
			if err := first(b); err != nil {
				return nil, err
			}
		}
	}
	if len(files) == 0 {
		return nil, refuse(client.CodeMalformed, "", "the tar file is empty")
	}
	return files, nil
}

// checkHeader refuses a file that Staged.Tar does not write.
func checkHeader(h *tar.Header, files map[string][]byte) error {
	switch {
	case h.Typeflag != tar.TypeReg:
		return refuse(client.CodeMalformed, "", "%q is not a regular file", tuf.Clip(h.Name))
	case h.Name == "" || len(h.Name) > 4<<10 || strings.ContainsAny(h.Name, "/\\\x00"):
		return refuse(client.CodeMalformed, "", "%q is not the name of a file without folders", tuf.Clip(h.Name))
	case len(files) == 0 && h.Name != timestampName:
		return refuse(client.CodeMalformed, "", "the first file is %q: want %s", tuf.Clip(h.Name), timestampName)
	case files[h.Name] != nil:
		return refuse(client.CodeMalformed, "", "%q is there twice", tuf.Clip(h.Name))
	case sparse(h):
		return refuse(client.CodeMalformed, "", "%q is sparse: want all of its bytes", tuf.Clip(h.Name))
	case h.Size < 0:
		return refuse(client.CodeMalformed, "", "%q has a negative size", tuf.Clip(h.Name))
	}
	return nil
}

// sparse reports whether a file has holes, which the reader fills with zeros: a few bytes would
// become megabytes. What is left has no more bytes than were sent.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

// mostOf is how many bytes a file may have.
func mostOf(name string) int64 {
	switch {
	case name == timestampName:
		return maxTimestamp
	case strings.HasSuffix(name, verify.SidecarSuffix):
		return proofs.MaxProofSize
	}
	return tuf.MaxFileSize
}

func readInto(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// countingReader ends when as many bytes have come as a request may have, and remembers
// whether its reader has failed.
type countingReader struct {
	r    io.Reader
	left int64
	err  error
}

var errTooMany = errors.New("too many bytes")

func (c *countingReader) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.err = errTooMany
		return 0, c.err
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// fault is the error for one of the tar reader: what its bytes come from comes before them.
func (c *countingReader) fault(err error) error {
	switch {
	case errors.Is(c.err, errTooMany):
		return refuse(client.CodeTooLarge, "", "the request has more bytes than are read")
	case c.err != nil:
		return fmt.Errorf("reading the request: %w", c.err)
	}
	return refuse(client.CodeMalformed, "", "the tar file cannot be read: %v", err)
}
