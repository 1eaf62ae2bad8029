/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counters.h: what became of every packet. Packets are counted one by one, also within a super-frame.
 *
 * What comes in goes out or is dropped under exactly one name:
 *
 *   host-rx-packets + uplink-rx-packets + fragments + too-big-told
 *     = tx-packets + host-tx-packets                                     went out
 *     + exceptions + uplink-kernel                                       handed over
 *     + (held-packets - held-released)                                   in the hold, or dropped from it
 *     + every counter marked (drop) in the list below
 *
 *   held-packets - held-released = the packets held now + every counter marked (hold) below
 *
 * A packet that is released and misses again is held again: it adds one to both sides of the difference.
 * rx-packets (opened, authentic) and the counters without a mark stand beside the identity.
 */
#ifndef PSP_COMMON_COUNTERS_H
#define PSP_COMMON_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../psp_dp.h"

/* clang-format off */
#define DP_COUNTERS(X) \
	/* the Linux kernel's names */ \
	X(KEY_ROTATIONS, "key-rotations") \
	X(STALE_EVENTS, "stale-events")          /* SPIs in use whose master key was rotated away */ \
	X(RX_PACKETS, "rx-packets")              /* opened and authentic */ \
	X(RX_BYTES, "rx-bytes")                  /* theirs: after the IV, without ICV */ \
	X(RX_AUTH_FAIL, "rx-auth-fail")          /* (drop) */ \
	X(RX_ERROR, "rx-error")                  /* (drop) lengths, framing, UDP checksum */ \
	X(RX_BAD, "rx-bad")                      /* (drop) version or SPI that is never valid */ \
	X(TX_PACKETS, "tx-packets") \
	X(TX_BYTES, "tx-bytes") \
	X(TX_ERROR, "tx-error")                  /* (drop) not sealed, or refused by the device */ \
	/* ours */ \
	X(TX_KEY_EXPIRED, "tx-key-expired")      /* (drop) no key in the slot, or no IV left */ \
	X(RX_NO_SA, "rx-no-sa")                  /* (drop) authentic, but no entry lets it in */ \
	X(RX_POLICY, "rx-policy")                /* (drop) authentic, not to be forwarded */ \
	X(RX_CRYPT_OFFSET, "rx-crypt-offset")    /* (drop) authentic, another crypt offset than was asked for */ \
	X(RX_REPLAY, "rx-replay")                /* (drop) authentic, but its IV has come, or is too far behind */ \
	X(RX_BAD_INNER, "rx-bad-inner")          /* (drop) authentic, its inner packet is not sound, or of a link */ \
	X(HELD_PACKETS, "held-packets")          /* misses that came to the hold */ \
	X(HELD_RELEASED, "held-released")        /* left it to run on */ \
	X(DROP_NO_PEER, "drop-no-peer")                   /* (hold) */ \
	X(DROP_PEER_UNREACHABLE, "drop-peer-unreachable") /* (hold) */ \
	X(DROP_REFUSED, "drop-refused")                   /* (hold) */ \
	X(DROP_NO_RESOURCE, "drop-no-resource")           /* (hold) */ \
	X(DROP_SHUTDOWN, "drop-shutdown")                 /* (hold) */ \
	X(DROP_BACK_OFF, "drop-back-off")                 /* (hold) */ \
	X(DROP_HOLD_FLOW_FULL, "drop-hold-flow-full")     /* (hold) */ \
	X(DROP_HOLD_BYTES, "drop-hold-bytes")             /* (hold) */ \
	X(DROP_HOLD_FLOWS, "drop-hold-flows")             /* (hold) */ \
	X(MISSES_LIMITED, "misses-limited")               /* (hold) one flow more than its port, or its source MAC, may have */ \
	X(DROP_PIPE, "drop-pipe")                /* (drop) a pipe said so */ \
	X(DROP_LOOP, "drop-loop")                /* (drop) too many pipes in a row */ \
	X(HOST_RX_PACKETS, "host-rx-packets") \
	X(HOST_TX_PACKETS, "host-tx-packets") \
	X(LOCAL_PACKETS, "local-packets")        /* of host-tx-packets: from a host port to a host port, never sealed */ \
	X(HOST_TX_BUSY, "host-tx-busy")          /* (drop) */ \
	X(HOST_TX_ERROR, "host-tx-error")        /* (drop) */ \
	X(HOST_REFUSED, "host-refused")          /* (drop) bound for the host port, but never opened */ \
	X(HOST_UNMATCHED, "host-unmatched")      /* (drop) no pipe takes it, or it is stray: see run.c */ \
	X(HOST_MALFORMED, "host-malformed")      /* (drop) */ \
	X(UPLINK_RX_PACKETS, "uplink-rx-packets") \
	X(UPLINK_KERNEL, "uplink-kernel")        /* left to the host's kernel */ \
	X(UPLINK_MALFORMED, "uplink-malformed")  /* (drop) */ \
	X(UPLINK_TX_BUSY, "uplink-tx-busy")      /* (drop) */ \
	X(TOO_BIG, "too-big")                    /* (drop) */ \
	X(TOO_BIG_TOLD, "too-big-told")          /* errors made for packets of peers */ \
	X(FRAGMENTS, "fragments")                /* pieces that came of cutting packets, less one for each of those */ \
	X(MSS_CLAMPED, "mss-clamped") \
	X(EXCEPTIONS, "exceptions") \
	X(SAMPLES, "samples") \
	X(SAMPLES_LOST, "samples-lost")          /* of these, those that found their ring full */ \
	X(EXCEPTIONS_LOST, "exceptions-lost")    /* exceptions and too-big packets whose report did */ \
	X(SYNDROMES_LOST, "syndromes-lost")      /* reports of bad packets that did */ \
	X(PORTS_LOST, "ports-lost")              /* changes of a port whose report did */ \
	X(EXCEPTIONS_LIMITED, "exceptions-limited") /* (drop) more than its port, or its source MAC, may have */ \
	X(HOST_RX_FULL, "host-rx-full")          /* frames that found their port's queue full: never among host-rx-packets */ \
	X(UPLINK_RX_FULL, "uplink-rx-full")      /* nor among uplink-rx-packets */ \
	X(PORT_ERRORS, "port-errors")            /* receiving failed: the interface is down or gone */
/* clang-format on */

enum dp_counter {
#define X(symbol, name) DP_##symbol,
	DP_COUNTERS(X)
#undef X
		DP_COUNTER_COUNT
};

/* Blocks: one per worker, written by that worker alone, and one that any thread may add to. */
#define DP_BLOCK_SHARED ((uint32_t)PSP_DP_PORTS_MAX)
#define DP_BLOCKS (DP_BLOCK_SHARED + 1u)
#define DP_BLOCK_LEN ((DP_COUNTER_COUNT + 7u) / 8u * 8u) /* whole cache lines */

struct dp_counters {
	_Alignas(64) _Atomic uint64_t block[DP_BLOCKS][DP_BLOCK_LEN];
};

/* A worker's own block. */
static inline void dp_count_own(struct dp_counters *counters, uint32_t worker,
				enum dp_counter counter, uint64_t n)
{
	_Atomic uint64_t *at = &counters->block[worker][counter];

	atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* Any thread. */
static inline void dp_count(struct dp_counters *counters, enum dp_counter counter, uint64_t n)
{
	atomic_fetch_add_explicit(&counters->block[DP_BLOCK_SHARED][counter], n,
				  memory_order_relaxed);
}

uint64_t dp_counter_sum(const struct dp_counters *counters, enum dp_counter counter);

#endif
