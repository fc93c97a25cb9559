#pragma once
/*
 * The control socket: how the command `wirespool` talks to the daemon `wirespoold`.
 *
 * A stream socket in the file system. One request is one JSON object on one line; one
 * answer is one JSON object on one line, in order. A connection may ask any number of times.
 *
 *   {"cmd":"status"}
 *       {"ok":true,"version","pid","uptime_s","now","clock","ports":[...],"runs":[...],"ended":[...],
 *        "recordings":[...],"stripes":[...],"lcores":[...],"writers":[...],"warnings":[...]}
 *   {"cmd":"trigger","recording":NAME[,"for":TIME]}
 *   {"cmd":"trigger","ports":[NAME...],"stripes":[DIR...][,"name","filter","rules_file","rules":[RULE...],"vlan","inner":[TUNNEL...],"fragments",
 *         "snaplen","cutoff","after","cutoff_flows":N,"for","bytes","packets","rotate_bytes","rotate_every","rotate_on_clock"]}
 *       {"ok":true,"run":ID}      values as in wirespool.conf(5); either "rules_file", an absolute path, or "rules"
 *   {"cmd":"set","recording":NAME[,"filter","snaplen","rules_file","vlan","inner":[TUNNEL...],"fragments","cutoff","after","cutoff_flows":N]}
 *       {"ok":true,"recording":NAME,"generation":N,"since":TIME,"runs":[ID...],"pending":true|false}
 *         null takes a setting away. runs: those that are live; since: null when none took to it while it was. pending: the filter is being made
 *         on a thread, and the one before goes on; `status` tells when it is in place, or why it is not
 *   {"cmd":"stop","what":RUN|RECORDING}         {"ok":true,"runs":[ID...]}      at once; `status` tells when they ended
 *   {"cmd":"schedule"[,"next":N]}               {"ok":true,"windows":[{"recording","start","end","start_local","end_local","timezone","live"}...]}
 *   {"cmd":"reload"}                            {"ok":true,"applied":[TEXT...],"needs_restart":[TEXT...]}
 *   {"cmd":"stripes"}                           {"ok":true,"stripes":[DIR...]}
 *   {"cmd":"record","devices":[TEXT...],...as trigger...}   private daemon of `wirespool record` only
 *       {"ok":true,"run":ID}
 *   {"cmd":"summary"}                           {"ok":true,"done":false} or {"ok":true,"done":true,"summary":{...}}
 *   {"cmd":"abandon"}                           waits no more for disks; {"ok":true}
 *
 * A request that fails: {"ok":false,"error":TEXT[,"faults":[TEXT...]],"usage":true|false}; usage is true when
 * the request itself was wrong (exit code 2).
 *
 * In "status":
 *   port  {"name","device","driver","clock","link_up","link_bps","queues","descriptors","patient","ended",
 *          "offered_pkts","received_pkts","nic_missed_pkts","nic_no_mbuf_pkts","nic_error_pkts","longest_gap_ns","warnings":[]}
 *          unless all three are 0: "prefilter_redirected_pkts","prefilter_passed_pkts","prefilter_dropped_pkts";
 *          where the device goes by rules: "prefilter_rules":[{"rule","pkts"}...]
 *   run   {"id","recording","state","start","end","received_pkts","outside_window_pkts","filtered_pkts","cutoff_pkts","written_pkts",
 *          "written_bytes","wire_bytes","lost_ring_pkts","lost_memory_pkts","lost_disk_pkts","in_ram_pkts","queued_bytes","files_count"}
 *          unless 0: "cutoff_beyond_pkts","cutoff_table_full_pkts","fragments_first_unknown_pkts"
 *          state: "armed" "live" "finishing" "ended"; times are "2026-11-21T03:30:00.000Z", end null when open
 *   stripe {"path","queued_bytes","written_bytes","free_bytes","direct","error"}
 *   lcore {"port","queue","cpu","pkts","busy_ns"}      busy_ns: with packets; of pkts, what each cost
 *   writer {"cpu","pkts","busy_ns","chunks","chunks_free","huge_pages","registered"}
 *   recording {"name","when","ports":[],"stripes":[],"live","filter":{"generation","text","engine","since","pending","error"}}
 *          filter: which one its live runs have, as in the answer of "set"; error: why the last change was not made, or null
 */

#define PROTOCOL_SOCKET "/run/wirespool/control.sock"

enum {
	PROTOCOL_REQUEST_MAX = 65536, /* bytes of one request, its newline included */
	PROTOCOL_CLIENTS_MAX = 64, /* at a time; the next one is told so, silent ones make room */
	PROTOCOL_REQUEST_SECONDS = 10,  /* a request begun must be whole by then */
	PROTOCOL_ANSWER_BYTES = 1 << 24 /* a client that lets more than this pile up is dropped */
};

/*
 * `wirespool record` starts a private daemon as "wirespoold --private FD": no settings file,
 * no socket in the file system; FD is one end of a socket pair and its only client. When
 * that end is closed, the daemon seals what is under way and exits.
 */
