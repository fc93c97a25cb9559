#pragma once
/*
 * Finds the program wirespoold that belongs to this wirespool: beside it, in the build tree's
 * control/, in the sbin/ next to its bin/, else on PATH.
 */

/* Stores its path in ret[size]. EXIT_GOOD, or EXIT_FAILED having said where it was looked for. */
int find_daemon(char *ret, unsigned long size);
