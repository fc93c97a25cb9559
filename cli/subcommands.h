#pragma once
/*
 * Subcommands: one function each, each in cli/cmd_NAME.c. argv[0] is the
 * subcommand's name, optind is 0 at entry; returns an enum exit_code.
 */

int cmd_record(int argc, char *argv[]);
int cmd_status(int argc, char *argv[]);
int cmd_trigger(int argc, char *argv[]);
int cmd_set(int argc, char *argv[]);
int cmd_stop(int argc, char *argv[]);
int cmd_schedule(int argc, char *argv[]);
int cmd_check(int argc, char *argv[]);
int cmd_reload(int argc, char *argv[]);
int cmd_list(int argc, char *argv[]);
int cmd_verify(int argc, char *argv[]);
int cmd_recover(int argc, char *argv[]);
int cmd_filter(int argc, char *argv[]);
int cmd_bench(int argc, char *argv[]);
