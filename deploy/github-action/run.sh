#!/bin/sh
# What the action does between taking the repository and handing it on: unpack it, log it
# (../ci/log-release.sh), pack it, and say so. All that the caller gives comes in the environment;
# action.yml sets it.
set -eu

: "${RUNNER_TEMP:?}" "${GITHUB_OUTPUT:?}" "${GITHUB_STEP_SUMMARY:?}" "${GITHUB_ACTION_PATH:?}"
work=${TUFLOG_WORK:?}
page=https://github.com/tuflog/tuflog/blob/main/docs/vendors.md

# end says how it ended: in the outputs, in the summary, and beside the run.
end() { # RESULT SENTENCE
	printf 'result=%s\n' "$1" >>"$GITHUB_OUTPUT"
	{
		printf '### Transparency log: %s\n\n%s\n\n' "$1" "$2"
		if [ -s "$work/said" ]; then
			# What programs say has words of strangers in it: they stay text.
			printf '<pre>\n'
			head -c 200000 "$work/said" | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g'
			printf '\n</pre>\n\n'
		fi
	} >>"$GITHUB_STEP_SUMMARY"
	if [ "$1" != logged ]; then
		printf '::error title=Transparency log::%s\n' "$2"
	fi
}

stop() { # SENTENCE
	end failed "$1 Nothing is handed on."
	exit 2
}

# inside refuses paths that lead out of a folder.
inside() {
	case /$1/ in
	*/../* | //*) stop "metadata-path leads out of the artifact." ;;
	esac
}

: >"$work/said"
pack=
if [ -n "${TUFLOG_FOLDER:-}" ]; then
	folder=$TUFLOG_FOLDER
else
	inside "${TUFLOG_METADATA_PATH:-.}"
	site=$work/artifact
	if [ -f "$site/artifact.tar" ]; then # as upload-pages-artifact makes it
		site=$work/site
		mkdir "$site"
		tar -C "$site" -xf "$work/artifact/artifact.tar" || stop "The artifact cannot be unpacked."
		pack=yes
	fi
	if [ -n "$(find "$site" ! -type f ! -type d | head -n 1)" ]; then
		stop "The artifact has links or other things that are not files."
	fi
	folder=$site/${TUFLOG_METADATA_PATH:-.}
fi

# The runner obeys lines that begin with ::, and what follows has words of strangers in it.
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
printf '::stop-commands::%s\n' "$token"
{
	code=0
	sh "$GITHUB_ACTION_PATH/../ci/log-release.sh" "$folder" || code=$?
	echo "$code" >"$work/code"
} 2>&1 | tee "$work/said"
printf '\n::%s::\n' "$token"
code=$(cat "$work/code")

case $code in
0) ;;
1)
	end refused "A file, or the timestamp, was refused, or the policy's auditors have not cosigned it yet; nothing is handed on. The last table says which, and why. What to do: $page#when-a-file-is-refused"
	exit 1
	;;
*)
	end waiting "It could not be logged now, or a setting is wrong (exit code $code); nothing is handed on. Run the job again: what is logged already stays where it is. What to do: $page#when-the-log-is-away"
	exit "$code"
	;;
esac

upload=$work/artifact
if [ -n "$pack" ]; then
	tar -C "$site" -cf "$work/artifact/artifact.tar" .
	upload=$work/artifact/artifact.tar
fi
printf 'folder=%s\nupload=%s\n' "$folder" "$upload" >>"$GITHUB_OUTPUT"
sentence="All files are logged, and their witnessed proofs are beside them: a device takes what is handed on."
if grep -q '^log-release: publisher .* could not be done .* was not needed' "$work/said"; then
	why="The log is away, or does not take the token, or a setting is wrong: the summary of the run has its words. Nothing needed it, because all files had their proofs. The next release needs it."
	sentence="$sentence $why"
	printf '::warning title=Transparency log::%s\n' "$why"
fi
end logged "$sentence"
