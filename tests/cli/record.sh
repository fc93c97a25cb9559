#!/usr/bin/env bash
# record, with a private daemon that answers from canned JSON.
. "$(dirname "$0")/lib.sh"
cd "$tmp" || exit 1

summary_json()
{
	printf '{"ok":true,"done":true,"summary":{"duration_s":2.0,"clock":"tsc","ports":[{"name":"eth0","device":"eth0","offered_pkts":%d,"received_pkts":1000,"nic_missed_pkts":%d,"nic_no_mbuf_pkts":0,"nic_error_pkts":4}],"runs":[{"id":"capture-20261121T033000.000Z","recording":"capture","received_pkts":1000,"outside_window_pkts":0,"filtered_pkts":100,"written_pkts":%d,"written_bytes":90000,"wire_bytes":1000000,"lost_ring_pkts":0,"lost_memory_pkts":%d,"lost_disk_pkts":0,"files":[%s]}],"warnings":["no huge pages"]}}' \
		$((1004 + $1)) "$1" $((900 - $2)) "$2" "$3"
}
begun='{"ok":true,"run":"capture-20261121T033000.000Z"}'
status='{"ok":true,"ports":[{"name":"eth0","received_pkts":5,"warnings":["promiscuous was refused"]}],"runs":[],"ended":[],"stripes":[],"warnings":["no huge pages"]}'
waiting='{"ok":true,"done":false}'

# answers JSON: for the next private daemon
answers()
{
	rm -f "$tmp/private.json.requests"
	printf '%s' "$1" >"$tmp/private.json"
	export FAKE_ANSWERS=$tmp/private.json
}

claim "a recording without losses: summary on stdout, each warning once on stderr, exit code 0"
answers "{\"record\":[$begun],\"status\":[$status],\"summary\":[$waiting,$waiting,$(summary_json 0 0 '"./capture-1.pcapng"')]}"
run record eth0
expect_code 0
expect_err "warning: no huge pages
warning: eth0: promiscuous was refused"
expect_out "recorded for 2s, clock tsc
port  device  offered  received  missed by NIC  no memory  damaged
eth0  eth0      1,004     1,000              0          0        4
run capture-20261121T033000.000Z
  received                  1,000  packets
  outside window                0
  filtered                    100  not wanted by the filter
  written                     900  87.9 KiB stored, on average 4.0 Mbit/s and 450 pkt/s
  lost                          0
  1 file
    ./capture-1.pcapng
  open:      wireshark ./capture-1.pcapng"
expect_equal "$(head -1 private.json.requests | jq -cS .)" \
	'{"cmd":"record","devices":["eth0"],"stripes":["."]}'

claim "record sends what its options say"
run record -f 'tcp port 80' -s headers+8 -o null: --for 10s --packets 5 --bytes 1MB --rotate 1GiB \
	--every 1h --on-clock --name web --cpus 0,2-3 gen:rate=40G pcap:x
expect_equal "$(head -1 private.json.requests | jq -cS .)" \
	'{"cmd":"record","devices":["eth0"],"stripes":["."]}'
expect_equal "$(grep '"devices":\["gen' private.json.requests | jq -cS .)" \
	'{"bytes":"1MB","cmd":"record","cpus":[0,2,3],"devices":["gen:rate=40G","pcap:x"],"filter":"tcp port 80","for":"10s","name":"web","packets":5,"rotate_bytes":"1GiB","rotate_every":"1h","rotate_on_clock":true,"snaplen":"headers+8","stripes":["null:"]}'

claim "record sends what the filter is to mean, with an absolute file of rules"
rm private.json.requests
run record -o null: --rules office.rules --vlan strict --inner ipip,geneve --fragments literal \
	--cutoff 1MiB --after headers eth0
expect_equal "$(head -1 private.json.requests | jq -cS .)" \
	'{"after":"headers","cmd":"record","cutoff":"1MiB","devices":["eth0"],"fragments":"literal","inner":["ipip","geneve"],"rules_file":"'"$tmp"'/office.rules","stripes":["null:"],"vlan":"strict"}'

claim "the summary has a line about a prefilter that did something"
with_prefilter=$(summary_json 0 0 '"a"' | jq -c '.summary.ports[0] += {"prefilter_redirected_pkts": 1000,
	"prefilter_passed_pkts": 5, "prefilter_dropped_pkts": 70000}')
answers "{\"record\":[$begun],\"status\":[$status],\"summary\":[$with_prefilter]}"
run record -o "$tmp" eth0
expect_code 0
expect_out_like '^prefilter of eth0: 1,000 redirected to the recorder, 5 passed to the system, 70,000 dropped$'

claim "--json is the summary as one object on one line"
answers "{\"record\":[$begun],\"status\":[$status],\"summary\":[$(summary_json 0 0 '"a"')]}"
run record --json eth0
expect_code 0
expect_equal "$(wc -l <"$tmp/out")" 1
expect_equal "$(jq -r '[.duration_s, .runs[0].written_pkts, .warnings[0]] | @csv' <<<"$out")" \
	'2,900,"no huge pages"'

claim "packets lost by a run: exit code 3 and the cause in words"
answers "{\"record\":[$begun],\"status\":[$status],\"summary\":[$(summary_json 0 17 '')]}"
run record eth0
expect_code 3
expect_out_like '^  lost +17  no free memory: the disks were late$'
expect_out_like '^  no files$'

claim "packets missed by the NIC: exit code 3"
answers "{\"record\":[$begun],\"status\":[$status],\"summary\":[$(summary_json 2 0 '')]}"
run record --json eth0
expect_code 3

claim "an exit code of 3 of the daemon is no failure of its own"
FAKE_EXIT=3 run record --json eth0
expect_code 3
expect_equal "$err" "warning: no huge pages
warning: eth0: promiscuous was refused"

claim "many files are joined by a pattern for each directory, in quotes where the shell needs them"
answers "{\"record\":[$begun],\"status\":[$status],\"summary\":[$(summary_json 0 0 \
	'"/d 1/c-1.pcapng","/d2/c-2.pcapng","/d 1/c-3.pcapng","/d2/c-4.pcapng","/d2/c-5.pcapng"')]}"
run record eth0
expect_code 0
expect_out_like '^  5 files$'
expect_out_like '^    and 1 more$'
expect_out_like "^  open one:  wireshark '/d 1/c-1.pcapng'\$"
expect_out_like "^  join all:  mergecap -w all.pcapng '/d 1/'capture-20261121T033000.000Z-\*.pcapng /d2/capture-20261121T033000.000Z-\*.pcapng\$"

claim "a refusal is printed; what was wrong usage exits with 2; the directory made for it is gone"
answers '{"record":[{"ok":false,"error":"device '"'eth9'"' does not exist","usage":true}]}'
run record -o "$tmp/new" eth9
expect_code 2
expect_out ""
expect_err "error: device 'eth9' does not exist"
[ ! -e "$tmp/new" ] || complain "the directory is still there"
answers '{"record":[{"ok":false,"error":"no memory","usage":false}]}'
run record eth9
expect_code 1
expect_err "error: no memory"

claim "the last component of -o is made"
answers "{\"record\":[$begun],\"status\":[$status],\"summary\":[$(summary_json 0 0 '"a"')]}"
run record -o "$tmp/made" -o made/deeper eth0
expect_code 0
[ -d "$tmp/made/deeper" ] || complain "expected a directory"

claim "a parent that does not exist is an error, and no daemon is started"
rm private.json.requests
run record -o "$tmp/no/such" eth0
expect_code 2
expect_err "error: cannot make directory '$tmp/no/such': the directory it would be in does not exist; only the last part of a path is made"
[ ! -e private.json.requests ] || complain "a daemon was asked"

for name in SIGINT SIGTERM SIGHUP; do
	claim "$name asks the daemon to stop, and the summary still comes"
	answers "{\"record\":[$begun],\"status\":[\"@signal $name\",$status],\"summary\":[$waiting],
		\"stop\":[{\"ok\":true}],\"summary@stop\":[$waiting,$(summary_json 0 0 '')]}"
	run record --json eth0
	expect_code 0
	expect_equal "$(jq -r '.runs[0].written_pkts' <<<"$out")" 900
	expect_equal "$(jq -c 'select(.cmd == "stop")' private.json.requests)" \
		'{"cmd":"stop","what":"capture-20261121T033000.000Z"}'
done

claim "a second signal abandons the disks"
answers "{\"record\":[$begun],\"status\":[\"@signal SIGINT\",$status],\"summary\":[$waiting],
	\"stop\":[{\"ok\":true}],\"status@stop\":[\"@signal SIGINT\",$status],\"summary@stop\":[$waiting],
	\"abandon\":[{\"ok\":true}],\"summary@abandon\":[$(summary_json 0 3 '')]}"
run record --json eth0
expect_code 3
expect_equal "$(grep -c abandon private.json.requests)" 1

claim "SIGHUP that was ignored before, as by nohup, stays ignored"
answers "{\"record\":[$begun],\"status\":[\"@signal SIGHUP\",$status],\"summary\":[$waiting,$waiting,$(summary_json 0 0 '')]}"
(
	trap '' HUP
	run record --json eth0
	expect_code 0
	exit $failures
) || failures=$((failures + 1))
expect_equal "$(grep -c stop private.json.requests)" 0

claim "a stop that comes too late is no failure"
answers "{\"record\":[$begun],\"status\":[\"@signal SIGINT\",$status],\"summary\":[$waiting],
	\"stop\":[{\"ok\":false,\"error\":\"no such run\",\"usage\":true}],\"summary@stop\":[$(summary_json 0 0 '')]}"
run record --json eth0
expect_code 0
expect_err "warning: no huge pages
warning: eth0: promiscuous was refused"

claim "two signals before the recording began give up"
answers '{"record":["@signal SIGINT","@signal SIGTERM","@hang"]}'
WIRESPOOL_TIMEOUT_MS=300 run record eth0
expect_code 1
expect_err_like "^error: interrupted before the recording began$"

claim "a daemon that dies: how, its last words, exit code 1, nothing on stdout"
answers "{\"record\":[$begun],\"status\":[\"@log EAL: cannot do it\",\"@exit 9\"]}"
run record eth0
expect_code 1
expect_out ""
expect_err "EAL: cannot do it
error: wirespoold ended unexpectedly with exit status 9; 'wirespool recover DIR' seals what it left"
answers "{\"record\":[\"@kill\"]}"
run record eth0
expect_code 1
expect_err "error: wirespoold ended unexpectedly with signal 9 (Killed)"

claim "a daemon that hangs is given up, and does not outlive the command"
answers "{\"record\":[$begun],\"status\":[\"@hang\"]}"
WIRESPOOL_TIMEOUT_MS=300 run record eth0
expect_code 1
expect_err_like "^error: wirespoold did not answer within 300ms$"
expect_equal "$(pgrep -fc "$tmp/bin/wirespoold")" 0

claim "a daemon that fails after its summary: the summary's files may be incomplete, exit code 1"
answers "{\"record\":[$begun],\"status\":[$status],\"summary\":[$(summary_json 0 0 '')]}"
FAKE_EXIT=5 run record --json eth0
expect_code 1
expect_err_like "wirespoold gave its summary, but ended with exit status 5"

claim "garbage from the daemon is a failure"
answers "{\"record\":[\"what?\"]}"
run record eth0
expect_code 1
expect_err "error: wirespoold's answer is not a JSON object: 'what?'"
answers "{\"record\":[$begun],\"status\":[$status],\"summary\":[{\"ok\":true,\"done\":true}]}"
run record eth0
expect_code 1
expect_err_like "it is done, and gives no summary"

claim "the log of the daemon is shown by -v, and only by it"
answers "{\"record\":[\"@log link is up\",$begun],\"status\":[$status],\"summary\":[$(summary_json 0 0 '')]}"
run record -v --json eth0
expect_code 0
expect_err_like "^link is up$"
answers "{\"record\":[\"@log link is up\",$begun],\"status\":[$status],\"summary\":[$(summary_json 0 0 '')]}"
run record --json eth0
expect_err "warning: no huge pages
warning: eth0: promiscuous was refused"

claim "progress is shown on a terminal, and wiped off before the end"
answers "{\"record\":[$begun],\"status\":[$status],\"summary\":[$waiting,$waiting,$waiting,$waiting,$waiting,$waiting,$(summary_json 0 0 '')]}"
python3 - "$wirespool" <<'END' >"$tmp/terminal"
import os, pty, subprocess, sys
ours, theirs = pty.openpty()
p = subprocess.Popen([sys.argv[1], "record", "--json", "eth0"], stdout=subprocess.DEVNULL, stderr=theirs)
os.close(theirs)
text = b""
try:
    while part := os.read(ours, 4096):
        text += part
except OSError:
    pass
p.wait()
sys.stdout.buffer.write(text)
END
out=$(<"$tmp/terminal") err='' code=0
expect_out_like 'in [0-9]+ pkt/s  kept 0 bit/s  lost 0  written 0  disk'
expect_equal "$(tail -c 4 "$tmp/terminal" | od -An -c | tr -d ' ')" '\r033[K'

claim "-v shows progress as lines where stderr is no terminal"
run record -v --json eth0
expect_code 0
expect_err_like '^0:00:01  in [0-9]+ pkt/s '
expect_equal "$(grep -c $'\033' "$tmp/err")" 0

claim "without a wirespoold to run, it says where it looked"
mv "$tmp/bin/wirespoold" "$tmp/bin/elsewhere"
PATH=/nowhere run record eth0
expect_code 1
expect_err "error: cannot find the program wirespoold: not in '$tmp/bin', not in ../control, ../filter, ../sbin or ../libexec/wirespool from there, not on PATH"

claim "wirespoold is found in the build tree's control/, in sbin/, and on PATH"
answers '{"record":[{"ok":false,"error":"found","usage":false}]}'
for folder in control sbin; do
	mkdir "$tmp/$folder"
	mv "$tmp/bin/elsewhere" "$tmp/$folder/wirespoold"
	run record eth0
	expect_err "error: found"
	mv "$tmp/$folder/wirespoold" "$tmp/bin/elsewhere"
done
mkdir "$tmp/path"
mv "$tmp/bin/elsewhere" "$tmp/path/wirespoold"
PATH=/nowhere:$tmp/path:$PATH run record eth0
expect_err "error: found"

finish
