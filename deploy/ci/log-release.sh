#!/bin/sh
# Logs what is about to be published: writes witnessed proofs beside a TUF repository's metadata,
# and has gates sign the timestamp. Run it after the timestamp is signed, and before anything is
# uploaded; upload only if it exits with 0. It can be run again at any time.
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
#   TUFLOG_PUBLISHER   the program publisher (that in PATH)
#
# It exits as publisher does: 1 if something is refused, 2 if something cannot be done now, or is
# not set. It needs curl for TUFLOG_SERVED alone.
set -euf

die() {
	printf 'log-release: %s\n' "$*" >&2
	exit 2
}

# keep fetches the served proof of a file. What is fetched is checked by publisher submit, which
# keeps only what meets the policy.
keep() {
	name=${1##*/}
	proof=$1.tlog-proof
	case $name in
	*[!A-Za-z0-9._-]*) die "the served proof of $name cannot be asked for: its name is not a plain one" ;;
	esac
	status=$(curl --silent --show-error --location --max-redirs 3 --proto '=http,https' \
		--proto-redir '=http,https' --connect-timeout 10 --max-time 60 --retry 2 \
		--max-filesize 1048576 --output "$proof.part" --write-out '%{http_code}' \
		-- "${TUFLOG_SERVED%/}/$name.tlog-proof") || {
		rm -f -- "$proof.part"
		die "the served proof of $name cannot be fetched"
	}
	case $status in
	200) mv -- "$proof.part" "$proof" ;;
	403 | 404 | 410) rm -f -- "$proof.part" ;;
	*)
		rm -f -- "$proof.part"
		die "the served proof of $name cannot be fetched: HTTP status $status"
		;;
	esac
}

# step runs a command of publisher, and ends as it does if that is not 0.
step() {
	printf '\n== publisher %s\n' "$1"
	"$publisher" "$@" && return
	code=$?
	printf 'log-release: publisher %s has exited with %s: nothing must be published\n' "$1" "$code" >&2
	exit "$code"
}

[ $# -eq 1 ] || die "want one argument, the folder with the metadata"
[ -d "$1" ] || die "$1 is not a folder"
case $1 in
/*) folder=$1 ;;
*) folder=./$1 ;;
esac
[ -n "${TUFLOG_POLICY:-}" ] || die "TUFLOG_POLICY is not set: want the file with the trust policy"
[ -n "${TUFLOG_REPOSITORY:-}" ] || die "TUFLOG_REPOSITORY is not set: want the id that publisher submit has printed when the repository was registered"
publisher=${TUFLOG_PUBLISHER:-publisher}

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
step submit --dry-run "--policy=$TUFLOG_POLICY" "--repository=$TUFLOG_REPOSITORY" "$folder"
step submit "--policy=$TUFLOG_POLICY" "--repository=$TUFLOG_REPOSITORY" "$folder"
step refresh "--wait${TUFLOG_WAIT:+=$TUFLOG_WAIT}" "--policy=$TUFLOG_POLICY" "--repository=$TUFLOG_REPOSITORY" "$folder"

set --
for gate in ${TUFLOG_GATES:-}; do
	set -- "$@" "--gate=$gate"
done
if [ $# -gt 0 ]; then
	step gate "$@" ${TUFLOG_WAIT:+"--wait=$TUFLOG_WAIT"} "--repository=$TUFLOG_REPOSITORY" "$folder"
fi
