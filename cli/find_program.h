#pragma once
/*
 * Finds a program that belongs to this wirespool, wirespoold or wirespool-filter: beside it, in the build
 * tree's control/ or filter/, in the sbin/ or libexec/wirespool/ next to its bin/, else on PATH.
 */

/* Stores its path in ret[size]. EXIT_GOOD, or EXIT_FAILED having said where it was looked for. */
int find_program(const char *name, char *ret, unsigned long size);
