// Package page shows what an auditor knows of logs: to people as pages, and to programs as
// JSON under the same URLs. Begin with New, which makes an http.Handler of the states of
// logs.
//
// # Pages
//
//	/                                    the logs and their health, and what is not proved
//	/logs/NAME/                          one log
//	/logs/NAME/repositories              its repositories, in pages; ?q= finds
//	/logs/NAME/repositories/ID           one repository: what a stranger can say of its releases
//	/logs/NAME/releases/INDEX            one entry, with .../metadata and .../proof to download
//	/logs/NAME/findings                  findings; ?class=, ?kind= and ?state= choose
//	/logs/NAME/findings/ID               one finding, with .../evidence/FILE to download
//	/logs/NAME/checkpoint, .../policy    the newest verified checkpoint, and what it was verified with
//	/findings/ID                         a finding of any log
//	/search?q=                           a path, a hash, a key, a repository, a role
//	/about                               keys, policies, what is proved
//	/verify                              verification in the visitor's browser, by package drop
//	/feeds/                              what Config mounts there
//
// A page is JSON if the request accepts application/json and not HTML, or says ?format=json.
// Its fields are those of the page's Go type, and what a page shows is in them.
//
// # What is trusted
//
// Nothing that a page says is worth more than this auditor: it is not signed. So each page
// that matters gives the command with which its reader finds out for himself, and the files
// that this takes. A file that is shown was read from a mirror or the log, and has the hash
// that the verified leaf names; a proof is verified before it is served.
//
// # Strangers
//
// Words that others chose (roles, paths, keys, custom data) are escaped, and what is not
// printable in them is written out, direction marks included. No page has a script but
// /verify; the policy for content says so. What a visitor drops there stays on his machine.
// What a request costs is bounded: in time, in
// rows, in files that are read, in requests that are answered at once, and in requests from
// one address. Answers have ETags, and proxies may keep them for a few seconds.
//
// A Server reads states beside the process that writes them. It writes nothing.
package page
