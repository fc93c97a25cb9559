#include "ask_stripes.h"

#include <string.h>

#include "client.h"
#include "options.h"
#include "wirespool/log.h"

int ask_stripes(json_t **ret_directories)
{
	json_t *answer;
	json_t *stripes;
	int r = client_ask_once(json_pack("{s:s}", "cmd", "stripes"), &answer);

	if (r != EXIT_GOOD) {
		log_error("without directories on the command line, the daemon is asked for them");
		return r;
	}
	stripes = json_object_get(answer, "stripes");
	if (!json_is_array(stripes)) {
		log_error("wirespoold's answer has no list of stripes");
		json_decref(answer);
		return EXIT_FAILED;
	}
	/* "null:" keeps no files */
	for (size_t i = json_array_size(stripes); i-- > 0;) {
		const char *path = json_string_value(json_array_get(stripes, i));

		if (path == NULL || strncmp(path, "null:", 5) == 0)
			(void)json_array_remove(stripes, i);
	}
	*ret_directories = json_incref(stripes);
	json_decref(answer);
	return EXIT_GOOD;
}
