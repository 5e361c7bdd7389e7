// Package intake judges submissions and brings what they add into a log: [New] and
// [Intake.Run]; [NewSubmission] reads the files of one, [Intake.Submit] queues it, and
// [Submission.State] says how far it is. Files that wait because they came without their
// repository's token are kept here, too.
package intake
