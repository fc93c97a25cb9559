#pragma once
/*
 * Flow rules: the drop rules of a port that its NIC carries out (rte_flow), as far as its driver takes them.
 *
 * Flow     flow_rules_new() -> flow_rules_set() whenever what runs want changes -> flow_rules_free(), before the
 *          device is stopped
 * Threads  control only.
 * Memory   0.2 MiB.
 * Loss     what a NIC drops by rule is not offered to the recorder. It is counted where the driver counts.
 */

#include <stdbool.h>
#include <stdint.h>

struct errbuf;
struct flow_rules;
struct port_prefilter;
struct rules;

/*
 * For a device that was started. port is the port's name, for messages; shared as in flow_choose(). -ENOTSUP
 * (the driver knows no flows at all), -ENOMEM.
 */
int flow_rules_new(uint16_t port_id, const char *port, bool shared, struct flow_rules **ret);

/* Takes all flows out of the NIC. Accepts NULL. */
void flow_rules_free(struct flow_rules *f);

/*
 * As port_set_prefilter() in wirespool/capture.h. Flows that the new rules do not have go before those come that
 * the old ones did not have: that makes room, and at any time there is one of the two lists that keeps nothing
 * of what is dropped. What the driver refuses is no failure: the recorder drops it. How many rules the NIC took
 * is logged where that changes.
 * Fails where the driver does not let a flow go: err says so, none is added, and the next call tries again.
 */
int flow_rules_set(struct flow_rules *f, const struct rules *rules, struct errbuf *err);

/* As port_get_prefilter(). */
void flow_rules_get(struct flow_rules *f, struct port_prefilter *ret);

/* Since flow_rules_new(), whatever the rules were. */
uint64_t flow_rules_dropped_pkts(struct flow_rules *f);
