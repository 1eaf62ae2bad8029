/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls.c: how often each function of the API was used, and which use is refused. A device may refuse anything; what
 * gives something back does so all the same, and says no afterwards.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "standin.h"

#define CALLS_MAX 160u
#define LIST_MAX 512u

static struct {
	pthread_mutex_t lock;
	struct {
		const char *name; /* of a function, or literal: it stays */
		uint32_t uses;
	} calls[CALLS_MAX];
	uint32_t n, refused;
	bool told; /* by doca_standin_refuse(): the environment does not count */
	char list[LIST_MAX];
} calls = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint32_t number_of(const char *name)
{
	uint32_t i = 0;

	while (i < calls.n && strcmp(calls.calls[i].name, name) != 0)
		i++;
	return i;
}

/* "name": every use; "name/3": the third. */
static bool names(const char *list, const char *name, uint32_t use)
{
	size_t len = strlen(name);

	while (list != NULL && *list != 0) {
		size_t end = strcspn(list, ",");

		if (strncmp(list, name, len) == 0 &&
		    (end == len || (list[len] == '/' && strtoul(list + len + 1, NULL, 10) == use)))
			return true;
		list += end + (list[end] == ',' ? 1 : 0);
	}
	return false;
}

bool si_refuses(const char *name)
{
	bool refuses;
	uint32_t i;

	pthread_mutex_lock(&calls.lock);
	i = number_of(name);
	if (i == CALLS_MAX)
		si_die("there are more than %u functions", CALLS_MAX);
	if (i == calls.n) {
		calls.calls[i].name = name;
		calls.calls[i].uses = 0;
		calls.n++;
	}
	calls.calls[i].uses++;
	refuses = names(calls.told ? calls.list : getenv("DOCA_STANDIN_REFUSE"), name,
			calls.calls[i].uses);
	calls.refused += refuses;
	pthread_mutex_unlock(&calls.lock);
	return refuses;
}

doca_error_t si_said(const char *name)
{
	return si_refuses(name) ? DOCA_ERROR_NOT_SUPPORTED : DOCA_SUCCESS;
}

void doca_standin_refuse(const char *list)
{
	pthread_mutex_lock(&calls.lock);
	calls.told = list != NULL;
	if (calls.told && strlen(list) >= sizeof(calls.list))
		si_die("a list of refusals is too long");
	(void)snprintf(calls.list, sizeof(calls.list), "%s", calls.told ? list : "");
	calls.n = 0;
	calls.refused = 0;
	pthread_mutex_unlock(&calls.lock);
}

const char *doca_standin_used(uint32_t at, uint32_t *uses)
{
	const char *name = NULL;

	pthread_mutex_lock(&calls.lock);
	if (at < calls.n) {
		name = calls.calls[at].name;
		*uses = calls.calls[at].uses;
	}
	pthread_mutex_unlock(&calls.lock);
	return name;
}

uint32_t doca_standin_refused(void)
{
	uint32_t n;

	pthread_mutex_lock(&calls.lock);
	n = calls.refused;
	pthread_mutex_unlock(&calls.lock);
	return n;
}
