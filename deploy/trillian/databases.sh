#!/bin/sh
# Makes the two databases, each with a role of its own, and Trillian's tables.
# Where: libpq's variables (PGHOST, PGUSER, ...), by a superuser. How: once, on a
# server that has neither. In compose.yaml PostgreSQL's image runs it.
set -eu
: "${TRILLIAN_PASSWORD:?}" "${TUFLOG_PASSWORD:?}"
schema=${SCHEMA:-/usr/local/share/trillian/storage.sql}
admin() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-${PGUSER:-postgres}}" "$@"; }

# The passwords come by way of variables of psql, which quotes them. (\getenv is
# new in PostgreSQL 15's psql, and \set with backquotes works in all.)
admin --dbname postgres <<'END'
\set trillian `printf %s "$TRILLIAN_PASSWORD"`
\set tuflog `printf %s "$TUFLOG_PASSWORD"`
CREATE ROLE trillian LOGIN PASSWORD :'trillian';
CREATE ROLE tuflog LOGIN PASSWORD :'tuflog';
CREATE DATABASE trillian OWNER trillian;
CREATE DATABASE tuflog OWNER tuflog;
-- Trillian looks for a handful of leaves among all that there are. It puts them into
-- a temporary table, which has no statistics, and so PostgreSQL would rather hash the
-- whole of the large one each time. What it planned while that one was small it keeps
-- until it has analyzed it again, and so the plans must be right from the first leaf on.
ALTER DATABASE trillian SET enable_hashjoin = off;
ALTER DATABASE trillian SET enable_mergejoin = off;
ALTER DATABASE trillian SET enable_seqscan = off;
-- An unavoidable scan counts as very dear now: it would be compiled.
ALTER DATABASE trillian SET jit = off;
END
# Owned by trillian, as what it makes itself would be.
{ echo 'SET ROLE trillian;'; cat "$schema"; } | admin --single-transaction --dbname trillian --file -
