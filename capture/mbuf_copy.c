#include "source.h"

#include <string.h>

#include <rte_branch_prediction.h>

/* Fills a fresh mbuf with as much of the packet as its room takes; returns how much. */
static uint32_t fill(struct rte_mbuf *m, const void *data, uint32_t len)
{
	uint16_t room = rte_pktmbuf_tailroom(m);
	uint16_t here = len < room ? (uint16_t)len : room;

	memcpy(rte_pktmbuf_mtod(m, void *), data, here);
	m->data_len = here;
	return here;
}

struct rte_mbuf *mbuf_from_bytes(struct rte_mempool *pool, const void *data, uint32_t len)
{
	const uint8_t *at = data;
	struct rte_mbuf *first = rte_pktmbuf_alloc(pool);
	struct rte_mbuf *last = first;
	uint32_t done;

	if (unlikely(first == NULL))
		return NULL;
	/* A capture file's packet of 0 bytes may come with no bytes to point at. */
	done = len == 0 ? 0 : fill(first, at, len);
	while (unlikely(done < len)) {
		struct rte_mbuf *next = rte_pktmbuf_alloc(pool);

		if (next == NULL) {
			rte_pktmbuf_free(first);
			return NULL;
		}
		last->next = next;
		last = next;
		first->nb_segs++;
		done += fill(next, at + done, len - done);
	}
	first->pkt_len = len;
	return first;
}
