#pragma once
/*
 * Summary: the account of every packet as text for people, from the JSON of the daemon.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

/* Packets lost by a run (status or summary): the sum of its lost_*. */
uint64_t summary_run_lost(const json_t *run);

/* Packets that a port's device threw away because this machine was late. Damaged frames are not ours. */
uint64_t summary_port_lost(const json_t *port);

/* Whether any port or run of the end summary lost packets: exit code 3. */
bool summary_lost(const json_t *summary);

/* Prints a run's ledger to stdout; duration_s 0: not known, no rates. */
void summary_print_run(const json_t *run, double duration_s);

/* Prints a line about each port's prefilter that had packets (status or summary) to stdout. */
void summary_print_prefilters(const json_t *ports);

/* Prints the end summary of `record` to stdout, and how to open the files. */
void summary_print(const json_t *summary);
