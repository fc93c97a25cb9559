# Shared by tests/cli/*.sh. $WIRESPOOL is the program under test.
# shellcheck shell=bash disable=SC2034,SC2153

set -u
export LC_ALL=C
unset WIRESPOOL_SOCKET
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tmp=$(mktemp -d)
daemon_pid=
failures=0

cleanup()
{
	[ -n "$daemon_pid" ] && kill "$daemon_pid" 2>/dev/null
	rm -rf "$tmp"
}
trap cleanup EXIT

# A copy has our fake daemon beside it, which is where `wirespool` looks first.
mkdir "$tmp/bin"
cp "$WIRESPOOL" "$tmp/bin/wirespool"
cp "$here/fake_daemon.py" "$tmp/bin/wirespoold"
chmod +x "$tmp/bin/wirespoold"
wirespool=$tmp/bin/wirespool
socket=$tmp/control.sock

# start_daemon ANSWERS_JSON: a fake daemon at $socket
start_daemon()
{
	stop_daemon
	printf '%s' "$1" >"$tmp/answers.json"
	python3 "$here/fake_daemon.py" "$socket" "$tmp/answers.json" &
	daemon_pid=$!
	while [ ! -S "$socket" ]; do
		kill -0 "$daemon_pid" || exit 1
		sleep 0.02
	done
}

stop_daemon()
{
	[ -n "$daemon_pid" ] && kill "$daemon_pid" && wait "$daemon_pid" 2>/dev/null
	daemon_pid=
	rm -f "$socket" "$socket.requests"
}

# What the fake daemon was asked, one request per line.
requests()
{
	cat "$socket.requests"
}

# run ARGUMENT...: sets out, err and code
run()
{
	"$wirespool" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
	out=$(<"$tmp/out")
	err=$(<"$tmp/err")
}

complain()
{
	failures=$((failures + 1))
	echo "FAILED: $claim"
	printf '%s\n' "$@" | sed 's/^/    /'
	echo "    code: $code"
	printf '%s\n' "$out" | sed 's/^/    stdout: /'
	printf '%s\n' "$err" | sed 's/^/    stderr: /'
}

# claim TEXT: what the next expectations prove
claim()
{
	claim=$1
}

expect_code()
{
	[ "$code" = "$1" ] || complain "expected exit code $1"
}

expect_out()
{
	[ "$out" = "$1" ] || complain "expected on stdout:" "$1"
}

expect_err()
{
	[ "$err" = "$1" ] || complain "expected on stderr:" "$1"
}

expect_out_like()
{
	grep -Eq -e "$1" <<<"$out" || complain "expected on stdout, as a pattern:" "$1"
}

expect_out_unlike()
{
	grep -Eq -e "$1" <<<"$out" && complain "not expected on stdout, as a pattern:" "$1"
}

expect_err_like()
{
	grep -Eq -e "$1" <<<"$err" || complain "expected on stderr, as a pattern:" "$1"
}

expect_equal()
{
	[ "$1" = "$2" ] || complain "expected: $2" "got:      $1"
}

finish()
{
	[ "$failures" = 0 ] || exit 1
	exit 0
}
