#pragma once
/*
 * Zone: an IANA time zone, and wall-clock time of it turned to instants and back.
 *
 * A local time is written as seconds since 1970-01-01T00:00:00 on that wall clock ("wall
 * seconds"), an instant as seconds since the epoch. libical reads the system's tz database.
 *
 * Threads  control's only: libical keeps its zones in one global list.
 * Limit    libical 3.0 follows the database exactly to the end of 2037; past that
 *          it repeats the last rule, wrongly in a few zones (wirespool.conf(5), CAVEATS).
 */

#include <stdbool.h>
#include <stdint.h>

#include "wirespool/errbuf.h"

struct zone;

/*
 * The zone called name; NULL: the machine's own (TZ, /etc/localtime, /etc/timezone; UTC without all of
 * them). -ENOENT and a sentence: there is no such zone, or no tz database.
 */
int zone_new(const char *name, struct zone **ret_zone, struct errbuf *err);
void zone_free(struct zone *z);

const char *zone_name(const struct zone *z);

/* Seconds east of UTC at an instant. */
int64_t zone_offset(const struct zone *z, int64_t instant);

/*
 * The instant at which the wall clock shows wall: the first of two; the first one after a gap that
 * wall lies in.
 */
int64_t zone_instant(const struct zone *z, int64_t wall);
