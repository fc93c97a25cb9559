/*
 * Fuzzes what foreign hands write: the first byte says which of a settings file, a recurrence
 * rule or a request of the control socket the rest is. Nothing of it may crash, hang or leak.
 */
/* rooms: control */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <jansson.h>

#include "control/schedule.h"
#include "control/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 forgets the text of a string that a fault of syntax cuts off. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}

static void fuzz_file(const char *text, size_t size)
{
	struct faults faults = {0};
	struct settings *s;
	char path[64];
	int fd = memfd_create("wirespool.conf", MFD_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, size) == (ssize_t)size) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		/* Either settings or at least one fault. */
		if ((settings_load(path, &s, &faults) == 0) != (s != NULL && faults.count == 0) ||
			(s == NULL && faults.count == 0))
			abort();
		settings_free(s);
		faults_free(&faults);
	}
	(void)close(fd);
}

static void fuzz_rule(const char *text)
{
	struct window_rule rule = {.rrule = text,
		.start = "2026-01-01T02:30:00",
		.length = "1h",
		.timezone = "Europe/Berlin"};
	uint64_t after_ns = 1795219200ULL * 1000000000;
	struct occurrence o;
	struct errbuf err;
	struct window *w;

	if (window_new(&rule, &w, &err) < 0)
		return;
	for (int i = 0; i < 20 && window_next(w, after_ns, &o) == 0; i++) {
		if (o.start_ns < after_ns)
			abort();
		after_ns = o.start_ns + 1;
	}
	window_free(w);
}

static void fuzz_request(const char *text, size_t size)
{
	static const char *const also_known[] = {"cmd", NULL};
	json_t *request = json_loadb(text, size, 0, NULL);
	struct recording_settings r;
	struct errbuf err;

	if (request != NULL && recording_from_json(request, also_known, &r, &err) == 0)
		recording_done(&r);
	json_decref(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size == 0)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (text == NULL)
		return 0;
	if (data[0] == 'r')
		fuzz_rule(text);
	else if (data[0] == 'j')
		fuzz_request(text, strlen(text));
	else
		fuzz_file(text, strlen(text));
	free(text);
	return 0;
}
