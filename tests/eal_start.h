#pragma once
/*
 * Starts EAL for a test or a fuzzer: mib MiB of memory without huge pages, no NICs, no files that others meet, and this
 * thread as its only lcore.
 */

#include <stdbool.h>
#include <stdio.h>

#include <rte_common.h>
#include <rte_eal.h>

static inline bool eal_start(unsigned int mib)
{
	char words[9][16] = {"test", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry",
		"--lcores", "0@(0-1)", "-m"};
	char *argv[RTE_DIM(words) + 1] = {0};

	(void)snprintf(words[8], sizeof(words[8]), "%u", mib);
	for (unsigned int i = 0; i < RTE_DIM(words); i++)
		argv[i] = words[i];
	return rte_eal_init(RTE_DIM(words), argv) >= 0;
}
