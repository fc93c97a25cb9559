#pragma once
/*
 * Prefilter: the XDP program of an AF_XDP port (prefilter.bpf.c), seen from control.
 *
 * Flow     prefilter_new() -> DPDK's driver loads the program -> prefilter_attach() -> prefilter_set()
 *          whenever settings change -> prefilter_free()
 * Threads  control only. The program runs on the CPUs that the interface's packets come in on.
 * Memory   of the kernel: 0.8 MiB for a list of rules, less than 1 MiB for its nets, 8 KiB per CPU.
 * Loss     what rules drop or leave to the kernel is counted, and was never offered to the recorder.
 */

#include <stdbool.h>
#include <stdint.h>

struct errbuf;
struct port_prefilter;
struct rules;
struct prefilter;

/*
 * Looks whether the interface, which is claimed (xdp_claim()), can have it: the program was built, the kernel takes
 * it, no other program is there. One that a recorder left behind when it died is taken off. port is the port's name,
 * for the pins. On failure nothing has changed and why says what is in the way: -EBUSY (another program).
 */
int prefilter_new(int ifindex, const char *port, struct prefilter **ret, struct errbuf *why);

/* The program's file, for the driver. */
const char *prefilter_program(const struct prefilter *p);

/*
 * When the driver has loaded it: finds its maps, and pins them in /sys/fs/bpf/wirespool/PORT. That they could not
 * be pinned is no failure: *ret_pinned says so.
 */
int prefilter_attach(struct prefilter *p, bool *ret_pinned, struct errbuf *err);

/* Takes the pins away; the program goes with the driver. Accepts NULL. */
void prefilter_free(struct prefilter *p);

/* As port_set_prefilter() in wirespool/capture.h. */
int prefilter_set(struct prefilter *p, const struct rules *rules, struct errbuf *err);

/* As port_get_prefilter(). */
int prefilter_get(struct prefilter *p, struct port_prefilter *ret);

/* Since the program was loaded, whatever the rules were; rule_count is 0. */
int prefilter_totals(struct prefilter *p, struct port_prefilter *ret);
