/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.h: which packets of a receive SA have come: a window of IVs that moves up with the highest, after RFC 6479.
 *
 * The IVs are cut into blocks, and each block has a slot in a ring. A slot is one word: which turn of the ring it is in,
 * and a bit for each IV of that turn's block. So a packet changes one word, in one step, whichever thread carries it:
 * no lock, no highest IV that all share, and no IV passes twice, because the turn of a slot only grows. A packet is too
 * late when a block a whole turn after its own has been seen, which is more than the window behind.
 *
 * IVs are a run (24 bits) and a counter (40 bits) that stays below 2^35 in a run: 2^34 packets are a key's.
 */
#ifndef PSP_SOFT_REPLAY_H
#define PSP_SOFT_REPLAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOFT_REPLAY_RUN_SHIFT 40u
#define SOFT_REPLAY_COUNTER_BITS 35u
/* With so many, a ring whose slots are a power of two and 32 IVs each in the average has the window and no division. */
#define SOFT_REPLAY_BLOCK 33u
#define SOFT_REPLAY_TURN_BITS (64u - SOFT_REPLAY_BLOCK)

#define SOFT_REPLAY_SLOTS_LOG2_MAX 16u

/*
 * Where windows come from, those of a size together: from pages that cost nothing until a packet comes, so that the many
 * SAs on which none has come take none. One thread makes and frees.
 */
struct soft_replays {
	struct soft_replay_size {
		struct soft_replay_chunk
			*chunks;          /* all, the one with windows that nobody had first */
		_Atomic uint64_t **spare; /* that were given back, and hold nothing */
		size_t n, room;           /* spare ones, and places for them */
	} sizes[SOFT_REPLAY_SLOTS_LOG2_MAX + 1];
};

/* Ends all of them; nothing takes from one any more. */
void soft_replays_free(struct soft_replays *replays);

/* May be copied: all copies are one window. */
struct soft_replay {
	_Atomic uint64_t *slots; /* turn above, bits below; no bit: never used. NULL: no window */
	uint32_t size;           /* as asked for; at least so many are told apart */
	uint32_t slots_log2;     /* slots of the ring */
};

/*
 * size: IVs, from 1 to PSP_DP_REPLAY_WINDOW_MAX. False: out of memory. soft_replay_free() ends it, and all copies; of one
 * that is none it does nothing.
 */
bool soft_replay_make(struct soft_replays *replays, struct soft_replay *replay, uint32_t size);
void soft_replay_free(struct soft_replay *replay);

/* The place of an IV among those that its sender counts. */
static inline uint64_t soft_replay_at(uint64_t iv)
{
	const uint64_t counter = iv & ((UINT64_C(1) << SOFT_REPLAY_RUN_SHIFT) - 1);

	return (iv >> SOFT_REPLAY_RUN_SHIFT << SOFT_REPLAY_COUNTER_BITS) + counter;
}

/* Where soft_replay_take() looks for it. */
static inline _Atomic uint64_t *soft_replay_slot(const struct soft_replay *replay, uint64_t iv)
{
	const uint64_t block = soft_replay_at(iv) / SOFT_REPLAY_BLOCK;

	return &replay->slots[block & ((UINT64_C(1) << replay->slots_log2) - 1)];
}

/* Any thread. True: this IV has not come, and is not too late; from now on it has come. */
static inline bool soft_replay_take(const struct soft_replay *replay, uint64_t iv)
{
	const uint64_t counter = iv & ((UINT64_C(1) << SOFT_REPLAY_RUN_SHIFT) - 1);
	const uint64_t at = soft_replay_at(iv);
	const uint64_t block = at / SOFT_REPLAY_BLOCK;
	const uint64_t bit = UINT64_C(1) << at % SOFT_REPLAY_BLOCK;
	const uint64_t bits = (UINT64_C(1) << SOFT_REPLAY_BLOCK) - 1;
	const uint64_t turns = (UINT64_C(1) << SOFT_REPLAY_TURN_BITS) - 1;
	const uint64_t turn = block >> replay->slots_log2 & turns;
	_Atomic uint64_t *slot = soft_replay_slot(replay, iv);
	uint64_t was = atomic_load_explicit(slot, memory_order_relaxed), is;

	if (counter >> SOFT_REPLAY_COUNTER_BITS != 0)
		return false;
	do {
		const uint64_t ahead = (turn - (was >> SOFT_REPLAY_BLOCK)) & turns;

		if ((was & bits) == 0 || (ahead != 0 && ahead <= turns / 2))
			is = turn << SOFT_REPLAY_BLOCK | bit;
		else if (ahead == 0 && (was & bit) == 0)
			is = was | bit;
		else
			return false;
	} while (!atomic_compare_exchange_weak_explicit(slot, &was, is, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

#endif
