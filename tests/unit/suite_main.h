#pragma once
/* What the main() of a test ends with: runs its suite, or says why it cannot, and gives the exit code. */

#include <stdio.h>
#include <stdlib.h>

#include <check.h>

static inline int suite_run_as(Suite *suite, enum fork_status status)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_set_fork_status(runner, status);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Each test in a process of its own. */
static inline int suite_run(Suite *suite)
{
	return suite_run_as(suite, CK_FORK_GETENV);
}

/* All tests in this process: EAL's threads do not survive a fork. */
static inline int suite_run_unforked(Suite *suite)
{
	return suite_run_as(suite, CK_NOFORK);
}

static inline int suite_skip(const char *needs)
{
	(void)fprintf(stderr, "skipped: needs %s\n", needs);
	return 77;
}
