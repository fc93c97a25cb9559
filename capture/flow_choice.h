#pragma once
/*
 * Flow choice: which drop rules of a list a NIC may carry out before the others were looked at. Pure: no device
 * is asked.
 *
 * A NIC's flows have no order among them and drop what they match. So a drop rule is chosen only where no
 * keep or cut rule before it matches any of its packets, by protocol, nets and ports. What it drops then is
 * dropped whatever else is in the NIC, and rules that are not there lose nothing: the recorder has them all.
 */

#include <stdbool.h>
#include <stdint.h>

#include "wirespool/rules.h"

enum {
	FLOW_RULES_MAX = 1024, /* of a list, from its first: those behind stay with the recorder */
	FLOWS_MAX = 1024,
	FLOW_PORT_PIECES_MAX = 8, /* flows that a rule's two port ranges may make, per protocol */
};

/* Ports as NICs know them: those whose bits under the mask are value's. A mask of 0: any, or none. */
struct flow_ports {
	uint16_t value;
	uint16_t mask;
};

/*
 * Packets of one family that a rule drops. With ports, or a protocol of TCP, UDP or SCTP, first fragments and whole
 * packets only: the others do not show their ports, and a keep rule could want them.
 */
struct flow_match {
	uint8_t version;     /* 4 or 6 */
	int protocol;        /* or PROTOCOL_ANY; with ports TCP, UDP or SCTP */
	struct rule_net src; /* version 0: any */
	struct rule_net dst;
	struct flow_ports sport;
	struct flow_ports dport;
};

struct flow_choice {
	unsigned int drop_rules; /* of all the list, those that could do with a NIC */
	unsigned int count;
	struct flow_match list[FLOWS_MAX];
	uint16_t rules[FLOWS_MAX]; /* of each flow, the number of its rule in the list */
};

/*
 * Fills *ret with the flows for rules. shared: others receive from the NIC, too, the kernel above all. Then
 * packets of RULE_PASS rules are not dropped, nor is all of IP.
 */
void flow_choose(const struct rules *rules, bool shared, struct flow_choice *ret);

bool flow_match_is_equal(const struct flow_match *a, const struct flow_match *b);
