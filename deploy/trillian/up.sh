#!/usr/bin/env bash
# A whole tuflog on Trillian on one machine, for trying and for small logs: a
# PostgreSQL of its own from Debian's package, Trillian's log server and signer,
# two front ends and, unless POLICY names a trust policy, three witnesses.
#
#   up.sh up [DIR]      make what is missing, start what does not run
#   up.sh status [DIR]  what runs, and how the log is
#   up.sh down [DIR]    stop everything; the data stays
#
# Everything is in DIR: by default /var/lib/tuflog-trillian for root, and
# ~/.local/share/tuflog-trillian for others. It takes eight ports of 127.0.0.1
# from PORT on (7470). In the environment:
#   PORT    first port
#   ORIGIN  name of the log when it is made (default: log.example/tuflog)
#   POLICY  trust policy with the witnesses and the quorum (default: three
#           witnesses on this machine, two of which are a quorum: for trying)
#   FLAGS   more flags for logserver serve
#
# DIR/bin holds the programs. Missing ones are built: tuflog's from the clone that
# this script is in, Trillian's by go install, which takes a minute.
set -euo pipefail

trillian=github.com/google/trillian
version=v1.8.0
here=$(cd "$(dirname "$0")" && pwd)

die() { echo "up.sh: $*" >&2; exit 2; }
say() { echo "up.sh: $*" >&2; }

command=${1:-up}
case $command in
up | status | down) ;;
*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
if [ $# -gt 2 ]; then die "one directory, not $(($# - 1))"; fi
if [ "$(id -u)" = 0 ]; then default=/var/lib; else default=${XDG_DATA_HOME:-$HOME/.local/share}; fi
dir=${2:-$default/tuflog-trillian}
if [ "$command" = up ]; then mkdir -p "$dir"; fi
dir=$(cd "$dir" && pwd) || die "there is nothing at $dir"

port=${PORT:-7470}
if [ -e "$dir/port" ]; then port=$(cat "$dir/port"); fi # as it was made
postgres_port=$port server_port=$((port + 1)) signer_port=$((port + 2))
front() { echo $((port + 2 + $1)); } # 1 and 2
witness() { echo $((port + 4 + $1)); } # 1 to 3

export PGPASSFILE=$dir/pgpass
unset PGUSER PGHOST PGPORT PGDATABASE PGSERVICE
state="postgres://tuflog@127.0.0.1:$postgres_port/tuflog?sslmode=disable"
entries="postgres://trillian@127.0.0.1:$postgres_port/trillian?sslmode=disable"
superuser() { echo "postgres://postgres@127.0.0.1:$postgres_port/$1?sslmode=disable"; }

# In the order of starting. The witnesses are there unless POLICY named others.
names=(trillian-log-server trillian-log-signer)
if [ -z "${POLICY:-}" ] && { [ ! -e "$dir/policy.txt" ] || [ -e "$dir/witness-1" ]; }; then names+=(witness-{1,2,3}); fi
names+=(front-end-{1,2})

# PostgreSQL refuses to run as root.
as_postgres() {
	if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

find_postgres() {
	local found
	found=$(find /usr/lib/postgresql -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
	if [ -z "$found" ]; then found=$(command -v initdb) || die "PostgreSQL's server programs are missing: apt-get install postgresql"; fi
	pg=$(dirname "$(readlink -f "$found")")
}

sql() { # URL, statement
	"$pg/psql" --no-psqlrc --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 --dbname "$1" --command "$2"
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# wait_for SECONDS WHAT COMMAND...
wait_for() {
	local until=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		if [ "$SECONDS" -ge "$until" ]; then die "$what; see $dir/logs"; fi
		sleep 0.05
	done
}

# running NAME: its process is there, and is still one of ours.
running() {
	local pid
	pid=$(cat "$dir/run/$1.pid" 2>/dev/null) || return 1
	tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$dir/bin/"
}

# start NAME PORT PROGRAM ARGS...
start() {
	local name=$1 at=$2 program=$dir/bin/$3
	shift 3
	if running "$name"; then return; fi
	if listens "$at"; then die "port $at, for $name, is taken: choose another PORT"; fi
	setsid nohup "$program" "$@" >>"$dir/logs/$name.log" 2>&1 </dev/null &
	echo $! >"$dir/run/$name.pid"
	wait_for 60 "$name does not listen" started "$name" "$at"
	say "$name runs"
}

started() {
	if ! running "$1"; then
		sleep 0.2 # between fork and exec its name is another
		running "$1" || die "$1 has ended: $(tail -n 3 "$dir/logs/$1.log")"
	fi
	listens "$2"
}

# stop NAME [SIGNAL]
stop() {
	local pid i
	if ! running "$1"; then return; fi
	pid=$(cat "$dir/run/$1.pid")
	kill -s "${2:-TERM}" "$pid" 2>/dev/null || true
	for ((i = 0; i < 300; i++)); do
		if ! running "$1"; then break; fi
		sleep 0.05
	done
	if running "$1"; then kill -9 "$pid" 2>/dev/null || true; fi
	rm -f "$dir/run/$1.pid"
	say "$1 has stopped"
}

make_programs() {
	local missing=()
	for p in trillian_log_server trillian_log_signer; do
		if [ ! -x "$dir/bin/$p" ]; then missing+=("$trillian/cmd/$p@$version"); fi
	done
	if [ ${#missing[@]} -gt 0 ]; then
		say "building Trillian $version, which takes about a minute"
		(cd / && GOFLAGS=-mod=mod GOWORK=off GOBIN=$dir/bin go install -tags postgresql "${missing[@]}")
	fi
	if [ ! -x "$dir/bin/logserver" ] || [ ! -x "$dir/bin/witness" ]; then
		say "building tuflog"
		(cd "$here/../.." && CGO_ENABLED=0 go build -o "$dir/bin/" ./cmd/...)
	fi
}

# secret NAME prints a password, made once.
secret() {
	if [ ! -s "$dir/secrets/$1" ]; then
		head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$dir/secrets/$1.new"
		mv "$dir/secrets/$1.new" "$dir/secrets/$1"
	fi
	cat "$dir/secrets/$1"
}

make_cluster() {
	local data=$dir/postgres/data user
	for user in postgres trillian tuflog; do
		echo "127.0.0.1:$postgres_port:*:$user:$(secret "$user")"
	done >"$dir/pgpass"
	if [ -e "$data/PG_VERSION" ]; then return; fi
	say "making a PostgreSQL cluster in $data"
	mkdir -p "$dir/postgres"
	rm -rf "$dir/postgres/new"
	if [ "$(id -u)" = 0 ]; then chown postgres "$dir/postgres"; fi
	as_postgres test -x "$dir/postgres" || die "the user postgres cannot enter $dir: choose another DIR"
	# Passwords, because the machine may have other users.
	secret postgres | as_postgres tee "$dir/postgres/password" >/dev/null
	as_postgres "$pg/initdb" --pgdata "$dir/postgres/new" --username postgres --auth scram-sha-256 \
		--pwfile "$dir/postgres/password" --encoding UTF8 --locale C >"$dir/logs/initdb.log"
	rm "$dir/postgres/password"
	as_postgres tee -a "$dir/postgres/new/postgresql.conf" >/dev/null <<-END
		include = '$dir/postgres/tuflog.conf'
		listen_addresses = '127.0.0.1'
		unix_socket_directories = ''
		port = $postgres_port
	END
	as_postgres mv "$dir/postgres/new" "$data" # one that is there is whole
}

postgres_runs() { as_postgres "$pg/pg_ctl" status --pgdata "$dir/postgres/data" >/dev/null 2>&1; }

start_postgres() {
	cp "$here/postgresql.conf" "$dir/postgres/tuflog.conf"
	chmod 644 "$dir/postgres/tuflog.conf"
	if ! postgres_runs; then
		if listens "$postgres_port"; then die "port $postgres_port, for PostgreSQL, is taken: choose another PORT"; fi
		as_postgres "$pg/pg_ctl" start --wait --timeout 60 --pgdata "$dir/postgres/data" --log "$dir/postgres/postgres.log" >/dev/null ||
			die "PostgreSQL does not start: see $dir/postgres/postgres.log"
		say "PostgreSQL runs"
	fi
	local name
	for name in trillian tuflog; do
		if [ -z "$(sql "$(superuser postgres)" "SELECT 1 FROM pg_roles WHERE rolname = '$name'")" ]; then
			sql "$(superuser postgres)" "CREATE ROLE $name LOGIN PASSWORD '$(secret "$name")'"
		fi
		if [ -z "$(sql "$(superuser postgres)" "SELECT 1 FROM pg_database WHERE datname = '$name'")" ]; then
			sql "$(superuser postgres)" "CREATE DATABASE $name OWNER $name"
		fi
	done
	# As in databases.sh.
	sql "$(superuser postgres)" "ALTER DATABASE trillian SET enable_hashjoin = off; ALTER DATABASE trillian SET enable_mergejoin = off; ALTER DATABASE trillian SET enable_seqscan = off; ALTER DATABASE trillian SET jit = off"
}

# Trillian's tables, as its module has them, and statistics for the signer.
make_schema() {
	if [ -n "$(sql "$entries" "SELECT to_regclass('trees')")" ]; then return; fi
	local module
	module=$(cd / && GOFLAGS=-mod=mod GOWORK=off go mod download -json "$trillian@$version" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
	if [ -z "$module" ]; then die "go mod download does not say where Trillian's module is"; fi
	"$pg/psql" --no-psqlrc --quiet --single-transaction --set ON_ERROR_STOP=1 --dbname "$entries" --file "$module/storage/postgresql/schema/storage.sql"
	say "Trillian's tables are made"
}

start_trillian() {
	local common=(--logtostderr --storage_system=postgresql --quota_system=noop --http_endpoint= "--postgresql_uri=$entries&pool_max_conns=16")
	start trillian-log-server "$server_port" trillian_log_server "${common[@]}" --rpc_endpoint="127.0.0.1:$server_port"
	# One signer only, so it needs no election.
	start trillian-log-signer "$signer_port" trillian_log_signer "${common[@]}" --rpc_endpoint="127.0.0.1:$signer_port" \
		--force_master --sequencer_interval=5ms --num_sequencers=1 --batch_size=2048
}

# the_tree prints the number of the log's tree, or nothing.
the_tree() {
	if [ -z "$(sql "$state" "SELECT to_regclass('log')")" ]; then return; fi
	sql "$state" "SELECT substring(storage FROM '[0-9]+\$') FROM log"
}

make_log() {
	if [ -z "$(the_tree)" ]; then
		if [ -e "$dir/log" ]; then
			die "$dir/log is there, and the database has no log: if its making was interrupted, remove $dir/log"
		fi
		"$dir/bin/logserver" init --dir "$dir/log" --origin "${ORIGIN:-log.example/tuflog}" \
			--storage "trillian://127.0.0.1:$server_port" --state "$state" >"$dir/logs/init.log" 2>&1 ||
			die "logserver init: $(tail -n 3 "$dir/logs/init.log")"
		# Without statistics each pass of the signer takes seconds.
		sql "$(superuser trillian)" ANALYZE
		say "log $(cat "$dir/log/log.vkey") is made"
	fi
	tree=$(the_tree)
	storage=trillian://127.0.0.1:$server_port/$tree
	# A front end needs the log's key, the tokens and the labels, and a
	# directory of its own for what it remembers of the witnesses.
	if [ ! -e "$dir/log-2" ]; then
		rm -rf "$dir/log-2.new"
		cp -a "$dir/log" "$dir/log-2.new"
		rm -f "$dir/log-2.new/witnesses.json"
		mv "$dir/log-2.new" "$dir/log-2"
	fi
}

make_witnesses() {
	local i at log policy
	log=$(cat "$dir/log/log.vkey")
	policy="log $log http://127.0.0.1:$(front 1)"
	for i in 1 2 3; do
		at=$dir/witness-$i
		if [ ! -e "$at/witness.vkey" ]; then
			"$dir/bin/witness" init --dir "$at" --name "witness-$i.example" >>"$dir/logs/init.log" 2>&1
		fi
		if ! "$dir/bin/witness" log list --dir "$at" | grep -qF "${log%%+*}"; then
			"$dir/bin/witness" log add --dir "$at" "$log" >>"$dir/logs/init.log" 2>&1
		fi
		policy+=$'\n'"witness w$i $(head -n 1 "$at/witness.vkey") http://127.0.0.1:$(witness "$i")"
		start "witness-$i" "$(witness "$i")" witness serve --dir "$at" --listen "127.0.0.1:$(witness "$i")"
	done
	policy+=$'\n'"group witnesses 2 w1 w2 w3"$'\n'"quorum witnesses"
	echo "$policy" >"$dir/policy.txt"
}

start_fronts() {
	local i at more=()
	if [ -n "${FLAGS:-}" ]; then read -ra more <<<"$FLAGS"; fi
	for i in 1 2; do
		at=$dir/log
		if [ "$i" = 2 ]; then at=$dir/log-2; fi
		start "front-end-$i" "$(front "$i")" logserver serve --dir "$at" --policy "$dir/policy.txt" \
			--storage "$storage" --state "$state" --listen "127.0.0.1:$(front "$i")" "${more[@]}"
	done
	wait_for 30 "no front end leads" log_leads
}

log_status() {
	"$dir/bin/logserver" status --dir "$dir/log" --storage "$storage" --state "$state"
}
log_leads() { log_status 2>/dev/null | grep -q '^leader *http'; }

up() {
	umask 077
	mkdir -p "$dir/bin" "$dir/run" "$dir/logs" "$dir/secrets"
	# The user postgres must get through to its own directory.
	chmod go+x "$dir"
	make_programs
	make_cluster
	echo "$port" >"$dir/port"
	start_postgres
	make_schema
	start_trillian
	make_log
	if [ -n "${POLICY:-}" ]; then cp "$POLICY" "$dir/policy.txt"; fi
	if [[ " ${names[*]} " = *" witness-1 "* ]]; then make_witnesses; fi
	start_fronts
	cat <<-END
		front ends  http://127.0.0.1:$(front 1) and http://127.0.0.1:$(front 2)
		log         $(cat "$dir/log/log.vkey")
		policy      $dir/policy.txt
		token       $dir/log/registration.token (for registering a repository)
		storage     --storage $storage
		state       --state '$state' (PGPASSFILE=$PGPASSFILE)
		what it says  $dir/logs, $dir/postgres/postgres.log
		submit      $dir/bin/publisher submit --policy $dir/policy.txt --token-file $dir/log/registration.token --token-out FILE METADATA-DIRECTORY
		status      $0 status $dir
		stop        $0 down $dir
	END
}

status() {
	local name
	if postgres_runs; then echo "PostgreSQL            runs"; else echo "PostgreSQL            does not run"; fi
	for name in "${names[@]}"; do
		if running "$name"; then
			printf '%-21s runs, process %s\n' "$name" "$(cat "$dir/run/$name.pid")"
		else
			printf '%-21s does not run\n' "$name"
		fi
	done
	tree=$(the_tree) || die "the database does not answer"
	storage=trillian://127.0.0.1:$server_port/$tree
	log_status
}

down() {
	local i
	for ((i = ${#names[@]} - 1; i >= 0; i--)); do
		# What Trillian has is in the database, and asked politely it waits
		# for ten seconds.
		if [[ ${names[i]} = trillian-* ]]; then stop "${names[i]}" KILL; else stop "${names[i]}"; fi
	done
	if postgres_runs; then
		as_postgres "$pg/pg_ctl" stop --mode fast --wait --timeout 60 --pgdata "$dir/postgres/data" >/dev/null
		say "PostgreSQL has stopped"
	fi
}

find_postgres
"$command"
