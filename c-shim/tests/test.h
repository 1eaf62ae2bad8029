/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test.h: a test program is functions of CHECKs, and a main() of RUNs that ends in
 * `return test_summary();`. A failed CHECK leaves its function, and the others still run.
 */
#ifndef PSP_TEST_H
#define PSP_TEST_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static unsigned test_passed, test_failed;
static bool test_ok;
static const char *test_name;
static const char *test_variant = ""; /* printed after the name; main() may set it between RUNs */
static char test_context[160];        /* what a loop is at; printed with a failure */

/* For tables: says which row the following CHECKs are about. */
#define CONTEXT(...) ((void)snprintf(test_context, sizeof(test_context), __VA_ARGS__))

#define TEST_FAIL(...)                                                                             \
	do {                                                                                       \
		printf("not ok %s%s: %s:%d ", test_name, test_variant, __FILE__, __LINE__);        \
		printf(__VA_ARGS__);                                                               \
		printf("%s%s\n", test_context[0] != 0 ? " | " : "", test_context);                 \
		test_ok = false;                                                                   \
		return;                                                                            \
	} while (0)

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			TEST_FAIL("%s", #condition);                                               \
	} while (0)

/* Integers of any type. */
#define CHECK_EQ(got, want)                                                                        \
	do {                                                                                       \
		const int64_t got_ = (int64_t)(got), want_ = (int64_t)(want);                      \
		if (got_ != want_)                                                                 \
			TEST_FAIL("%s is %" PRId64 ", not %" PRId64, #got, got_, want_);           \
	} while (0)

#define CHECK_MEM(got, want, len)                                                                  \
	do {                                                                                       \
		const size_t at_ = test_differs(got, want, len);                                   \
		if (at_ != (len))                                                                  \
			TEST_FAIL("%s differs from %s at octet %zu of %zu: %02x, not %02x", #got,  \
				  #want, at_, (size_t)(len), ((const uint8_t *)(got))[at_],        \
				  ((const uint8_t *)(want))[at_]);                                 \
	} while (0)

/* In a helper that CHECKs: leaves the caller as well. */
#define SUB(call)                                                                                  \
	do {                                                                                       \
		call;                                                                              \
		if (!test_ok)                                                                      \
			return;                                                                    \
	} while (0)

#define RUN(test)                                                                                  \
	do {                                                                                       \
		test_ok = true;                                                                    \
		test_name = #test;                                                                 \
		test_context[0] = 0;                                                               \
		test();                                                                            \
		if (test_ok)                                                                       \
			printf("ok %s%s\n", test_name, test_variant);                              \
		(void)(test_ok ? test_passed++ : test_failed++);                                   \
		(void)fflush(stdout);                                                              \
	} while (0)

static inline size_t test_differs(const void *a, const void *b, size_t len)
{
	size_t at = 0;

	while (at < len && ((const uint8_t *)a)[at] == ((const uint8_t *)b)[at])
		at++;
	return at;
}

static inline int test_summary(void)
{
	printf("%u passed, %u failed\n", test_passed, test_failed);
	return test_failed == 0 && test_passed != 0 ? 0 : 1;
}

#endif
