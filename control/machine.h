#pragma once
/*
 * Machine: what a daemon holds of the machine it runs on: DPDK, ports and writers, and which
 * CPU each of their threads has.
 *
 * Threads  control's only.
 * CPUs     what the settings say; where they say nothing, rx lcores get a CPU each as long as
 *          there are any, the first allowed CPU being the first writer's. Control keeps off the
 *          CPUs of rx lcores where there are others.
 */

#include "settings.h"
#include "wirespool/capture.h"
#include "wirespool/errbuf.h"
#include "wirespool/writer.h"

#include <sched.h>

struct machine {
	struct port **ports;
	unsigned int port_count;
	struct writer **writers; /* one at least */
	unsigned int writer_count;
};

/* Where threads go, worked out without touching anything. */
struct placement {
	int writer_cpus[SETTINGS_LIST_MAX];
	unsigned int writer_count;
	struct {
		int cpus[PORT_LCORES_MAX];
		unsigned int cpu_count;
	} * ports;         /* as many as the settings have */
	cpu_set_t control; /* empty: anywhere */
};

/* allowed: the CPUs of this process. -ENOMEM. */
int placement_new(const struct settings *s, const cpu_set_t *allowed, struct placement *ret);
void placement_done(struct placement *p);

/*
 * Starts DPDK, opens the ports and writers of s, and puts the calling thread where control
 * belongs. On failure nothing is left open and err says what could not be had.
 */
int machine_open(const struct settings *s, struct machine **ret_machine, struct errbuf *err);

/* Every run must have ended. */
void machine_close(struct machine *m);
