/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.h: the payload as files. */
#ifndef UNPACK_H
#define UNPACK_H

#include "place.h"

/*
 * Makes sure that <place>/<payload_id>/ holds every file of the payload. What is there already is looked
 * at (owner, mode, size, time); what is not there is unpacked, verified by its hash and put in place in
 * one step. Waits for another process that is at it. Returns NULL, and in `dir` that directory: the files are
 * to be used through it, since the way there by name may be another one meanwhile. It stays open in the
 * runtime, and as long as it is, nobody removes the files. Else returns why it could not be done.
 */
const char *unpack(const struct place *place, int *dir);

#endif
