#!/bin/sh
# Logs what is about to be published: writes witnessed proofs beside a TUF repository's metadata,
# has gates sign the timestamp, and judges the result as a device does. Run it after the timestamp
# is signed, and before anything is uploaded; upload only if it exits with 0. It can be run again at
# any time. If the log is away, or does not take the token, it exits with 0 only if nothing needs the
# log: all proofs are there. It says so in its last line.
#
#   log-release.sh FOLDER
#
# FOLDER has the metadata, all roots included. The rest is in the environment:
#
#   TUFLOG_POLICY      file with the trust policy of the devices; it names the log
#   TUFLOG_REPOSITORY  id of the repository, 64 hex digits: that of its first root
#   TUFLOG_TOKEN       token of the repository (optional: without it files may be held for a day)
#   TUFLOG_SERVED      URL at which the metadata is served now (optional): proofs that are served
#                      there are kept, so that releases keep their age for devices with min_age
#   TUFLOG_GATES       URLs of gates, with spaces or newlines between them (optional)
#   TUFLOG_WAIT        how long to wait for auditors that the policy needs (15m), and for gates that
#                      cannot answer now (30s)
#   TUFLOG_BIN         folder with the programs publisher and updater (those in PATH)
#
# It exits as publisher does: 1 if something is refused, 2 if something cannot be done now, or is
# not set. It needs curl for TUFLOG_SERVED alone.
set -euf

die() {
	printf 'log-release: %s\n' "$*" >&2
	exit 2
}

# fetch gets URL into FILE, and fails if nothing is there.
fetch() { # URL FILE
	status=$(curl --silent --show-error --location --max-redirs 3 --proto '=http,https' \
		--proto-redir '=http,https' --connect-timeout 10 --max-time 60 --retry 2 \
		--max-filesize 1048576 --output "$2.part" --write-out '%{http_code}' -- "$1") || status=none
	case $status in
	200)
		mv -- "$2.part" "$2"
		return
		;;
	esac
	rm -f -- "$2.part"
	case $status in
	403 | 404 | 410) return 1 ;; # some stores say 403 for what is not there
	esac
	die "$1 cannot be fetched: HTTP status $status"
}

# keep fetches the served proofs of a file. What is fetched is checked by publisher submit, which
# keeps only what meets the policy.
keep() { # FILE
	name=${1##*/}
	case $name in
	*[!A-Za-z0-9._-]*) die "the served proof of $name cannot be asked for: its name is not a plain one" ;;
	esac
	if fetch "${TUFLOG_SERVED%/}/$name.tlog-proof" "$1.tlog-proof"; then
		fetch "${TUFLOG_SERVED%/}/$name.latest.tlog-proof" "$1.latest.tlog-proof" || :
	fi
}

# run runs one of the programs.
run() { # PROGRAM COMMAND ARGUMENT...
	printf '\n== %s %s\n' "$1" "$2"
	program=$bin$1
	shift
	"$program" "$@"
}

# publish_step ends the script if the log refuses, and notes what could not be done: the log is away,
# or does not take the token.
publish_step() { # COMMAND ARGUMENT...
	[ -z "$away" ] || return 0
	code=0
	run publisher "$@" "--policy=$TUFLOG_POLICY" "--repository=$TUFLOG_REPOSITORY" "$folder" || code=$?
	case $code in
	0) ;;
	2) away=$1 ;;
	*) end "$code" "publisher $1 has exited with $code" ;;
	esac
}

end() { # CODE WORDS
	printf 'log-release: %s: nothing must be published\n' "$2" >&2
	exit "$1"
}

[ $# -eq 1 ] || die "want one argument, the folder with the metadata"
[ -d "$1" ] || die "$1 is not a folder"
case $1 in
/*) folder=$1 ;;
*) folder=./$1 ;;
esac
[ -n "${TUFLOG_POLICY:-}" ] || die "TUFLOG_POLICY is not set: want the file with the trust policy"
case ${TUFLOG_REPOSITORY:-} in
'') die "TUFLOG_REPOSITORY is not set: want the id that publisher submit has printed when the repository was registered" ;;
*[!0-9a-f]*) die "TUFLOG_REPOSITORY is not an id of 64 hex digits in lower case" ;;
esac
[ ${#TUFLOG_REPOSITORY} -eq 64 ] || die "TUFLOG_REPOSITORY has ${#TUFLOG_REPOSITORY} digits: want an id of 64 hex digits"
# A setting that is wrong must not look like a log that is away.
[ -r "$TUFLOG_POLICY" ] || die "TUFLOG_POLICY: $TUFLOG_POLICY cannot be read"
case ${TUFLOG_WAIT:-1s} in
[!0-9]* | *[!0-9.hms]* | *[!hms]) die "TUFLOG_WAIT is not a duration such as 90s, 15m or 1h30m: $TUFLOG_WAIT" ;;
esac
bin=${TUFLOG_BIN:+$TUFLOG_BIN/}
away=

if [ -n "${TUFLOG_SERVED:-}" ]; then
	set +f
	for file in "$folder"/*.json; do
		case $file in
		*/timestamp.json | */snapshot.json | */*.snapshot.json) continue ;;
		esac
		if [ -f "$file" ] && [ ! -e "$file.tlog-proof" ]; then
			keep "$file"
		fi
	done
	set -f
fi

# A release that would be refused, or would be evidence, is not sent.
publish_step submit --dry-run
publish_step submit
publish_step refresh "--wait${TUFLOG_WAIT:+=$TUFLOG_WAIT}"

set --
for gate in ${TUFLOG_GATES:-}; do
	set -- "$@" "--gate=$gate"
done
if [ $# -gt 0 ]; then
	code=0
	run publisher gate "$@" ${TUFLOG_WAIT:+"--wait=$TUFLOG_WAIT"} "--repository=$TUFLOG_REPOSITORY" "$folder" || code=$?
	if [ "$code" -ne 0 ]; then
		[ -z "$away" ] || end 2 "publisher $away could not be done now, and publisher gate has exited with $code"
		end "$code" "publisher gate has exited with $code"
	fi
fi

# What is published is what a device takes. That is all that counts if the log is away.
install=$(mktemp)
trap 'rm -f -- "$install"' EXIT
printf '{"repository":"%s"}\n' "$TUFLOG_REPOSITORY" >"$install"
code=0
run updater verify "--policy=$TUFLOG_POLICY" "--install-policy=$install" "$folder" || code=$?
if [ -n "$away" ]; then
	[ "$code" -eq 0 ] || end 2 "publisher $away could not be done now, and a device would refuse it as it is"
	printf 'log-release: publisher %s could not be done (its words are above), and was not needed: all files have their proofs\n' "$away"
elif [ "$code" -ne 0 ]; then
	end "$code" "a device would refuse it"
fi
