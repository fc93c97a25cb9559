#include "wirespool/packet.h"

#include <rte_malloc.h>

struct packet_ring *packet_ring_new(uint32_t slots, int socket_id)
{
	struct packet_ring *r;

	r = rte_zmalloc_socket("packet_ring", sizeof(*r), RTE_CACHE_LINE_SIZE, socket_id);
	if (r == NULL)
		return NULL;
	r->slot_count = slots;
	r->slots = rte_zmalloc_socket("packet_slots", (size_t)slots * sizeof(struct packet),
		RTE_CACHE_LINE_SIZE, socket_id);
	if (r->slots == NULL) {
		rte_free(r);
		return NULL;
	}
	return r;
}

void packet_ring_free(struct packet_ring *r)
{
	uint64_t first, left;

	if (r == NULL)
		return;
	left = packet_ring_filled(r, &first);
	for (uint64_t i = 0; i < left;) {
		const struct packet *p = packet_ring_slot(r, first + i);

		rte_pktmbuf_free(p->mbuf);
		i += packet_slots(p);
	}
	rte_free(r->slots);
	rte_free(r);
}
