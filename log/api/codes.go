package api

// The codes of a log's HTTP API: why a log refuses a file or a whole request (docs/api.md says
// what they mean). Those of files are mostly the rules' own, in admit/codes.go; those with which
// a device refuses an update are in verify/codes.go (docs/refusals.md).

import "github.com/tuflog/tuflog/admit"

// Codes of refused files, the rules being those of the log's admission.
const (
	CodeMalformed      = admit.RefusedMalformed      // does not parse strictly
	CodeThreshold      = admit.RefusedThreshold      // too few valid signatures
	CodeSuperseded     = admit.RefusedSuperseded     // signed only by keys that the role no longer has
	CodeNoParent       = admit.RefusedNoParent       // a root for which the root before it is not logged
	CodeSnapshotNeeded = admit.RefusedSnapshotNeeded // no valid snapshot beside it lists it
	CodeNotDelegated   = admit.RefusedNotDelegated   // nobody delegates to its role
	CodeNotCovered     = admit.RefusedNotCovered     // it lists paths that are not delegated to its role
	CodeSecondPayload  = admit.RefusedSecondPayload  // another payload of its version stands, and not both are bound by a hash
	CodeWrongType      = admit.RefusedWrongType      // its _type does not fit its role
	CodeEncoding       = admit.RefusedEncoding       // not the repository's encoding
	CodeRoleName       = admit.RefusedRoleName       // its role's name is empty, too long or has a NUL, or its file's name makes no sense
	CodeNotLoggedRole  = "not-logged-role"           // snapshots or timestamps, where the operator does not log them
	CodeUnknownRepo    = "unknown-repository"        // also of whole requests: 404
	CodeHoldFull       = "hold-full"                 // it would be held, and there is no room; of whole requests 429 or 503
	CodeHoldDropped    = "hold-dropped"              // it was held, and the operator has dropped it
)

// Codes of whole requests.
const (
	CodeRefused      = "refused"           // 422: no file was accepted, see Results
	CodeBadRequest   = "bad-request"       // 400
	CodeUnauthorized = "unauthorized"      // 401: the operator asks for a token, or the log does not know the one that was sent
	CodeNotFound     = "not-found"         // 404
	CodeUnpublished  = "nothing-published" // 404: the log is new and has no checkpoint yet
	CodeNotAudited   = "not-audited"       // 404: the log asks no auditors, or none has cosigned a checkpoint with the entry yet
	CodeTooLarge     = "too-large"         // 413
	CodeMediaType    = "media-type"        // 415
	CodeBusy         = "busy"              // 503, with Retry-After: the queue, or memory for bodies or answers, is full
	CodeUnavailable  = "unavailable"       // 503: the log cannot publish now
	CodeNotLeader    = "not-leader"        // 503: between front ends of one log; a client never sees it
	CodeInternal     = "internal"          // 500
	CodeMethod       = "method"            // 405
	CodeQuota        = "quota"             // 429, with Retry-After: the source of the request has sent too much
	CodeClosed       = "closed"            // 403: the operator takes no new repositories
	CodeEnded        = "ended"             // 403: the log has ended and takes nothing any more; also of a file that was held
)
