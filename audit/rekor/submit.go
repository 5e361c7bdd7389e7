package rekor

import (
	"context"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/sigstore/rekor/pkg/generated/client/entries"
	"github.com/sigstore/rekor/pkg/generated/client/pubkey"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
)

// body returns the entry of a statement, with the first of its signatures.
func (st *statement) body() *body {
	return &body{digest: st.digest, signature: st.signatures[0], der: st.key.der}
}

func (i *Instance) submitV1(ctx context.Context, st *statement) (json.RawMessage, error) {
	b := st.body()
	ctx = bound(ctx, maxEntry)
	params := entries.NewCreateLogEntryParamsWithHTTPClient(i.http).WithTimeout(i.cfg.Timeout)
	created, err := i.v1.Entries.CreateLogEntryContext(ctx, params.WithProposedEntry(proposalV1(b)))
	var conflict *entries.CreateLogEntryConflict
	if errors.As(err, &conflict) {
		return i.entryV1(ctx, leafV1(b), conflict.Location.String())
	}
	if err != nil {
		return nil, answered(ctx, err)
	}
	return oneV1(created.Payload)
}

// entryV1 asks for the entry of a leaf that the instance says it has, and where.
func (i *Instance) entryV1(ctx context.Context, leaf []byte, location string) (json.RawMessage, error) {
	// The entry is known by its leaf. The location adds in which tree it is, at best.
	hash := proofs.LeafHash(leaf)
	id := hex.EncodeToString(hash[:])
	if more := path.Base(location); entryUUID.MatchString(more) && leafOf(more) == hash {
		id = more
	}
	params := entries.NewGetLogEntryByUUIDParamsWithHTTPClient(i.http).WithTimeout(i.cfg.Timeout)
	found, err := i.v1.Entries.GetLogEntryByUUIDContext(ctx, params.WithEntryUUID(id))
	var status *fetch.StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		return nil, fmt.Errorf("%w: it has the entry already, and not integrated yet", ErrUnavailable)
	}
	if err != nil {
		return nil, answered(ctx, err)
	}
	return oneV1(found.Payload)
}

// oneV1 returns the only entry of an answer.
func oneV1(answer models.LogEntry) (json.RawMessage, error) {
	if len(answer) != 1 {
		return nil, fmt.Errorf("%w: it answers with %d entries instead of one", ErrMisbehaved, len(answer))
	}
	for _, e := range answer {
		return json.Marshal(e)
	}
	return nil, nil
}

func (i *Instance) publicKeyV1(ctx context.Context) (crypto.PublicKey, error) {
	params := pubkey.NewGetPublicKeyParamsWithHTTPClient(i.http).WithTimeout(i.cfg.Timeout)
	got, err := i.v1.Pubkey.GetPublicKeyContext(bound(ctx, maxEntry), params)
	if err != nil {
		return nil, answered(ctx, err)
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey([]byte(got.Payload))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMisbehaved, err)
	}
	return key, nil
}

// requestV2 is a submission to Rekor v2.
type requestV2 struct {
	Record recordV2 `json:"hashedRekordRequestV002"`
}

type recordV2 struct {
	Digest    []byte      `json:"digest"`
	Signature signatureV2 `json:"signature"`
}

type signatureV2 struct {
	Content  []byte     `json:"content"`
	Verifier verifierV2 `json:"verifier"`
}

type verifierV2 struct {
	PublicKey publicKeyV2 `json:"publicKey"`
	Details   string      `json:"keyDetails"`
}

type publicKeyV2 struct {
	Raw []byte `json:"rawBytes"`
}

// duplicateHeader names the index of an entry that Rekor v2 has already.
const duplicateHeader = "X-Log-Index"

func (i *Instance) submitV2(ctx context.Context, st *statement) (json.RawMessage, error) {
	b := st.body()
	resp, answer, err := i.post(bound(ctx, maxEntry), i.cfg.URL+"/api/v2/log/entries", requestV2{recordV2{
		Digest:    b.digest[:],
		Signature: signatureV2{Content: b.signature, Verifier: verifierV2{publicKeyV2{b.der}, detailsV2}},
	}})
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusCreated, http.StatusOK:
		return compact(answer)
	case http.StatusConflict:
		index, err := strconv.ParseInt(resp.Header.Get(duplicateHeader), 10, 64)
		if err != nil || index < 0 {
			return nil, fmt.Errorf("%w: it has the entry already, and does not say where: %.50q", ErrMisbehaved, resp.Header.Get(duplicateHeader))
		}
		return i.entryV2(ctx, leafV2(b), index)
	}
	return nil, statusError(resp.StatusCode, string(answer))
}

// untilIntegrated is how long to wait before an entry that an instance has and has not published yet
// is looked for again.
const untilIntegrated = time.Second

// entryV2 makes the entry of a leaf that the instance says it has at an index.
func (i *Instance) entryV2(ctx context.Context, leaf []byte, index int64) (json.RawMessage, error) {
	for {
		head, err := i.headV2(ctx)
		if err != nil {
			return nil, err
		}
		if index < head.tree.N {
			return i.provedV2(ctx, head, leaf, index)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: it has the entry at index %d, and has not published it yet", ErrUnavailable, index)
		case <-time.After(untilIntegrated):
		}
	}
}
