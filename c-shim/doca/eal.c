/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* pthread_getaffinity_np, secure_getenv */
/*
 * eal.c: DPDK's environment. It exists once in a process and cannot be made a second time, and DOCA Flow serves one
 * caller; so this file has the plane's only global state: whether EAL is there, and whether a plane has it.
 */
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compat.h"
#include "dpu.h"
#include "eal.h"
#include "preflight.h"

#define ARGS_MAX 40u
#define NO_HUGE_MB 512 /* ordinary memory in MiB, when there are to be no hugepages */

static _Atomic bool taken;
static bool made; /* by whoever has taken it */

struct args {
	char *argv[ARGS_MAX];
	int argc;
	char text[16][160];
	uint32_t used;
	char extra[512];
	bool overflow; /* some word had no room: EAL is not to start with half of what was meant */
};

static void push_word(struct args *args, char *word)
{
	if (args->argc < (int)ARGS_MAX - 1)
		args->argv[args->argc++] = word;
	else
		args->overflow = true;
}

static void push(struct args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void push(struct args *args, const char *format, ...)
{
	va_list list;
	char *text;
	int len;

	if (args->used >= sizeof(args->text) / sizeof(args->text[0])) {
		args->overflow = true;
		return;
	}
	text = args->text[args->used++];
	va_start(list, format);
	len = vsnprintf(text, sizeof(args->text[0]), format, list);
	va_end(list);
	if (len < 0 || (size_t)len >= sizeof(args->text[0]))
		args->overflow = true;
	push_word(args, text);
}

/* PSP_DOCA_EAL: more words for EAL, for tests and for the unforeseen. */
static void push_extra(struct args *args)
{
	const char *extra = secure_getenv("PSP_DOCA_EAL");
	char *save = NULL;

	if (extra == NULL)
		return;
	if (strlen(extra) >= sizeof(args->extra)) {
		args->overflow = true;
		return;
	}
	memcpy(args->extra, extra, strlen(extra) + 1);
	for (char *word = strtok_r(args->extra, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save))
		push_word(args, word);
}

static bool no_huge(void)
{
	const char *extra = secure_getenv("PSP_DOCA_EAL");

	return extra != NULL && strstr(extra, "--no-huge") != NULL;
}

static void fill(struct args *args, const struct dpu_options *options)
{
	const char *const *none = compat_eal_no_devices();

	memset(args, 0, sizeof(*args));
	push(args, "psp-agent");
	/* Devices that are not there: EAL probes nothing, and DOCA then probes exactly one. */
	for (; *none != NULL; none++) {
		push(args, "-a");
		push(args, "%s", *none);
	}
	push(args, "-l");
	push(args, "%s", options->cores);
	/*
	 * No files in hugetlbfs or /var/run that a crash would leave; there are no secondary processes. DPDK does not
	 * take both words.
	 */
	push(args, "%s", options->hugepages_mb == 0 || no_huge() ? "--no-shconf" : "--in-memory");
	/* Nor a socket that answers questions about this process. */
	push(args, "--no-telemetry");
	push(args, "--log-level=warning");
	if (options->hugepages_mb == 0)
		push(args, "--no-huge");
	if (options->hugepages_mb >= 0) {
		push(args, "-m");
		push(args, "%d", options->hugepages_mb == 0 ? NO_HUGE_MB : options->hugepages_mb);
	}
	push_extra(args);
}

/* EAL binds its caller to a core and its threads to our signals: neither is for a guest in a process. */
static int init(struct args *args)
{
	sigset_t all, before;
	cpu_set_t cpus;
	int bound, n;

	bound = pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	n = rte_eal_init(args->argc, args->argv);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (bound == 0)
		(void)pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	return n;
}

int32_t dpu_eal_take(struct psp_dp *dp)
{
	struct args args;
	bool expected = false;

	if (!atomic_compare_exchange_strong(&taken, &expected, true))
		return dp_fail(dp, PSP_DP_EBUSY,
			       "this process has a DOCA plane already, and DOCA Flow serves one");
	if (made)
		return 0;
	fill(&args, &dp->options);
	if (args.overflow) {
		atomic_store(&taken, false);
		return dp_fail(dp, PSP_DP_EINVAL,
			       "DPDK is not started: its arguments are too long, or more than %u "
			       "(PSP_DOCA_EAL among them, of at most %zu octets)",
			       ARGS_MAX - 1, sizeof(args.extra) - 1);
	}
	if (init(&args) < 0) {
		int error = rte_errno;

		atomic_store(&taken, false);
		return dpu_preflight_blame(
			dp,
			dp_fail(dp, error == EACCES || error == EPERM ? PSP_DP_EPERM : PSP_DP_EIO,
				"DPDK does not start: rte_eal_init answers: %s (hugepages free? "
				"cores "
				"\"%s\" there?)",
				rte_strerror(error), dp->options.cores));
	}
	made = true;
	return 0;
}

void dpu_eal_give(void)
{
	atomic_store(&taken, false);
}
