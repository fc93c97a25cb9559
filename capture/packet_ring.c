#include "wirespool/packet.h"

#include <rte_malloc.h>
#include <rte_ring_elem.h>

struct packet_ring *packet_ring_new(uint32_t slots, int socket_id)
{
	ssize_t ring_bytes = rte_ring_get_memsize_elem(sizeof(struct packet), slots);
	struct packet_ring *r;

	if (ring_bytes < 0)
		return NULL;
	r = rte_zmalloc_socket("packet_ring", sizeof(*r), RTE_CACHE_LINE_SIZE, socket_id);
	if (r == NULL)
		return NULL;
	r->slots = rte_zmalloc_socket(
		"packet_slots", (size_t)ring_bytes, RTE_CACHE_LINE_SIZE, socket_id);
	if (r->slots == NULL ||
		rte_ring_init(r->slots, "packets", slots, RING_F_SP_ENQ | RING_F_SC_DEQ) < 0) {
		rte_free(r->slots);
		rte_free(r);
		return NULL;
	}
	return r;
}

void packet_ring_free(struct packet_ring *r)
{
	struct packet p;

	if (r == NULL)
		return;
	while (rte_ring_dequeue_elem(r->slots, &p, sizeof(p)) == 0)
		rte_pktmbuf_free(p.mbuf);
	rte_free(r->slots);
	rte_free(r);
}
