package quota

import (
	"fmt"
	"time"

	"github.com/tuflog/tuflog/log"
)

// LimitRow is a line of the table of limits, as an operator sees it. A limit that does not
// exist is empty.
type LimitRow struct {
	What    string `json:"what"`
	Field   string `json:"field"`    // of Limits, or the constant beside it
	All     string `json:"all"`      // the capacity
	Source  string `json:"source"`   // the most that a source without a token has
	Holder  string `json:"holder"`   // the same with one
	Reserve string `json:"reserved"` // kept for holders of tokens
	Beyond  string `json:"beyond"`   // what happens to more
}

// Table returns the limits for people, as in docs/limits.md.
func (l Limits) Table() []LimitRow {
	all := func(what, field, all, beyond string) LimitRow {
		return LimitRow{What: what, Field: field, All: all, Beyond: beyond}
	}
	held := func(what, field string, all, source int64, show func(float64) string, beyond string) LimitRow {
		return LimitRow{What: what, Field: field, All: show(float64(all)), Source: show(float64(source)), Beyond: beyond}
	}
	const busy, full = "503, `busy`", "429 or 503, `hold-full`"
	return append(append([]LimitRow{
		all("connections, or half of the files that may be open", "Connections", plain(float64(l.Connections)), "one more ends another, an idle one first, of the network that has the most"),
		all("bytes of a header", "MaxHeader", bytesOf(MaxHeader), "431"),
		all("time for a header", "HeaderFor", timeOf(HeaderFor), "the connection ends"),
		all("time for a request", "BodyFor", timeOf(BodyFor), "400, `bad-request`"),
		all("time for an answer", "AnswerFor", timeOf(AnswerFor), "the connection ends"),
		all("time between requests", "IdleFor", timeOf(IdleFor), "the connection ends"),
		l.Memory.row("memory for submissions", "Memory", bytesOf, "an incomplete body is given up, of the source that has the most in such bodies; else "+busy),
		all("submissions being read", "GOMAXPROCS", "1 a processor", "waits"),
		{What: "those of " + bytesOf(LargeSubmission) + " or more, until they are decided", Field: "LargeSubmission", All: "1", Holder: "1", Reserve: "1", Beyond: "waits; sources have their turns"},
		l.Queue.row("submissions in the queue", "Queue", plain, busy),
	}, l.rates()...),
		all("files judged in a turn", "MaxJudged", plain(MaxJudged), "waits; sources have their turns"),
		held("held files of a repository", "Hold.Files, Hold.SourceFiles", l.Hold.Files, l.Hold.SourceFiles, plain, full),
		held("their bytes", "Hold.Bytes, Hold.SourceBytes", l.Hold.Bytes, l.Hold.SourceBytes, bytesOf, full),
		held("held files of all repositories", "Hold.AllFiles, Hold.AllSourceFiles", l.Hold.AllFiles, l.Hold.AllSourceFiles, plain, full),
		held("their bytes", "Hold.AllBytes, Hold.AllSourceBytes", l.Hold.AllBytes, l.Hold.AllSourceBytes, bytesOf, full),
		held("held files being judged", "DueAtOnce, DueOfSource", DueAtOnce, DueOfSource, plain, "waits; sources have their turns"),
		l.Making.row("answers being made: a file is one, a look-up or a kept pack two, a listing four", "Making, MakingLookup, MakingPack, MakingListing", plain, "waits, at most "+timeOf(MakingFor)+" (`MakingFor`); then "+busy),
		all("packs being made that are not kept", "quota.Lane", "1", "waits, at most "+timeOf(MakingFor)+" (`MakingFor`); sources have their turns; then "+busy),
		l.Answers.row("answers of more than "+bytesOf(LargeAnswer)+" being sent", "Answers, LargeAnswer", bytesOf, "one ends in the middle, of the source that has the most; else "+busy),
		all("results of a look-up", "MaxFound", plain(MaxFound), "`more` is true"),
		all("wait for what is published to be listed", "LevelFor", timeOf(LevelFor), "503, `unavailable`"),
		all("files in a batch", "Batch", plain(float64(l.Batch)), "the next batch"),
		all("entries unpublished", "Unpublished", plain(float64(l.Unpublished)), "503, `unavailable`"),
		all("submissions that can be polled", "Polled", plain(float64(l.Polled)), "the oldest is forgotten"),
		all("networks remembered", "Sources", plain(float64(l.Sources)), "the one heard of longest ago is forgotten"),
		all("target rows in a transaction", "log.MaxListRows", plain(log.MaxListRows), "the next transaction"),
	)
}

// rates are the rows of quotas.
func (l Limits) rates() []LimitRow {
	rate := func(what, field string, show func(float64) string, of func(Quota) (perSecond, burst float64), beyond string) LimitRow {
		cell := func(q Quota) string {
			perSecond, burst := of(q)
			if perSecond < 0 {
				return "no limit"
			}
			return fmt.Sprintf("%s/s, %s at once", show(perSecond), show(burst))
		}
		return LimitRow{What: what, Field: "Anonymous, Holder: " + field, Source: cell(l.Anonymous), Holder: cell(l.Holder), Beyond: beyond}
	}
	seconds := func(f float64) string { return plain(f) + " s" }
	const quota = "429, `quota`"
	return []LimitRow{
		rate("submissions, and guesses of tokens", "Submissions", plain, func(q Quota) (float64, float64) { return q.Submissions, q.SubmissionBurst }, quota),
		rate("bytes submitted", "Bytes", bytesOf, func(q Quota) (float64, float64) { return q.Bytes, q.ByteBurst }, quota),
		rate("judging", "Judging", seconds, func(q Quota) (float64, float64) { return q.Judging, q.JudgingBurst }, "waits in the queue; large submissions wait before they are read, and not after"),
	}
}

// row is the line of a pool.
func (p Pool) row(what, field string, show func(float64) string, beyond string) LimitRow {
	row := LimitRow{What: what, Field: field, All: show(float64(p.Capacity)), Source: show(float64(p.Share)), Holder: show(float64(p.Share)), Beyond: beyond}
	if p.Reserve > 0 {
		row.Reserve = show(float64(p.Reserve))
	}
	return row
}

func plain(f float64) string { return fmt.Sprintf("%.12g", f) }

func timeOf(d time.Duration) string {
	if d%time.Minute == 0 {
		return plain(d.Minutes()) + " min"
	}
	return plain(d.Seconds()) + " s"
}

func bytesOf(f float64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if f < 1024 {
			return plain(f) + " " + unit
		}
		f /= 1024
	}
	return plain(f) + " GiB"
}
