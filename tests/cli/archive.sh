#!/usr/bin/env bash
# list, verify and recover on files that another program wrote.
. "$(dirname "$0")/lib.sh"

first=1795232400 # 2026-11-21T03:40:00Z
run_a=office-20261121T034000.000Z
run_b=web-20261121T050000.000Z
mkdir "$tmp/d1" "$tmp/d2" "$tmp/empty"
segment()
{
	python3 "$here/make_segment.py" "$@"
}
probe=$tmp/$run_a-00001.pcapng
segment "$probe" "$run_a" 1 10 $first
run verify "$probe"
claim "a whole segment is ok, with its packets and times"
expect_code 0
expect_err ""
expect_out_like "^ok $probe: 10 packets, [0-9.]+ KiB, 2026-11-21T[0-9:]+.000Z to 2026-11-21T[0-9:]+.000Z$"
segment "$tmp/d1/$run_a-00001.pcapng" "$run_a" 1 10 $first
segment "$tmp/d2/$run_a-00002.pcapng" "$run_a" 2 5 $((first + 100))
segment "$tmp/d2/$run_b-00001.pcapng" "$run_b" 1 3 $((first + 4800)) recovered
segment "$tmp/d2/foreign.pcapng" "" 0 4 $first foreign
echo "not ours" >"$tmp/d2/notes.txt"

claim "list puts the segments of a run together, from all directories"
run list "$tmp/d1" "$tmp/d2"
expect_code 0
expect_err ""
expect_out_like "^$run_a +2 +2026-11-21T03:[0-9:]+.000Z +2026-11-21T03:[0-9:]+.000Z +15 +[0-9.]+ KiB +0 +sealed$"
expect_out_like "^$run_b +1 .* 3 +[0-9.]+ KiB +7 +1 recovered$"
expect_equal "$(wc -l <<<"$out")" 3

claim "list --segments has one line per file, in the order of run and number"
run list --segments "$tmp/d2" "$tmp/d1"
expect_equal "$(awk 'NR > 1 {print $NF}' <<<"$out" | xargs -n1 basename | tr '\n' ' ')" \
	"$run_a-00001.pcapng $run_a-00002.pcapng $run_b-00001.pcapng "

claim "list --json has one object per file, with what the end block says"
run list --json "$tmp/d1" "$tmp/d2"
expect_equal "$(jq -rs '.[0] | [.run, .recording, .number, .state, .pkts, .captured_bytes, .wire_bytes, .last_ns - .first_ns] | @csv' <<<"$out")" \
	"\"$run_a\",\"office\",1,\"sealed\",10,600,640,9000000000"
expect_equal "$(jq -rs '.[2] | [.state, .missing_pkts] | @csv' <<<"$out")" '"recovered",7'

claim "list without directories asks the daemon for its stripes; null: has no files"
start_daemon "{\"stripes\":[{\"ok\":true,\"stripes\":[\"$tmp/d1\",\"null:\"]}]}"
run list -S "$socket"
expect_code 0
expect_out_like "^$run_a +1 "
expect_equal "$(requests)" '{"cmd":"stripes"}'

claim "a directory that is not there is an error, and the others are listed"
run list "$tmp/none" "$tmp/d1"
expect_code 1
expect_err_like "$tmp/none.*No such file or directory"
expect_out_like "^$run_a"

claim "nothing to list says so, --json says nothing"
run list "$tmp/empty"
expect_code 0
expect_out "no runs"
run list --json "$tmp/empty"
expect_code 0
expect_out ""

claim "verify takes directories and anybody's pcapng"
run verify "$tmp/d2/"
expect_code 0
expect_equal "$(wc -l <<<"$out")" 3
expect_out_like "^ok $tmp/d2/foreign.pcapng: 4 packets"
expect_out_like "^ok $tmp/d2/$run_b-00001.pcapng: 3 packets, .*, 7 missing, recovered$"

claim "what verify takes as whole, capinfos reads with the same number of packets"
if command -v capinfos >/dev/null; then
	expect_equal "$(capinfos -Tr -c -M "$probe" 2>/dev/null | awk '{print $NF}')" 10
fi

claim "a fault is named with its offset, and the exit code is 1; other files are still read"
cp "$probe" "$tmp/bad.pcapng"
printf '\377' | dd of="$tmp/bad.pcapng" bs=1 seek=4190 conv=notrunc status=none
run verify "$tmp/bad.pcapng" "$probe"
expect_code 1
expect_err ""
expect_out_like "^fault $tmp/bad.pcapng: at [0-9]+: "
expect_out_like "^ok $probe"
run verify --json "$tmp/bad.pcapng"
expect_code 1
expect_equal "$(jq -r '.state, (.faults | length > 0)' <<<"$out" | tr '\n' ' ')" "faulty true "

claim "a file cut short is a fault"
head -c 4500 "$probe" >"$tmp/short.pcapng"
run verify "$tmp/short.pcapng"
expect_code 1
expect_out_like "^fault $tmp/short.pcapng: at [0-9]+: "

claim "a file that cannot be read is an error, not a fault"
run verify "$tmp/none.pcapng"
expect_code 1
expect_out ""
expect_err_like "^error: .*$tmp/none.pcapng.*No such file"

claim "a directory without captures gets a warning"
run verify "$tmp/empty"
expect_code 0
expect_err "warning: no .pcapng file in '$tmp/empty'"

claim "a .part is reported as not sealed"
part=$tmp/d1/$run_a-00003.pcapng.part
head -c 4500 "$probe" >"$part"
run verify "$tmp/d1"
expect_code 0
expect_out_like "^part $part: not sealed$"
run verify --json "$part"
expect_equal "$(jq -r .state <<<"$out")" part
run list "$tmp/d1"
expect_out_like " 1 part$"

claim "recover leaves alone a file that a writer holds"
exec 9<"$part"
flock 9
run recover "$tmp/d1"
expect_code 0
expect_out ""
expect_err "'$part' is being written: left alone"
[ -e "$part" ] || complain "the file is gone"
exec 9<&-

claim "recover seals a .part, and what it sealed is whole"
segment "$tmp/whole.pcapng" "$run_a" 3 10 $first
size=$(stat -c %s "$tmp/whole.pcapng")
head -c $((size - 80)) "$tmp/whole.pcapng" >"$part"
run recover "$tmp/d1"
expect_code 0
expect_err ""
expect_out_like "^sealed ${part%.part}: [0-9]+ packets?, [0-9]+ missing, .* cut off its end$"
[ ! -e "$part" ] || complain "the .part is still there"
run verify "${part%.part}"
expect_code 0
expect_out_like "^ok .*recovered$"

claim "recover --json says what was kept"
head -c $((size - 80)) "$tmp/whole.pcapng" >"$part"
rm "${part%.part}"
run recover --json "$part"
expect_code 0
expect_equal "$(jq -r '[.path, .sealed_path, .removed] | @csv' <<<"$out")" \
	"\"$part\",\"${part%.part}\",false"

claim "nothing to recover says so; a file that is not there is an error"
run recover "$tmp/d1"
expect_code 0
expect_out "nothing to recover"
run recover "$tmp/none.pcapng.part"
expect_code 1
expect_out ""
expect_err_like "^error: .*$tmp/none.pcapng.part"

finish
