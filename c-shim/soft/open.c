/* SPDX-License-Identifier: Apache-2.0 */
/* open.c: the receive key of a PSP packet, and what is counted when it opens or does not. */
#include "../psp/kdf.h"
#include "../common/net.h"
#include "soft.h"

/* A key that the cache does not have; NULL: the library failed. */
static struct psp_aead_key *derive(struct soft_worker *worker, const struct soft_master *master,
				   uint32_t spi, uint32_t version)
{
	const struct psp_crypto_backend *backend = worker->dp->base.keys.backend;
	struct psp_aead_key *aead = NULL;
	uint8_t key[32];

	if (psp_derive_key(backend, worker->crypto, master->key[spi >> 31], spi, version, key) !=
		    0 ||
	    backend->key_new(worker->crypto, version, key, &aead) != 0)
		aead = NULL;
	explicit_bzero(key, sizeof(key));
	return aead;
}

static void set_verdict(struct dp_packet *packet, uint32_t verdict)
{
	packet->verdict = (uint8_t)verdict;
	if (verdict != PSP_DP_VERDICT_OK && verdict != PSP_DP_VERDICT_POLICY &&
	    packet->fields.parser_meta_psp_syndrome == PSP_DP_SYNDROME_OK)
		packet->fields.parser_meta_psp_syndrome = verdict == PSP_DP_VERDICT_ICV
								  ? PSP_DP_SYNDROME_ICV
								  : PSP_DP_SYNDROME_BAD_TRAILER;
}

/* What can be said before there is a key. OK: packet->psp holds, and *len is the UDP payload's. */
static uint32_t look(const struct soft_worker *worker, struct dp_packet *packet, uint32_t *len)
{
	uint32_t udp_len;

	packet->inner_off = 0;
	if (packet->gso != DP_GSO_NONE ||
	    packet->fields.parser_meta_outer_l4_type != PSP_DP_L4_UDP || packet->fragment ||
	    packet->fields.outer_l4_dst_port != PSP_UDP_PORT)
		return PSP_DP_VERDICT_MALFORMED;
	udp_len = psp_get16(packet->frame + packet->l4_off + NET_UDP_LENGTH);
	if (udp_len < NET_UDP_LEN || udp_len > packet->len - packet->l4_off)
		return PSP_DP_VERDICT_MALFORMED;
	*len = udp_len - NET_UDP_LEN;
	return psp_header_parse(packet->frame + packet->payload_off, *len,
				worker->dp->base.config.versions, &packet->psp);
}

static void count_verdict(struct soft_worker *worker, struct soft_walk *walk, uint32_t len)
{
	enum dp_counter counter = DP_RX_ERROR;

	switch (walk->packet->verdict) {
	case PSP_DP_VERDICT_OK:
	case PSP_DP_VERDICT_POLICY:
		soft_worker_count(worker, DP_RX_PACKETS, 1);
		soft_worker_count(worker, DP_RX_BYTES, len - PSP_HEADER_LEN - PSP_ICV_LEN);
		return;
	case PSP_DP_VERDICT_ICV:
		counter = DP_RX_AUTH_FAIL;
		break;
	case PSP_DP_VERDICT_DISCARD:
	case PSP_DP_VERDICT_RESERVED:
		counter = DP_RX_BAD;
		break;
	default:
		break;
	}
	soft_worker_count(worker, counter, 1);
	walk->counted = true;
}

/* True: the verdict is set. False: drop it as rx-error. */
static bool decrypt(struct soft_worker *worker, struct dp_packet *packet, uint32_t len)
{
	const struct soft_master *master =
		atomic_load_explicit(&worker->dp->keys.master, memory_order_acquire);
	uint32_t spi = packet->psp.spi, version = packet->psp.version;
	uint32_t generation = master->generation[spi >> 31];
	const struct psp_aead_key *known =
		soft_rx_keys_find(&worker->rx_keys, spi, version, generation);
	struct psp_aead_key *fresh = NULL;
	bool done;

	if (known == NULL) {
		fresh = derive(worker, master, spi, version);
		if (fresh == NULL)
			return false;
	}
	done = soft_decrypt_known(worker->dp->base.keys.backend, worker->crypto,
				  known != NULL ? known : fresh, packet, len);
	if (fresh == NULL)
		return done;
	if (done &&
	    (packet->verdict == PSP_DP_VERDICT_OK || packet->verdict == PSP_DP_VERDICT_POLICY))
		soft_rx_keys_put(&worker->rx_keys, spi, version, generation, fresh);
	else
		worker->dp->base.keys.backend->key_free(fresh);
	return done;
}

bool soft_walk_decrypt(struct soft_worker *worker, struct soft_walk *walk)
{
	struct dp_packet *packet = walk->packet;
	uint32_t len = 0, verdict = look(worker, packet, &len);

	walk->decrypted = true;
	set_verdict(packet, verdict);
	if (verdict == PSP_DP_VERDICT_OK) {
		if (!decrypt(worker, packet, len)) {
			soft_worker_count(worker, DP_RX_ERROR, 1);
			return false;
		}
		set_verdict(packet, packet->verdict);
	}
	count_verdict(worker, walk, len);
	return true;
}
