/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.h: the secrets of a plane: transmit keys by crypto id, the two master keys, and the receive keys that a
 * worker has derived from them.
 */
#ifndef PSP_SOFT_KEYS_H
#define PSP_SOFT_KEYS_H

#include "../common/keys.h"
#include "rcu.h"
#include "steps.h"

/* What a crypto id points to. */
struct soft_tx_slot {
	const struct psp_crypto_backend *backend;
	struct soft_tx_key key;
};

/* The master keys as the workers see them: replaced whole by a rotation. */
struct soft_master {
	struct soft_rcu_head rcu;
	uint8_t key[2][32];
	uint32_t generation[2]; /* 1 and up: tells derived keys that are stale */
};

/* All but tx and master is the writer's. */
struct soft_keys {
	_Atomic(struct soft_tx_slot *) *tx;   /* RCU; max_crypto_ids + 1 */
	_Atomic(struct soft_master *) master; /* RCU */
	uint32_t
		spi_start; /* under the active master key; random, so that SPIs tell nothing of a restart */
};

struct psp_dp;
int32_t soft_keys_init(struct psp_dp *dp);
/* Tells what it has sealed (NULL: nobody asks), wipes and frees. No worker has it any more. */
void soft_slot_end(struct soft_tx_slot *slot, struct psp_dp_stats *last);
/* No worker may be left. */
void soft_keys_free(struct psp_dp *dp);

/*
 * A worker's cache of derived receive keys, with room for twice as many as 100,000 tunnels have. It begins small and doubles
 * when a set is full, up to that. Only keys that have opened a packet are put in, so forged SPIs cannot push out real ones.
 */
#define SOFT_RX_SETS_MIN 64u
#define SOFT_RX_SETS_MAX 32768u
#define SOFT_RX_WAYS 8u

/*
 * Where the packets of a key went last: addresses to ask memory for, and nothing more, for what was there may be gone. The
 * window's is the slot of the last IV, which is the next one's, or near it. Of an address 48 bits are kept: all that a
 * process has, and four of them stand beside the key.
 */
enum soft_rx_place { SOFT_RX_BUCKET, SOFT_RX_ENTRY, SOFT_RX_RULE, SOFT_RX_WINDOW, SOFT_RX_PLACES };

struct soft_rx_hint {
	uint32_t low[SOFT_RX_PLACES];
	uint16_t high[SOFT_RX_PLACES];
};

static inline void soft_rx_hint_put(struct soft_rx_hint *hint, enum soft_rx_place of,
				    const void *at)
{
	hint->low[of] = (uint32_t)(uintptr_t)at;
	hint->high[of] = (uint16_t)((uint64_t)(uintptr_t)at >> 32);
}

static inline const void *soft_rx_hint_get(const struct soft_rx_hint *hint, enum soft_rx_place of)
{
	return (const void *)(uintptr_t)((uint64_t)hint->high[of] << 32 | hint->low[of]);
}

struct soft_rx_key {
	struct psp_aead_key *aead;
	struct soft_rx_hint hint;
};

/* By what the search reads: one line says whether a key is there, another one where. */
struct soft_rx_set {
	_Alignas(64) uint32_t spi[SOFT_RX_WAYS];
	uint32_t made
		[SOFT_RX_WAYS]; /* generation, version, and whether it was used lately; 0: nothing is here */
	struct soft_rx_key key[SOFT_RX_WAYS];
};

struct soft_rx_keys {
	const struct psp_crypto_backend *backend;
	struct soft_rx_set *sets;
	uint32_t n_sets; /* a power of two */
	uint32_t hand;   /* the way that goes next of a full set */
	uint64_t seed;
	struct soft_rx_hint *last;
	uint32_t generation[2]; /* whose keys may be in here */
};

int32_t soft_rx_keys_init(struct soft_rx_keys *keys, const struct psp_crypto_backend *backend);
void soft_rx_keys_free(struct soft_rx_keys *keys);
/* Wipes what a rotation has made stale; returns how many. */
uint32_t soft_rx_keys_follow(struct soft_rx_keys *keys, const struct soft_master *master);
/* NULL: not there. */
const struct psp_aead_key *soft_rx_keys_find(struct soft_rx_keys *keys, uint32_t spi,
					     uint32_t version, uint32_t generation);
/* The hint of the key that was found or put last; NULL: there was none. */
static inline struct soft_rx_hint *soft_rx_keys_hint(const struct soft_rx_keys *keys)
{
	return keys->last;
}
/* Asks memory for where an SPI's key is named; and, once that is there, the key and its hint, most likely. NULL: not there. */
void soft_rx_keys_fetch(const struct soft_rx_keys *keys, uint32_t spi);
const struct soft_rx_key *soft_rx_keys_guess(const struct soft_rx_keys *keys, uint32_t spi);
/* Takes the key over; in a full set of the largest cache one that was not used lately goes. */
void soft_rx_keys_put(struct soft_rx_keys *keys, uint32_t spi, uint32_t version,
		      uint32_t generation, struct psp_aead_key *aead);

#endif
