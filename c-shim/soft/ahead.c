/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ahead.c: the tables and keys that the packets of a batch will meet, asked for before the first of them is run. A tunnel
 * that has been quiet is in no cache of the processor: entry, rule, slot and key hang on one another, and to wait for each
 * of them, packet by packet, takes many times as long as to seal. So each step is asked for all packets, then the next.
 *
 * Nothing is decided here: what it finds is looked for again when the packet is run, then nearby.
 */
#include "soft.h"

#define LINE 64u
#define RULE_OCTETS 192u /* of a rule that seals by IPv4 */

/* A packet whose way is not that of the one before it. */
struct ahead {
	const struct soft_pipe *pipe; /* BASIC, whose table is to be asked; NULL: none */
	uint64_t hash;                /* there */
	const struct soft_entry *entry;
	const struct soft_rule *rule;
	const _Atomic(struct soft_tx_slot *) *id; /* that the rule seals with */
	const struct soft_tx_slot *slot;
	const struct soft_rx_key *key; /* of a packet from the uplink */
	uint32_t octets;
};

static void fetch(const void *at, uint32_t octets)
{
	for (uint32_t i = 0; i < octets; i += LINE)
		__builtin_prefetch((const char *)at + i);
}

/* What a packet reads and writes of an entry stands first, and last what the search compares. */
static void fetch_parts(const struct soft_entry *entry)
{
	__builtin_prefetch(entry);
	fetch(&entry->hash, 2 * LINE);
}

static const struct soft_rule *rule_of(const struct soft_entry *entry)
{
	return atomic_load_explicit(&entry->rule, memory_order_acquire);
}

/* Along the lists, which are short and always near, to the first hash table. */
static void resolve(struct ahead *to, const struct soft_pipe *pipe,
		    const struct psp_dp_match *fields)
{
	const struct soft_rule *rule;

	for (uint32_t hops = 0; hops < SOFT_TRAIL_HOPS; hops++) {
		if (atomic_load_explicit(&pipe->random, memory_order_relaxed))
			return;
		if (pipe->base.type == PSP_DP_PIPE_BASIC) {
			to->pipe = pipe;
			to->hash = soft_pipe_hash(pipe, fields);
			__builtin_prefetch(soft_table_place(&pipe->table, to->hash));
			return;
		}
		to->entry = soft_pipe_find(pipe, fields);
		rule = to->entry != NULL ? rule_of(to->entry) : NULL;
		if (rule == NULL || rule->fwd.type != PSP_DP_FWD_PIPE ||
		    (rule->flags & SOFT_CHANGES_FIELDS) != 0)
			return;
		pipe = soft_pipe(rule->fwd.pipe);
	}
}

/* The last entry that is known of a trail is the one that seals, if any does. */
static void follow(struct ahead *to, const struct soft_step *step)
{
	for (uint8_t i = 0; i < step->known; i++) {
		if (step->trail->entry[i] != NULL)
			to->entry = step->trail->entry[i];
	}
	if (to->entry != NULL)
		__builtin_prefetch(to->entry);
}

/* True: this packet's way is another than the one before had, and was found, as far as that goes. */
static bool look(struct soft_worker *worker, const struct soft_pipe *root, uint32_t i,
		 struct ahead *to)
{
	const struct dp_packet *packet = &worker->packets[i];
	const struct soft_step *step = &worker->steps[i];

	*to = (struct ahead){.octets = packet->len - packet->l3_off};
	if (packet->port == PSP_DP_PORT_UPLINK) {
		if (packet->fields.tun_psp_spi == 0 ||
		    (i > 0 && packet->fields.tun_psp_spi == packet[-1].fields.tun_psp_spi))
			return false;
		soft_rx_keys_fetch(&worker->rx_keys, packet->fields.tun_psp_spi);
		return true;
	}
	if (i > 0 && step->trail != NULL && step->trail == step[-1].trail)
		return false;
	if (step->known > 0)
		follow(to, step);
	else
		resolve(to, root, &packet->fields);
	return true;
}

static void fetch_entry(struct ahead *to)
{
	if (to->pipe == NULL)
		return;
	to->entry = soft_table_guess(&to->pipe->table, to->hash);
	if (to->entry != NULL)
		fetch_parts(to->entry);
}

static void fetch_rule(struct ahead *to)
{
	to->rule = to->entry != NULL ? rule_of(to->entry) : NULL;
	if (to->rule == NULL)
		return;
	fetch(to->rule, RULE_OCTETS);
}

static void fetch_id(const struct soft_worker *worker, struct ahead *to)
{
	if (to->rule == NULL || (to->rule->flags & PSP_DP_ACTION_ENCRYPT) == 0)
		return;
	to->id = &worker->dp->keys.tx[to->rule->crypto_id];
	__builtin_prefetch(to->id);
}

static void fetch_slot(struct ahead *to)
{
	if (to->id != NULL)
		to->slot = atomic_load_explicit(to->id, memory_order_acquire);
	if (to->slot != NULL)
		fetch(to->slot, sizeof(*to->slot));
}

/* Of the uplink's packets the keys, and where their tunnels' packets went last. */
static void fetch_received(const struct soft_worker *worker, struct ahead *ahead,
			   const uint32_t *which, uint32_t n)
{
	const struct psp_crypto_backend *backend = worker->dp->base.keys.backend;

	for (uint32_t i = 0; i < n; i++)
		ahead[i].key = soft_rx_keys_guess(&worker->rx_keys,
						  worker->packets[which[i]].fields.tun_psp_spi);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t flags = worker->packets[which[i]].fields.tun_psp_s_d_ver_v;
		const struct soft_rx_key *key = ahead[i].key;
		const struct soft_entry *entry;

		if (key == NULL)
			continue;
		backend->key_fetch(key->aead,
				   (uint32_t)(flags >> PSP_VERSION_SHIFT) & PSP_VERSION_MASK,
				   ahead[i].octets);
		__builtin_prefetch(soft_rx_hint_get(&key->hint, SOFT_RX_BUCKET));
		entry = soft_rx_hint_get(&key->hint, SOFT_RX_ENTRY);
		if (entry != NULL)
			fetch_parts(entry);
		fetch(soft_rx_hint_get(&key->hint, SOFT_RX_RULE),
		      offsetof(struct soft_rule, encap));
		__builtin_prefetch(soft_rx_hint_get(&key->hint, SOFT_RX_WINDOW), 1);
	}
}

/* Of the workloads' packets what seals them: each is found by the one before it. */
static void fetch_sent(const struct soft_worker *worker, struct ahead *ahead, uint32_t n)
{
	const struct psp_crypto_backend *backend = worker->dp->base.keys.backend;

	for (uint32_t i = 0; i < n; i++)
		fetch_entry(&ahead[i]);
	for (uint32_t i = 0; i < n; i++)
		fetch_rule(&ahead[i]);
	for (uint32_t i = 0; i < n; i++)
		fetch_id(worker, &ahead[i]);
	for (uint32_t i = 0; i < n; i++)
		fetch_slot(&ahead[i]);
	for (uint32_t i = 0; i < n; i++) {
		if (ahead[i].slot != NULL)
			backend->key_fetch(ahead[i].slot->key.aead, ahead[i].slot->key.version,
					   ahead[i].octets);
	}
}

void soft_ahead(struct soft_worker *worker, const struct soft_pipe *root, uint32_t n)
{
	struct ahead ahead[SOFT_PORT_BATCH];
	uint32_t which[SOFT_PORT_BATCH], m = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!worker->sound[i])
			continue;
		which[m] = i;
		m += look(worker, root, i, &ahead[m]);
	}
	/* What is one flow's is near from its first packet on. */
	if (m < 2)
		return;
	if (worker->packets[0].port == PSP_DP_PORT_UPLINK)
		fetch_received(worker, ahead, which, m);
	else
		fetch_sent(worker, ahead, m);
}
