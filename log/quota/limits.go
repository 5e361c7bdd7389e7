package quota

import (
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/tuf"
)

// Limits bound all that a log does at once, and for each source, so that no stranger holds up
// another. All its throttles are here. Zero fields mean those of DefaultLimits,
// and a Pool of which only the capacity is given has the default's proportions.
type Limits struct {
	// Connections is how many connections there are at once, or half of the files
	// that the process may have open if these are fewer: see internal/room.
	Connections int64
	// Queue is how many submissions may wait to be judged.
	Queue Pool
	// Memory is how many bytes submissions may take that are being read or wait
	// to be judged: their bodies and, once these are read, the parsed files.
	// It must be at least 64 MiB.
	Memory Pool
	// Making is how many answers whose size is not known beforehand are being made
	// at once: a file counts as one, a list with a limit, or a pack that is kept, as
	// two, a list without a limit as four.
	Making Pool
	// Answers is how many bytes the large answers may take, those of more than a
	// MiB, that are being sent to clients. It must be at least 64 MiB.
	Answers Pool

	// Hold is the room for files that are held: 64 files and 16 MiB a repository,
	// a quarter of it for one source. It is set as a whole.
	Hold log.HoldRoom

	// Anonymous is the quota of a source without a token; Holder that of the
	// holder of one.
	Anonymous, Holder Quota

	// Batch is how many files are appended at once.
	Batch int
	// Unpublished is how many entries may be in the log without being published,
	// while no quorum can be reached, before submissions are refused.
	Unpublished int64
	// Polled is how many submissions that were answered with 202 can be polled.
	Polled int
	// Sources is how many networks are remembered.
	Sources int
}

// Pool is how much of something there is.
type Pool struct {
	Capacity int64 // for all
	Share    int64 // the most that one source has of it; the log's own host may have all
	Reserve  int64 // kept for the holders of tokens, if there can be any
}

// Quota is how much one source may submit: on average, and at once. Zero means the
// default, a negative value no limit.
type Quota struct {
	Submissions, SubmissionBurst float64 // a second
	Bytes, ByteBurst             float64 // a second
	// Judging is how long its files may be judged, in seconds a second. Files
	// beyond that wait in the queue.
	Judging, JudgingBurst float64
}

// DefaultLimits are the limits where none are configured.
var DefaultLimits = Limits{
	Connections: 8192,

	Queue:   Pool{Capacity: 4096, Share: 1024, Reserve: 1024},
	Memory:  Pool{Capacity: 256 << 20, Share: 160 << 20, Reserve: 64 << 20},
	Making:  Pool{Capacity: 8, Share: 4},
	Answers: Pool{Capacity: 256 << 20, Share: 64 << 20},

	Hold: log.HoldRoom{
		Files: 64, Bytes: 16 << 20,
		SourceFiles: 16, SourceBytes: 4 << 20,
		AllFiles: 16384, AllBytes: 1 << 30,
		AllSourceFiles: 4096, AllSourceBytes: 256 << 20,
	},

	Anonymous: Quota{Submissions: 1, SubmissionBurst: 120, Bytes: 1 << 20, ByteBurst: 256 << 20, Judging: 0.25, JudgingBurst: 10},
	Holder:    Quota{Submissions: 100, SubmissionBurst: 10_000, Bytes: 32 << 20, ByteBurst: 1 << 30, Judging: 1, JudgingBurst: 60},

	Batch:       1024,
	Unpublished: 65536,
	Polled:      8192,
	Sources:     16384,
}

// Or returns the limits with zero fields taken from others.
func (l Limits) Or(d Limits) Limits {
	l.Queue, l.Memory = l.Queue.or(d.Queue, 1), l.Memory.or(d.Memory, tuf.MaxFileSize)
	l.Making, l.Answers = l.Making.or(d.Making, MakingListing), l.Answers.or(d.Answers, tuf.MaxFileSize)
	l.Anonymous, l.Holder = l.Anonymous.or(d.Anonymous), l.Holder.or(d.Holder)
	if l.Hold == (log.HoldRoom{}) {
		l.Hold = d.Hold
	}
	if l.Connections == 0 {
		l.Connections = d.Connections
	}
	if l.Batch == 0 {
		l.Batch = d.Batch
	}
	if l.Unpublished == 0 {
		l.Unpublished = d.Unpublished
	}
	if l.Polled == 0 {
		l.Polled = d.Polled
	}
	if l.Sources == 0 {
		l.Sources = d.Sources
	}
	return l
}

// or returns the pool with zero fields taken from another, in its proportions. The
// share is never less than what one may want.
func (p Pool) or(d Pool, least int64) Pool {
	if p.Capacity == 0 {
		return d
	}
	if p.Share == 0 {
		p.Share = max(least, p.Capacity*d.Share/d.Capacity)
	}
	if p.Reserve == 0 {
		p.Reserve = p.Capacity * d.Reserve / d.Capacity
	}
	return p
}

func (q Quota) or(d Quota) Quota {
	if q.Submissions == 0 {
		q.Submissions, q.SubmissionBurst = d.Submissions, d.SubmissionBurst
	}
	if q.Bytes == 0 {
		q.Bytes, q.ByteBurst = d.Bytes, d.ByteBurst
	}
	if q.Judging == 0 {
		q.Judging, q.JudgingBurst = d.Judging, d.JudgingBurst
	}
	return q
}

const (
	// LargeSubmission is how many bytes a submission has at least that is read alone.
	// The memory that it takes besides, about as much again, is not to be multiplied.
	// So the next one is read only when it is decided: one of the holders of tokens,
	// and one of all others.
	LargeSubmission = 8 << 20
	// MakingListing and MakingLookup are how much of Limits.Making a list without a
	// limit takes, and a list with one; MakingPack a pack that is kept.
	MakingListing = 4
	MakingLookup  = 2
	MakingPack    = 2
	// MaxJudged is how many files are judged in one turn.
	MaxJudged = 16
	// DueAtOnce is how many held files wait to be judged at once, DueOfSource how many
	// of one source: that may take long, if it has used up its judging time.
	DueAtOnce   = 64
	DueOfSource = 16

	// LargeAnswer is how many bytes an answer has at least that takes room in
	// Limits.Answers. Tiles and bundles have fewer.
	LargeAnswer = 1<<20 + 64<<10
	// MaxFound is how many leaves, or releases that list a file, a look-up answers.
	MaxFound = 10000
	// MakingFor is how long a request waits until its answer is made, and LevelFor
	// until look-ups have everything that is published.
	MakingFor = 10 * time.Second
	LevelFor  = 5 * time.Second

	// HeaderFor, BodyFor and AnswerFor are how long a request's header and all of
	// it may take to come, and its answer to be made and taken; IdleFor is how long
	// a connection may be without a request. Answers may be waited for longer than
	// any client may ask to.
	HeaderFor = 10 * time.Second
	BodyFor   = time.Minute
	AnswerFor = 3 * time.Minute
	IdleFor   = 2 * time.Minute
	// MaxHeader is how many bytes the header of a request has at most.
	MaxHeader = 16 << 10
)
