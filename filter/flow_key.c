#include "flow_key.h"

#include <netinet/in.h>

/* 253 to 255 and the unassigned take the places of those that have ports. */
#define CLASS(p)                                                                                   \
	((p) == IPPROTO_TCP              ? CLASS_PORTS                                             \
		: (p) == IPPROTO_UDP     ? CLASS_PORTS | 1                                         \
		: (p) == IPPROTO_DCCP    ? CLASS_PORTS | 2                                         \
		: (p) == IPPROTO_SCTP    ? CLASS_PORTS | 3                                         \
		: (p) == IPPROTO_UDPLITE ? CLASS_PORTS | 4                                         \
		: (p) < UNASSIGNED_FIRST ? (p)                                                     \
		: (p) <= UNASSIGNED_LAST ? CLASS_UNASSIGNED                                        \
		: (p) == 253             ? IPPROTO_UDP                                             \
		: (p) == 254             ? IPPROTO_DCCP                                            \
					 : IPPROTO_SCTP)
#define CLASSES_4(p)  CLASS(p), CLASS((p) + 1), CLASS((p) + 2), CLASS((p) + 3)
#define CLASSES_16(p) CLASSES_4(p), CLASSES_4((p) + 4), CLASSES_4((p) + 8), CLASSES_4((p) + 12)
#define CLASSES_64(p)                                                                              \
	CLASSES_16(p), CLASSES_16((p) + 16), CLASSES_16((p) + 32), CLASSES_16((p) + 48)

const uint8_t flow_classes[256] = {CLASSES_64(0), CLASSES_64(64), CLASSES_64(128), CLASSES_64(192)};
