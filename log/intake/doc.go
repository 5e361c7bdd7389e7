// Package intake judges submissions and appends their accepted files to a log: [New] and
// [Intake.Run]. [NewSubmission] parses the files of a submission, [Intake.Submit] queues
// it, and [Submission.State] returns its progress. The package also keeps files that
// wait because they came without their repository's token.
package intake
