/* SPDX-License-Identifier: Apache-2.0 */
/* soft_packet_key.h: a transmit key of the current backend for a test. */
#ifndef PSP_SOFT_PACKET_KEY_H
#define PSP_SOFT_PACKET_KEY_H

#include <stdatomic.h>

#include "psp_backends.h"
#include "soft_packet_frames.h"

static inline bool key_make(struct soft_tx_key *key, uint32_t version)
{
	static const uint8_t octets[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

	memset(key, 0, sizeof(*key));
	key->spi = TEST_SPI;
	key->version = version;
	key->iv_last = UINT64_MAX;
	atomic_init(&key->next_iv, 1);
	return backend->key_new(crypto, version, octets, &key->aead) == PSP_DP_OK;
}

static inline void key_drop(struct soft_tx_key *key)
{
	backend->key_free(key->aead);
	key->aead = NULL;
}

#endif
