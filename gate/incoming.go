package gate

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// incoming is a request to sign that is being read. No place for judging is taken before it has
// come whole.
type incoming struct {
	gate       *Gate
	repository *repository
	r          *http.Request
	control    *http.ResponseController
	address    string

	timestamp *tuf.Metadata  // that is staged, once it has come
	newest    bool           // the vendor has signed it, and none that is newer was sent
	answer    *client.Answer // if it was signed before
}

// preview looks at the timestamp before anything else is read. Its error is errSigned if there
// is an answer.
func (in *incoming) preview(file []byte) (err error) {
	if in.timestamp, err = parseTimestamp(file); err != nil {
		return &verify.Refusal{Code: verify.CodeBadMetadata, Role: tuf.RoleTimestamp, Detail: "the file cannot be read", Err: err}
	}
	in.answer, in.newest, err = in.repository.preview(in.timestamp, in.address, in.gate.now())
	if err == nil && in.answer != nil {
		err = errSigned
	}
	return err
}

// giveUp ends the reading of the body.
func (in *incoming) giveUp() { _ = in.control.SetReadDeadline(time.Unix(1, 0)) }

// readSent reads a staged repository from the body.
func (in *incoming) readSent() (fetcher, error) {
	places := &in.gate.places
	// Of bodies that come slowly the slowest gives up its place.
	place, ok := places.bodies.Enter(in.address, in.giveUp)
	if !ok {
		return nil, refuse(client.CodeBusy, "", "too many requests are being read")
	}
	defer func() { place.Leave() }()
	files, err := readTar(in.r.Body, tarLimits{bytes: in.repository.all.MaxBody, files: DefaultMaxFiles}, func(file []byte) error {
		err := in.preview(file)
		if err == nil && in.newest {
			// Nobody else has it before it is published, so that from here on no stranger
			// takes its place.
			if own, ok := places.uploads.Enter(in.repository.cfg.Name, in.giveUp); ok {
				place.Leave()
				place = own
			}
		}
		return err
	})
	if err != nil {
		var refused *verify.Refusal
		if !errors.As(err, &refused) && !errors.As(err, new(*limited)) && !errors.Is(err, errSigned) {
			err = refuse(client.CodeBusy, "", "the request did not come whole, or too slowly")
		}
		return nil, err
	}
	return sent(files), nil
}

// readURL looks at what is staged at the URL that the body names.
func (in *incoming) readURL(ctx context.Context) (fetcher, error) {
	url, err := in.url()
	if err != nil {
		return nil, err
	}
	r := in.repository
	if !allowed(r.cfg.Fetch, url) {
		return nil, refuse(client.CodeNotAllowed, "", "%q does not begin with a URL that this gate fetches from for the repository", tuf.Clip(fetch.Redacted(url)))
	}
	if err := r.ask(in.address, in.gate.now()); err != nil {
		return nil, err
	}
	fetching, cancel := context.WithCancel(ctx)
	defer cancel()
	leave, ok := enter(in.gate.places.fetches, r.fetching, r.cfg.Name, in.address, cancel)
	if !ok {
		return nil, refuse(client.CodeBusy, "", "too many timestamps are being fetched")
	}
	defer leave()
	origin := newFetched(url, in.gate.client, in.repository.all.MaxBody, in.repository.all.FetchTimeout)
	file, err := origin.Fetch(fetching, verify.Request{Role: tuf.RoleTimestamp, MaxLength: maxTimestamp})
	var refused *verify.Refusal
	switch {
	case errors.As(err, &refused):
		return nil, err
	case err != nil && fetching.Err() != nil:
		return nil, refuse(client.CodeBusy, "", "too many timestamps are being fetched, and this one took too long")
	case err != nil:
		return nil, &verify.Refusal{Code: verify.CodeNetwork, Role: tuf.RoleTimestamp, Detail: "could not fetch " + timestampName, Err: fetch.RedactError(err)}
	}
	return origin, in.preview(file)
}

// url reads the body of a request that names a URL.
func (in *incoming) url() (string, error) {
	place, ok := in.gate.places.bodies.Enter(in.address, in.giveUp)
	if !ok {
		return "", refuse(client.CodeBusy, "", "too many requests are being read")
	}
	defer place.Leave()
	_ = in.control.SetReadDeadline(time.Now().Add(urlFor))
	b, err := io.ReadAll(io.LimitReader(in.r.Body, maxURL+1))
	if err != nil || len(b) > maxURL {
		return "", refuse(client.CodeMalformed, "", "the request has more than %d bytes, or did not come whole", maxURL)
	}
	// What is fetched now may take longer than these bytes.
	_ = in.control.SetReadDeadline(time.Now().Add(answerFor))
	url, err := parseURLRequest(b)
	if err != nil {
		return "", refuse(client.CodeMalformed, "", "%v", err)
	}
	return url, nil
}
