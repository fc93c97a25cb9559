#!/usr/bin/env bash
# status, trigger, stop, schedule and reload against a daemon with canned answers.
. "$(dirname "$0")/lib.sh"

run_json()
{
	printf '{"id":"%s","recording":"office","state":"%s","start":"2026-11-21T03:30:00.000Z","end":null,"received_pkts":1000,"outside_window_pkts":10,"filtered_pkts":90,"cutoff_pkts":5,"written_pkts":%d,"written_bytes":90000,"wire_bytes":900000,"lost_ring_pkts":%d,"lost_memory_pkts":0,"lost_disk_pkts":0,"in_ram_pkts":0,"queued_bytes":0,"files_count":2}' \
		"$1" "$2" $((900 - $3)) "$3"
}

status_json()
{
	printf '{"ok":true,"version":"9.9","pid":77,"uptime_s":61.5,"now":"2026-11-21T04:00:00.000Z","clock":"tsc","ports":[{"name":"left","device":"eth0","driver":"net_af_packet","clock":"tsc","link_up":true,"link_bps":10000000000,"queues":1,"offered_pkts":1001,"received_pkts":1000,"nic_missed_pkts":1,"nic_no_mbuf_pkts":0,"nic_error_pkts":0,"warnings":["RSS is not symmetric"]}],"runs":[%s],"ended":[%s],"recordings":[{"name":"office","when":"windows","ports":["left","right"],"stripes":["/d1","/d2"],"live":true,"filter":{"generation":2,"text":"filter = \\"udp\\"","pending":false}}],"stripes":[{"path":"/d1","queued_bytes":1048576,"written_bytes":2097152,"free_bytes":1073741824,"direct":true,"error":null},{"path":"/d2","queued_bytes":0,"written_bytes":1,"free_bytes":5,"direct":false,"error":"Input/output error"},{"path":"null:","queued_bytes":0,"written_bytes":0,"free_bytes":null,"direct":false,"error":null}],"writers":[{"cpu":-1,"chunks":64,"chunks_free":60,"huge_pages":false,"registered":true}],"warnings":["no huge pages"]}' \
		"$1" "$2"
}

claim "status tells of every part of the answer"
start_daemon "{\"status\":[$(status_json "$(run_json r1 live 0)" "$(run_json r0 ended 7)")]}"
run status -S "$socket"
expect_code 0
expect_err ""
expect_out_like '^wirespoold 9.9, process 77, up 1m1s, clock tsc, now 2026-11-21T04:00:00.000Z$'
expect_out_like '^left +eth0 +10(\.0)? Gbit/s +tsc +1 +1,001 +1,000 +1 +0 +0$'
expect_out_like '^office +windows +left,right +/d1,/d2 +live +filter = "udp"$'
expect_out_like '^r1 +live +1,000 +10 +90 +5 +900 +[0-9.]+ KiB +0 +0 +0 +0 +2$'
expect_out_like '^r0 +ended +1,000 +10 +90 +5 +893 +[0-9.]+ KiB +7 +0 +0 +0 +2$'
expect_out_like '^/d1 +1(\.0)? MiB +2(\.0)? MiB +1(\.0)? GiB +ok, direct$'
expect_out_like '^/d2 .* Input/output error$'
expect_out_like '^null: +0 B +0 B +- +ok$'
expect_out_like '^any +64 +60 +ordinary pages +registered$'
expect_out_like '^warning: no huge pages$'
expect_out_like '^warning: left: RSS is not symmetric$'

claim "status --json is the answer as one object on one line"
run status --json -S "$socket"
expect_code 0
expect_equal "$(wc -l <"$tmp/out")" 1
expect_equal "$(jq -r '[.version, .runs[0].id, has("ok")] | @csv' <<<"$out")" '"9.9","r1",false'

claim "status tells what a prefilter did, where there is one"
start_daemon '{"status":[{"ok":true,"ports":[{"name":"left","device":"eth0"},{"name":"right","device":"af_xdp:eth1","prefilter_redirected_pkts":2000,"prefilter_passed_pkts":3,"prefilter_dropped_pkts":1048576,"prefilter_rules":[{"rule":"keep tcp any any any 443","pkts":2000}]}]}]}'
run status -S "$socket"
expect_code 0
expect_out_like '^prefilter of right: 2,000 redirected to the recorder, 3 passed to the system, 1,048,576 dropped$'
expect_equal "$(grep -c '^prefilter' <<<"$out")" 1
run status --json -S "$socket"
expect_equal "$(jq -c '.ports[1].prefilter_rules' <<<"$out")" '[{"rule":"keep tcp any any any 443","pkts":2000}]'

claim "status of an answer with nothing in it does not fail"
start_daemon '{"status":[{"ok":true}]}'
run status -S "$socket"
expect_code 0

claim "status --watch shows again and again, and fails when the daemon goes"
start_daemon '{"status":[{"ok":true,"pid":1},{"ok":true,"pid":2},"@close"]}'
run status --watch --json -S "$socket"
expect_code 1
expect_out '{"pid":1}
{"pid":2}'
expect_err "error: wirespoold closed the connection before it answered"

claim "trigger of a recording prints the run's id, alone"
start_daemon '{"trigger":[{"ok":true,"run":"office-20261121T033000.000Z"}]}'
run trigger -S "$socket" office --for 10m
expect_code 0
expect_err ""
expect_out "office-20261121T033000.000Z"
expect_equal "$(requests | jq -cS .)" '{"cmd":"trigger","for":"10m","recording":"office"}'

claim "trigger --port sends what the options say, with absolute directories"
rm "$socket.requests"
cd "$tmp" || exit 1
run trigger -S "$socket" --port left --port right -f 'udp port 53' -s headers+64 -o sub -o /abs \
	-o null: --name dns --for 5s --packets 100 --bytes 1GiB --rotate 64MiB --every 5m --on-clock
expect_code 0
expect_equal "$(requests | jq -cS .)" \
	'{"bytes":"1GiB","cmd":"trigger","filter":"udp port 53","for":"5s","name":"dns","packets":100,"ports":["left","right"],"rotate_bytes":"64MiB","rotate_every":"5m","rotate_on_clock":true,"snaplen":"headers+64","stripes":["'"$tmp"'/sub","/abs","null:"]}'

claim "trigger --port sends what the filter is to mean, with an absolute file of rules"
rm "$socket.requests"
run trigger -S "$socket" --port left -o null: --rules sub/office.rules --vlan strict \
	--inner vxlan,gtp-u,gre --fragments follow --cutoff '20 KiB' --after drop
expect_code 0
expect_equal "$(requests | jq -cS .)" \
	'{"after":"drop","cmd":"trigger","cutoff":"20 KiB","fragments":"follow","inner":["vxlan","gtp-u","gre"],"ports":["left"],"rules_file":"'"$tmp"'/sub/office.rules","stripes":["null:"],"vlan":"strict"}'

claim "set sends each key, and prints since when the live runs have the new filter"
start_daemon '{"set":[{"ok":true,"recording":"office","generation":3,"since":"2026-11-21T03:30:00.123Z","runs":["r1","r2"],"pending":false}]}'
run set -S "$socket" office 'filter=tcp[2:2] = 80' snaplen=headers rules=office.rules vlan=strict \
	inner=vxlan,gre fragments=literal cutoff=1MiB after=drop
expect_code 0
expect_err ""
expect_out "office: filter generation 3 since 03:30:00.123 in 2 live runs"
expect_equal "$(requests | jq -cS .)" \
	'{"after":"drop","cmd":"set","cutoff":"1MiB","filter":"tcp[2:2] = 80","fragments":"literal","inner":["vxlan","gre"],"recording":"office","rules_file":"'"$tmp"'/office.rules","snaplen":"headers","vlan":"strict"}'
run set --json -S "$socket" office after=drop
expect_out '{"recording":"office","generation":3,"since":"2026-11-21T03:30:00.123Z","runs":["r1","r2"],"pending":false}'

claim "set: an empty value takes the setting away, whatever its type"
rm "$socket.requests"
run set -S "$socket" office filter= rules= inner= cutoff=
expect_code 0
expect_equal "$(requests | jq -cS .)" \
	'{"cmd":"set","cutoff":null,"filter":null,"inner":null,"recording":"office","rules_file":null}'

claim "set of a recording with no live run says so"
start_daemon '{"set":[{"ok":true,"recording":"office","generation":0,"since":null,"runs":[],"pending":false}]}'
run set -S "$socket" office vlan=any
expect_code 0
expect_out "office: changed, no run is live"

claim "set to what a live run has kept since it began says that the run is live"
start_daemon '{"set":[{"ok":true,"recording":"office","generation":1,"since":null,"runs":["r1"],"pending":false}]}'
run set -S "$socket" office vlan=any
expect_code 0
expect_out "office: filter generation 1 in 1 live run"

# filter_json PENDING ERROR: a status with the filters of two recordings
filter_json()
{
	printf '{"ok":true,"recordings":[{"name":"night","filter":{"generation":9,"since":null,"pending":false,"error":"x"}},{"name":"office","filter":{"generation":4,"since":"2026-11-21T03:30:07.500Z","pending":%s,"error":%s}}]}' \
		"$1" "$2"
}
pending='{"ok":true,"recording":"office","generation":3,"since":"2026-11-21T03:30:00.123Z","runs":["r1"],"pending":true}'

claim "set waits while a table of rules is built"
start_daemon "{\"set\":[$pending],\"status\":[$(filter_json true null),$(filter_json true null),$(filter_json false null)]}"
run set -S "$socket" office rules=/etc/long.rules
expect_code 0
expect_err ""
expect_out "office: filter generation 4 since 03:30:07.500 in 1 live run"
expect_equal "$(requests | jq -r .cmd | tr '\n' ' ')" "set status status status "
run set --json -S "$socket" office rules=/etc/long.rules
expect_out '{"recording":"office","generation":4,"since":"2026-11-21T03:30:07.500Z","runs":["r1"],"pending":false}'

claim "set of a table that cannot be built fails, and says what goes on"
start_daemon "{\"set\":[$pending],\"status\":[$(filter_json true null),$(filter_json false '"no memory for 100000 rules"')]}"
run set -S "$socket" office rules=/etc/long.rules
expect_code 1
expect_out ""
expect_err "error: office: no memory for 100000 rules; the filter before goes on"

claim "set whose recording goes while it waits fails"
start_daemon "{\"set\":[$pending],\"status\":[{\"ok\":true,\"recordings\":[]}]}"
run set -S "$socket" office rules=/etc/long.rules
expect_code 1
expect_out ""
expect_err "error: recording 'office' is gone from the settings"

claim "set that the daemon refuses says why"
start_daemon '{"set":[{"ok":false,"error":"no recording is called '"'lab'"'","usage":true}]}'
run set -S "$socket" lab filter=tcp
expect_code 2
expect_out ""
expect_err "error: no recording is called 'lab'"

claim "stop waits until the run has ended and prints its ledger"
live=$(run_json r1 live 0) finishing=$(run_json r1 finishing 0) ended=$(run_json r1 ended 0)
start_daemon "{\"stop\":[{\"ok\":true,\"runs\":[\"r1\"]}],\"status\":[
	$(status_json "$live" ""), $(status_json "$finishing" ""), $(status_json "" "$ended")]}"
run stop -S "$socket" office
expect_code 0
expect_err ""
expect_out_like '^run r1$'
expect_out_like '^  received +1,000  packets$'
expect_out_like '^  outside window +10 '
expect_out_like '^  filtered +90 '
expect_out_like '^  written +900 '
expect_out_like '^  lost +0$'
expect_equal "$(requests | jq -r .cmd | tr '\n' ' ')" "stop status status status "

claim "stop exits with 3 when packets were lost, and names the cause"
start_daemon "{\"stop\":[{\"ok\":true,\"runs\":[\"r1\",\"r2\"]}],\"status\":[
	$(status_json "" "$(run_json r1 ended 5),$(run_json r2 ended 0)")]}"
run stop -S "$socket" office
expect_code 3
expect_out_like "^  lost +5  ring full: the writer's CPU was late$"
run stop --json -S "$socket" office
expect_code 3
expect_equal "$(jq -r .id <<<"$out" | tr '\n' ' ')" "r1 r2 "

claim "stop --no-wait prints the ids and asks no further"
rm "$socket.requests"
run stop --no-wait -S "$socket" office
expect_code 0
expect_out "r1
r2"
expect_equal "$(requests | jq -r .cmd)" "stop"

claim "stop of a run whose account is gone says so and fails"
start_daemon "{\"stop\":[{\"ok\":true,\"runs\":[\"r9\"]}],\"status\":[$(status_json "" "")]}"
run stop -S "$socket" r9
expect_code 1
expect_err_like "^error: run 'r9' has ended, but the daemon no longer has its account"

claim "schedule shows local time, zone and UTC"
start_daemon '{"schedule":[{"ok":true,"windows":[
	{"recording":"office","start":"2026-11-23T07:00:00.000Z","end":"2026-11-23T17:00:00.000Z","start_local":"2026-11-23T08:00:00+01:00","end_local":"2026-11-23T18:00:00+01:00","timezone":"Europe/Berlin","live":false},
	{"recording":"night","start":"a","end":"b","start_local":"c","end_local":"d","timezone":"UTC","live":true}]},
	{"ok":true,"windows":[]}]}'
run schedule -S "$socket" --next 2 --json
expect_code 0
expect_equal "$(jq -r '[.recording, .live] | @csv' <<<"$out")" '"office",false
"night",true'
expect_equal "$(requests | jq -cS .)" '{"cmd":"schedule","next":2}'
run schedule -S "$socket"
expect_out_like '^office +2026-11-23T08:00:00\+01:00 +2026-11-23T18:00:00\+01:00 +Europe/Berlin +2026-11-23T07:00:00.000Z +2026-11-23T17:00:00.000Z'
expect_out_like '^night +c +d +UTC +a +b +live$'

claim "a schedule without windows says so"
start_daemon '{"schedule":[{"ok":true,"windows":[]}]}'
run schedule -S "$socket"
expect_code 0
expect_out "no windows ahead"
run schedule --json -S "$socket"
expect_out ""

claim "reload prints what was applied and what needs a restart"
start_daemon '{"reload":[{"ok":true,"applied":["office: filter"],"needs_restart":["memory.chunks: 1 -> 2"]}]}'
run reload -S "$socket"
expect_code 0
expect_out "applied: office: filter
needs a restart: memory.chunks: 1 -> 2"
run reload --json -S "$socket"
expect_out '{"applied":["office: filter"],"needs_restart":["memory.chunks: 1 -> 2"]}'
start_daemon '{"reload":[{"ok":true,"applied":[],"needs_restart":[]}]}'
run reload -S "$socket"
expect_out "nothing has changed"

finish
