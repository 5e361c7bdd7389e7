#!/bin/sh
# libsodium.sh DIR: puts Debian's source of libsodium into DIR, with apt, whose lists of what
# Debian signed are kept apart from the system's. Nothing is installed.
set -eu
dir=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# shellcheck source=/dev/null
. /etc/os-release
mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial"
cat >"$tmp/src.sources" <<END
Types: deb-src
URIs: ${DEBIAN_MIRROR:-http://deb.debian.org/debian}
Suites: $VERSION_CODENAME
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
set -- -qq -o Dir::Etc::sourcelist="$tmp/src.sources" -o Dir::Etc::sourceparts=- \
	-o Dir::State::lists="$tmp/lists" -o Dir::Cache="$tmp/cache" -o APT::Sandbox::User=
apt-get "$@" update
(cd "$tmp" && apt-get "$@" source --download-only libsodium)
rm -rf "$dir"
mkdir -p "$dir"
tar -xzf "$tmp"/libsodium_*.orig.tar.gz -C "$dir" --strip-components=1
include=$dir/src/libsodium/include/sodium
sed -e 's/@VERSION@/debian/; s/@SODIUM_LIBRARY_VERSION_MAJOR@/0/; s/@SODIUM_LIBRARY_VERSION_MINOR@/0/; s/@SODIUM_LIBRARY_MINIMAL_DEF@//' \
	"$include/version.h.in" >"$include/version.h"
