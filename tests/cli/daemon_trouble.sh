#!/usr/bin/env bash
# A daemon that is not there, hangs, closes, talks garbage or refuses.
. "$(dirname "$0")/lib.sh"

claim "a daemon that is not there: who, where, why, what to do"
run status -S "$tmp/none.sock"
expect_code 1
expect_out ""
expect_err "error: cannot reach wirespoold at '$tmp/none.sock': No such file or directory; is the service running? 'systemctl status wirespoold' tells; -S names another socket"

claim "the same for a global -S, for WIRESPOOL_SOCKET, and -S goes before the environment"
run -S "$tmp/none.sock" reload
expect_code 1
expect_err_like "cannot reach wirespoold at '$tmp/none.sock': No such file"
WIRESPOOL_SOCKET=$tmp/env.sock run schedule
expect_err_like "at '$tmp/env.sock'"
WIRESPOOL_SOCKET=$tmp/env.sock run schedule -S "$tmp/option.sock"
expect_err_like "at '$tmp/option.sock'"
WIRESPOOL_SOCKET='' run stop x
expect_err_like "at '/run/wirespool/control.sock'|no run is live"

claim "a file that is no socket refuses the connection"
touch "$tmp/file"
run status -S "$tmp/file"
expect_code 1
expect_err_like "cannot reach wirespoold at '$tmp/file': Connection refused"

claim "a path too long for a socket is wrong usage"
run status -S "/$(printf 'x%.0s' {1..200})"
expect_code 2
expect_err_like "is too long: 107 characters at most"

claim "garbage is shown, made printable, and is a failure"
start_daemon '{"status":["\u0001hello <html>"],"schedule":["[1,2]"],"reload":["{\"ok\":true"]}'
run status -S "$socket"
expect_code 1
expect_out ""
expect_err "error: wirespoold's answer is not a JSON object: '?hello <html>'"
run schedule -S "$socket"
expect_code 1
expect_err "error: wirespoold's answer is not a JSON object: '[1,2]'"
run reload -S "$socket"
expect_code 1
expect_err_like "is not a JSON object"

claim "a daemon that closes before it answers"
start_daemon '{"status":["@close"]}'
run status -S "$socket"
expect_code 1
expect_err "error: wirespoold closed the connection before it answered"

claim "a daemon that hangs is given up after the time-out"
start_daemon '{"status":["@hang"]}'
WIRESPOOL_TIMEOUT_MS=200 run status -S "$socket"
expect_code 1
expect_err "error: wirespoold did not answer within 200ms"

claim "a refusal is the daemon's text; usage decides the exit code; each fault is said once"
start_daemon '{"stop":[{"ok":false,"error":"no run is called x","usage":true}],
	"trigger":[{"ok":false,"error":"disk is gone","usage":false}],
	"status":[{"ok":false}],
	"reload":[{"ok":false,"error":"not changed: w.conf:1: bad","usage":true,
		"faults":["w.conf:1: bad","w.conf:2: worse"]}]}'
run stop -S "$socket" x
expect_code 2
expect_err "error: no run is called x"
run trigger -S "$socket" x
expect_code 1
expect_err "error: disk is gone"
run status -S "$socket"
expect_code 1
expect_err "error: wirespoold refused and did not say why"
run reload -S "$socket"
expect_code 2
expect_out ""
expect_err "error: not changed: w.conf:1: bad
error: w.conf:2: worse"

claim "a request over the protocol's limit is not sent"
run trigger -S "$socket" "$(printf 'x%.0s' {1..70000})"
expect_code 2
expect_err "error: the request is longer than 65536 bytes"

claim "list and recover without directories need the daemon, and say so"
for command in list recover; do
	run "$command" -S "$tmp/none.sock"
	expect_code 1
	expect_out ""
	expect_err_like "cannot reach wirespoold"
	expect_err_like "without directories on the command line, the daemon is asked for them"
done

finish
