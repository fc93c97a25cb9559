#!/usr/bin/env bash
# bench: its arithmetic, with a private daemon that answers from canned JSON; then the real one, on
# this machine, without root. What is measured is never compared with what it should be.
. "$(dirname "$0")/lib.sh"
cd "$tmp" || exit 1
real_daemon=$(dirname "$WIRESPOOL")/../control/wirespoold
chmod 755 "$tmp"
mkdir "$tmp/disk" "$tmp/other"

for tool in jq python3 setpriv unshare pkill; do
	command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }
done

# Answers of a daemon whose uptime goes through TIMES..., with 1,200,000 packets each 100 ms, of 104 bytes in
# the files
canned()
{
	jq -n --argjson free "${free:-9000000000}" '
		[$ARGS.positional[] | tonumber] as $times |
		{record: [{ok: true, run: "bench-1"}],
		 status: [$times[] | . as $t | (($t - $times[0]) * 12000000 | round) as $n |
			{ok: true, uptime_s: $t,
			 ports: [{name: "gen0", queues: 1, received_pkts: $n}],
			 runs: [{id: "bench-1", state: "live", filtered_pkts: 0, written_pkts: $n}],
			 stripes: [{path: "x", written_bytes: ($n * 104), direct: true}],
			 lcores: [{busy_ns: (5 + $n * 80), pkts: $n}],
			 writers: [{huge_pages: true, busy_ns: (7 + $n * 25), pkts: $n}]}],
		 stop: [{ok: true}],
		 summary: [{ok: true, done: false}],
		 "summary@stop": [{ok: true, done: true, summary: {duration_s: 1, clock: "tsc",
			warnings: ["no huge pages"],
			ports: [{name: "gen0", nic_missed_pkts: 0, nic_no_mbuf_pkts: 0}],
			runs: [{id: "bench-1", received_pkts: 13000000, outside_window_pkts: 1000000,
				filtered_pkts: 0, written_pkts: 12000000, written_bytes: 720000000,
				lost_ring_pkts: 0, lost_memory_pkts: 0, lost_disk_pkts: 0, files: []}]}}]}' \
		--args "$@"
}

# answers JSON: for the next private daemons
answers()
{
	rm -f "$tmp/private.json.requests"
	printf '%s' "$1" >"$tmp/private.json"
	export FAKE_ANSWERS=$tmp/private.json
}

# the value of a jq expression of stdout
of()
{
	jq -c "$1" <<<"$out"
}

steady=$(canned 7.0 7.1 7.2 7.3 7.4 7.5 7.6 7.7 7.8 7.9 8.0)

claim "rates, costs and prediction are what the samples say"
answers "$steady"
run bench --json --for 1s --sizes 64 -f ''
expect_code 0
expect_err "warning: no huge pages"
expect_equal "$(wc -l <"$tmp/out")" 1
expect_equal "$(of '.measurements | map(.kind)')" '["pack"]'
expect_equal "$(of '.measurements[0] | [.frame, .lcores, .writers, .huge_pages, .direct, .file_bytes]')" \
	'["64",1,1,true,null,null]'
expect_equal "$(of '.measurements[0] | [.duration_s, .settle_s, .pkts_per_s, .median_pkts_per_s,
	.slowest_pkts_per_s, .wire_bps, .file_bytes_per_s, .file_bytes_per_pkt, .lcore_ns_per_pkt,
	.writer_ns_per_pkt] | map(. * 1000 | round / 1000)')" \
	'[1,0.25,12000000,12000000,12000000,8064000000,1248000000,104,80,25]'
expect_equal "$(of '.measurements[0] | [.received_pkts, .filtered_pkts, .written_pkts, .lost_pkts]')" \
	'[12000000,0,12000000,0]'
expect_equal "$(of '.measurements[0].samples | [.time_s[-1], .written_pkts[-1], .file_bytes[-1]]')" \
	'[1,12000000,1248000000]'
expect_equal "$(of '.prediction | [.lcores, .writers, .disks]')" '[1,1,0]'
expect_equal "$(of '.prediction.rates[0] | [.frame, .limit, (.pkts_per_s | round),
	(.lcores_pkts_per_s | round), (.writers_pkts_per_s | round), .disks_pkts_per_s, (.measured_pkts_per_s | round)]')" \
	'["64","lcores",12000000,12500000,40000000,null,12000000]'
expect_equal "$(of '.prediction.rates[0].needs | map([.link_bps / 1e9, .lcores, .writers, .disks])')" \
	'[[10,2,1,null],[25,3,1,null],[40,5,2,null],[100,12,4,null]]'
expect_equal "$(of '.warnings')" '["no huge pages"]'

claim "the recorder is told what the options say"
expect_equal "$(head -1 private.json.requests | jq -cS .)" \
	'{"cmd":"record","devices":["gen:rate=max,size=64"],"name":"bench","stripes":["null:"]}'
answers "$steady"
run bench --json --for 500ms --sizes IMIX -f 'tcp port 80' -s headers+8 --cpus 0,2-3 -o disk
expect_code 0
expect_equal "$(jq -rc 'select(.cmd == "record") | [.devices[0], .filter, .snaplen] | @csv' private.json.requests)" \
	'"gen:rate=max,size=IMIX","tcp port 80","headers+8"
"gen:rate=max,size=IMIX",,"headers+8"
"gen:rate=max,size=1518",,
"gen:rate=max,size=IMIX",,"headers+8"'
expect_equal "$(grep '"filter"' private.json.requests | jq -cS .)" \
	'{"cmd":"record","cpus":[0,2,3],"devices":["gen:rate=max,size=IMIX"],"filter":"tcp port 80","name":"bench","snaplen":"headers+8","stripes":["null:"]}'
expect_equal "$(of '[.filter, (.measurements | map(.kind))]')" \
	'["tcp port 80",["filter","pack","disk","end_to_end"]]'

claim "what the filter does not keep costs the rx lcore only"
answers "$(jq '.status[].runs[0] |= (.filtered_pkts = 3 * .written_pkts) | .status[].lcores[0].pkts *= 4 |
	.["summary@stop"][0].summary.runs[0] |= (.filtered_pkts = 36000000 | .received_pkts = 49000000)' <<<"$steady")"
run bench --json --for 1s --sizes 64 -f 'tcp'
expect_code 0
expect_equal "$(of '.measurements | map([.received_pkts, .filtered_pkts, .written_pkts, (.pkts_per_s | round)])')" \
	'[[48000000,36000000,12000000,48000000],[48000000,36000000,12000000,48000000]]'
expect_equal "$(of '.prediction.rates[0] | [.limit, .lcores_pkts_per_s, .writers_pkts_per_s | numbers |= round]')" \
	'["lcores",50000000,160000000]'
expect_equal "$(of '.prediction.rates[0].needs[3] | [.lcores, .writers, (.disk_bytes_per_s / 1e6 | round)]')" \
	'[3,1,3869]'

claim "a disk counts with its slowest second, wherever that begins"
slow=$(canned $(seq 1 0.25 4) | jq '.status |= (to_entries | map(.key as $k | .value |
	.stripes[0].written_bytes = ([range($k) | if . >= 5 and . < 9 then 1e8 else 2.5e8 end] | add // 0)))')
answers "$slow"
run bench --json --for 3s --sizes 64 -f '' -o disk
expect_code 0
expect_equal "$(of '.measurements | map([.kind, .directories, .direct])')" \
	'[["pack",[],null],["disk",["disk"],true],["end_to_end",["disk"],true]]'
expect_equal "$(of '.measurements[1] | [.slowest_file_bytes_per_s, .median_file_bytes_per_s] | map(. / 1e6 | round)')" \
	'[400,700]'
expect_equal "$(of '.prediction.rates[0].limit')" '"disks"'
expect_equal "$(of '.measurements[0].file_bytes_per_pkt * .prediction.rates[0].disks_pkts_per_s / 1e6 | round')" 400

claim "less of all parts together than of each: together"
answers "$(jq '.status[].lcores[0].busy_ns |= (. / 2 | floor)' <<<"$steady")"
run bench --for 1s --sizes 64 -f '' -o disk -o other
expect_code 0
expect_err_like "^warning: 'disk' and 'other' are on one file system: as disks they count twice$"
expect_out_like '^predicted without loss, with 1 rx lcore, 1 writer and 2 disks'
expect_out_like '^ +64 +12.0 Mpkt/s +8.1 Gbit/s +together +1\+1\+2 +2\+1\+4 +3\+2\+5 +6\+4\+13$'

claim "the table has all of it for people"
expect_out_like '^machine  .*, [0-9]+ CPUs?, .* of memory, huge pages$'
expect_out_like '^memory   [0-9.]+ .?B/s copied by one thread'
expect_out_like '^packed and thrown away, by 1 rx lcore and 1 writer$'
expect_out_like '^ +64 +12.0 Mpkt/s +8.1 Gbit/s +1.2 GB/s +40.0 ns/pkt +25.0 ns/pkt$'
expect_out_like '^ +1.2 GB/s +1.2 GB/s +1.2 GB/s +other$'
expect_out_like '^end to end, to all directories together'
expect_out_like 'An estimate. The generator.s work is in the rx lcore.s figure: a NIC does better'
expect_out_unlike ' $'

claim "packets that were lost: said, counted, exit code 3"
answers "$(jq '.["summary@stop"][0].summary.runs[0].lost_disk_pkts = 5' <<<"$steady")"
run bench --json --for 1s --sizes 64 -f ''
expect_code 3
expect_err_like '^warning: pack 64: 5 packets were lost; its rates are not to be trusted$'
expect_equal "$(of '.measurements[0].lost_pkts')" 5

claim "a refusal of the filter comes first, is usage, and nothing is shown"
answers '{"record": [{"ok": false, "error": "filter: syntax error", "usage": true}]}'
run bench -f 'udp prot 53' -o disk --svg a.svg
expect_code 2
expect_out ""
expect_err "error: filter: syntax error"
expect_equal "$(grep -c . private.json.requests)" 1
expect_equal "$(echo disk/* *.svg*)" "disk/* *.svg*"

claim "a daemon that dies before there is a figure: nothing is shown, exit code 1, all is removed"
answers "$(jq '.status = ["@exit 9"]' <<<"$steady")"
run bench --json --for 1s -o disk
expect_code 1
expect_out ""
expect_err_like 'ended unexpectedly with exit status 9'
expect_equal "$(ls disk)" ""

claim "an interrupt before there is a figure: the same"
answers "$(jq '.status |= .[0:3] + ["@signal SIGINT"] + .[3:]' <<<"$steady")"
run bench --json --for 1s -o disk
expect_code 1
expect_out ""
expect_err_like '^error: interrupted$'
expect_equal "$(ls disk)" ""

refused()
{
	claim "wrong: bench ${*:2}"
	run bench "${@:2}"
	expect_code 2
	expect_out ""
	expect_err "$1"
	expect_equal "$(ls disk)" ""
}

touch file
see="; see 'wirespool bench --help'"
refused "error: directory 'nowhere' does not exist; -o takes one on the disk to measure" -o disk -o nowhere
refused "error: 'file' is no directory that can be read" -o file
refused "error: 'null:' is no disk; what is not written is measured without -o" -o null:
for size in 63 9217 imix 64-128 "" 1e3; do
	refused "wirespool bench: --sizes: '$size' is no frame size: 64..9216 bytes with FCS, or IMIX$see" \
		--sizes "64,$size"
done
refused "wirespool bench: --for: must be 500ms or more, got '100ms'$see" --for 100ms
refused "wirespool bench: --for: '0' is nothing: must be more than 0$see" --for 0
refused "wirespool bench: takes no operands, got 'eth0'$see" eth0
refused "wirespool bench: --cpus: 'x' is not a list of CPUs: numbers up to 4095 and ranges, \"2,4-6\"$see" --cpus x

claim "a picture that cannot be written is found out before anything is measured"
rm -f private.json.requests
run bench --svg nowhere/a.svg
expect_code 1
expect_err "error: cannot write 'nowhere/a.svg': No such file or directory"
[ ! -e private.json.requests ] || complain "a daemon was asked"

# on_small SIZE COMMAND...: with a file system of its own in $tmp/disk, which ends with the command
on_small()
{
	local as_root=
	[ "$(id -u)" = 0 ] || as_root=-r
	# shellcheck disable=SC2016 # the inner shell's
	unshare $as_root -m sh -c 'mount -t tmpfs -o size="$1" small disk && shift && "$@"' - "$@"
}

claim "a disk with too little room is refused before anything is measured"
if on_small 1M true; then
	on_small 1G "$wirespool" bench -o disk >"$tmp/out" 2>"$tmp/err"
	code=$? out=$(<"$tmp/out") err=$(<"$tmp/err")
	expect_code 1
	expect_out ""
	expect_err "error: 'disk' has 1.0 GiB free; to measure a disk takes 6.0 GiB at least"

	# The time of the second daemon stands still: only the room can end its measurement.
	claim "a disk is not filled: the measurement ends early and says so"
	answers "$(canned $(seq 1 0.005 1.6))"
	canned 1 1.2 1.3 >still.json
	cat >small.sh <<-'END'
		# until_asked WORD: until a daemon was asked for it; not for ever
		until_asked()
		{
			until grep -q "$1" private.json.requests 2>/dev/null || ! kill -0 "$bench" 2>/dev/null; do
				sleep 0.02
			done
		}
		"$1" bench --json --for 500ms --sizes 64 -f '' -o disk >out 2>err &
		bench=$!
		until_asked record
		mv still.json private.json
		until_asked wirespool-bench
		sleep 0.5
		mount -o remount,size=1G disk || kill "$bench"
		wait "$bench"
	END
	on_small 7G sh small.sh "$wirespool"
	code=$? out=$(<"$tmp/out") err=$(<"$tmp/err")
	expect_err_like "^warning: 'disk': stopped after 0.3 s of 500ms, to leave 2.0 GiB free$"
	expect_equal "$(of '.measurements | map(.out_of_room)')" '[false,true]'

	claim "and the next one is not begun"
	expect_code 1
	expect_err_like "^error: 'disk' has 1.0 GiB free; to measure a disk takes 6.0 GiB at least$"
fi

claim "progress is one line on a terminal, wiped off before the end; elsewhere nothing"
answers "$steady"
python3 - "$wirespool" <<'END' >"$tmp/terminal"
import os, pty, subprocess, sys
ours, theirs = pty.openpty()
p = subprocess.Popen([sys.argv[1], "bench", "--json", "--for", "1s", "--sizes", "64", "-f", ""],
                     stdout=subprocess.DEVNULL, stderr=theirs)
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
out=$(tr '\r' '\n' <"$tmp/terminal") err='' code=0
expect_out_like '^1 of 1  packing 64-byte frames  0\.[0-9] of 1s  12.0 Mpkt/s  1.2 GB/s'
expect_equal "$(grep -c $'^\033\[K' <<<"$out")" 1

# From here on the real thing. Not as root, and from a place where others may read.
if [ ! -x "$real_daemon" ]; then
	echo "skipped: no wirespoold in '$(dirname "$real_daemon")'"
	[ "$failures" = 0 ] && exit 77 || exit 1
fi
if [ "$(stat -f -c '%a * %S' "$tmp" | { read -r n _ size; echo $((n * size / 1073741824)); })" -lt 12 ]; then
	echo "skipped: '$tmp' has not 12 GiB free to measure a disk"
	[ "$failures" = 0 ] && exit 77 || exit 1
fi
cp "$real_daemon" "$tmp/bin/wirespoold"
disk='a-disk-of-a-rather-long-name-<&"é'
mkdir -m 777 "$disk"
as_nobody=()
if [ "$(id -u)" = 0 ]; then
	as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	chmod 777 "$tmp"
fi

# really ARGUMENT...: as run, without root
really()
{
	"${as_nobody[@]}" "$wirespool" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
	out=$(<"$tmp/out")
	err=$(<"$tmp/err")
}

claim "a directory that cannot be written is refused"
mkdir -m 555 readonly
if [ "$(id -u)" = 0 ] || [ ! -w readonly ]; then
	really bench -o readonly
	expect_code 2
	expect_out ""
	expect_err "error: cannot make a directory in 'readonly': Permission denied"
fi

claim "without root: every figure follows from the others"
really bench --json --for 500ms --sizes 64,IMIX,1518 -o "$disk" --svg "$tmp/rates.svg"
expect_code 0
expect_equal "$(of '.measurements | map(.kind + " " + .frame) | join(", ")')" \
	'"filter 64, filter IMIX, filter 1518, pack 64, pack IMIX, pack 1518, disk 1518, end_to_end 64, end_to_end IMIX, end_to_end 1518"'
expect_equal "$(python3 "$here/check_bench.py" json "$tmp/out" 2>&1)" ""

claim "the picture is well-formed and has the curves of all measurements; a long path has its end"
expect_equal "$(python3 "$here/check_bench.py" svg "$tmp/rates.svg" \
	"...${disk: -25}" {64,1518}" bytes"{,", filtered",", end to end",", end to end"} \
	IMIX{,", filtered",", end to end",", end to end"} 2>&1)" ""

claim "nothing is left behind"
expect_equal "$(ls -A "$disk")" ""
[ ! -e "$tmp/rates.svg.part" ] || complain "a part of the picture is left"

# begin_writing: a bench in the background, once it writes to the disk; sets bench
begin_writing()
{
	"${as_nobody[@]}" "$wirespool" bench --for 2s --sizes 1518 -f '' -o "$disk" >"$tmp/out" 2>"$tmp/err" &
	bench=$!
	while kill -0 "$bench" 2>/dev/null; do
		compgen -G "$disk/wirespool-bench-*/*.part" >/dev/null && return
		sleep 0.02
	done
	complain "it ended before it wrote"
}

ended()
{
	wait "$bench"
	code=$? out=$(<"$tmp/out") err=$(<"$tmp/err")
	expect_code 1
	expect_out_like '^packed and thrown away'
	expect_out_unlike '^predicted'
	expect_equal "$(ls -A "$disk")" ""
}

for name in INT TERM; do
	claim "SIG$name while it writes: what was measured is shown, and nothing is left behind"
	begin_writing
	kill -"$name" "$bench"
	ended
	expect_err_like '^error: interrupted$'
done

claim "the daemon killed while it writes: the same"
begin_writing
pkill -KILL -P "$bench"
ended
expect_err_like 'ended unexpectedly with signal 9'

finish
