/* SPDX-License-Identifier: Apache-2.0 */
/* payload.h: what the launcher carries; tools/binary/payload.sh writes the tables. */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SHA256_LEN 32u

/* One file, compressed with zstd. */
struct payload_file {
	const char *name;
	mode_t mode;
	uint64_t size;              /* octets when decompressed */
	uint8_t sha256[SHA256_LEN]; /* of the decompressed octets */
	const uint8_t *start;
	const uint8_t *end;
};

extern const struct payload_file payload_files[];
extern const size_t payload_file_count;

/* Hexadecimal; another one whenever any file differs. */
extern const char payload_id[];

/* Of these files: the runtime, and the program that it runs. */
extern const char payload_runtime[];
extern const char payload_program[];

/* What the runtime is started with before the program's name; ends with NULL. */
extern const char *const payload_flags[];

#endif
