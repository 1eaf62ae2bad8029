/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 512u
#define HUGEPAGES_MAX 1048576 /* MiB */
#define MBUFS_MIN 512
#define MBUFS_MAX (1 << 20)
#define MBUFS_DEFAULT 8192u

struct text_option {
	const char *key;
	size_t offset, cap;
};

#define TEXT(field)                                                                                \
	{                                                                                          \
#field, offsetof(struct dpu_options, field),                                       \
			sizeof(((struct dpu_options *)NULL)->field)                                \
	}

static const struct text_option texts[] = {
	TEXT(cores),
	TEXT(representor),
	TEXT(devargs),
	TEXT(mode),
};

static const char *number(const char *value, long low, long high, long *out)
{
	char *end;

	*out = strtol(value, &end, 10);
	return *value == 0 || *end != 0 || *out < low || *out > high ? "is not a number in range"
								     : NULL;
}

static const char *set(struct dpu_options *out, const char *key, const char *value)
{
	const char *wrong;
	long n;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char *field = (char *)out + texts[i].offset;

		if (strcmp(key, texts[i].key) != 0)
			continue;
		if (*value == 0 || strlen(value) >= texts[i].cap)
			return "is empty or too long";
		memcpy(field, value, strlen(value) + 1);
		return NULL;
	}
	if (strcmp(key, "hugepages_mb") == 0) {
		wrong = number(value, 0, HUGEPAGES_MAX, &n);
		out->hugepages_mb = (int32_t)n;
		return wrong;
	}
	if (strcmp(key, "mbufs") == 0) {
		wrong = number(value, MBUFS_MIN, MBUFS_MAX, &n);
		out->mbufs = (uint32_t)n;
		return wrong;
	}
	return "is not an option of the DOCA plane";
}

/* Commas within a value ("cores=0-1,3") are put back as ','; those between options end a string. */
static void cut(char *text)
{
	char *comma = strchr(text, ',');

	while (comma != NULL) {
		char *next = strchr(comma + 1, ',');
		char *equals = strchr(comma + 1, '=');

		if (equals != NULL && (next == NULL || equals < next))
			*comma = 0;
		comma = next;
	}
}

static void semicolons_to_commas(char *text)
{
	for (; *text != 0; text++) {
		if (*text == ';')
			*text = ',';
	}
}

const char *dpu_options_parse(const char *text, struct dpu_options *out, char *why, uint32_t cap)
{
	char copy[TEXT_MAX];
	size_t len = strlen(text);

	memset(out, 0, sizeof(*out));
	out->cores[0] = '0';
	out->hugepages_mb = -1;
	out->mbufs = MBUFS_DEFAULT;
	if (len == 0)
		return NULL;
	if (len >= sizeof(copy)) {
		(void)snprintf(why, cap, "the options are longer than %u octets", TEXT_MAX - 1);
		return why;
	}
	memcpy(copy, text, len + 1);
	cut(copy);
	for (char *at = copy; at < copy + len;) {
		size_t item = strlen(at);
		char *equals = strchr(at, '=');
		const char *wrong = "has no value";

		if (equals != NULL) {
			*equals = 0;
			wrong = set(out, at, equals + 1);
		}
		if (wrong != NULL) {
			(void)snprintf(why, cap, "option \"%.32s\" %s", at, wrong);
			return why;
		}
		at += item + 1;
	}
	semicolons_to_commas(out->devargs);
	semicolons_to_commas(out->mode);
	return NULL;
}
