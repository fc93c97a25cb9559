#pragma once
/*
 * Log: lines for the operator on stderr, "<level> text"; under systemd with the
 * journal's priority prefix instead of the level's name. Any thread may call.
 * Never called per packet.
 */

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines above this level are left out. Default LOG_INFO. Any thread, any time. */
void log_set_level(enum log_level level);

/* Prefix lines with <3>..<7> as sd-daemon(3) says, instead of "warning: " and so on. */
void log_use_journal(void);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
