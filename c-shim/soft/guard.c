/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/net.h"
#include "../common/plane.h"
#include "../psp/nftables.h"

#define TABLE_PREFIX "psp-agent-"
#define LOOK_EVERY_NS UINT64_C(500000000)
#define IP6_AUTH 51u /* a header that the plane does not read past, and nftables does */

#define CHAIN_LEN 16u /* "host-65535" */

/* One chain of the table. */
struct guarded {
	uint16_t handle; /* 0: none */
	uint16_t vlan;
	bool is_host;
	char chain[CHAIN_LEN];
	char device[IFNAMSIZ];
	uint64_t looked_ns; /* CLOCK_MONOTONIC */
	uint32_t restored;
	uint8_t reason; /* why it does not stand; PSP_DP_GUARD_NO_REASON: it does */
};

struct soft_guard {
	pthread_mutex_t
		lock; /* a leaf: held around each exchange with the kernel, and for what follows */
	int fd;       /* owns the table */
	char table[sizeof(TABLE_PREFIX) + IFNAMSIZ];
	struct guarded ports[PSP_DP_PORTS_MAX]; /* by slot */
};

/* ---- expressions ----------------------------------------------------------------------------- */

/* A rule is a row of expressions: each that does not hold ends it. */
struct expression {
	struct psp_nft_batch *batch;
	uint32_t element, data;
};

static struct expression expression(struct psp_nft_batch *batch, const char *name)
{
	struct expression made = {.batch = batch};

	made.element = psp_nft_nest(batch, NFTA_LIST_ELEM);
	psp_nft_text(batch, NFTA_EXPR_NAME, name);
	made.data = psp_nft_nest(batch, NFTA_EXPR_DATA);
	return made;
}

static void end(struct expression made)
{
	psp_nft_unnest(made.batch, made.data);
	psp_nft_unnest(made.batch, made.element);
}

static void put_data(struct psp_nft_batch *batch, uint16_t attribute, const void *value,
		     uint32_t len)
{
	const uint32_t nest = psp_nft_nest(batch, attribute);

	psp_nft_put(batch, NFTA_DATA_VALUE, value, len);
	psp_nft_unnest(batch, nest);
}

static void compare(struct psp_nft_batch *batch, enum nft_cmp_ops op, const void *value,
		    uint32_t len)
{
	struct expression made = expression(batch, "cmp");

	psp_nft_put32(batch, NFTA_CMP_SREG, NFT_REG_1);
	psp_nft_put32(batch, NFTA_CMP_OP, op);
	put_data(batch, NFTA_CMP_DATA, value, len);
	end(made);
}

/* The rule goes on if the octet in the register is this one. */
static void compare8(struct psp_nft_batch *batch, enum nft_cmp_ops op, uint8_t value)
{
	compare(batch, op, &value, sizeof(value));
}

static void compare16(struct psp_nft_batch *batch, enum nft_cmp_ops op, uint16_t value)
{
	uint8_t octets[2];

	psp_put16(octets, value);
	compare(batch, op, octets, sizeof(octets));
}

static void load_meta(struct psp_nft_batch *batch, enum nft_meta_keys key)
{
	struct expression made = expression(batch, "meta");

	psp_nft_put32(batch, NFTA_META_DREG, NFT_REG_1);
	psp_nft_put32(batch, NFTA_META_KEY, key);
	end(made);
}

/* Two octets of a header. */
static void load16(struct psp_nft_batch *batch, enum nft_payload_bases base, uint32_t offset)
{
	struct expression made = expression(batch, "payload");

	psp_nft_put32(batch, NFTA_PAYLOAD_DREG, NFT_REG_1);
	psp_nft_put32(batch, NFTA_PAYLOAD_BASE, base);
	psp_nft_put32(batch, NFTA_PAYLOAD_OFFSET, offset);
	psp_nft_put32(batch, NFTA_PAYLOAD_LEN, 2);
	end(made);
}

static void mask16(struct psp_nft_batch *batch, uint16_t mask)
{
	struct expression made = expression(batch, "bitwise");
	uint8_t octets[2];

	psp_nft_put32(batch, NFTA_BITWISE_SREG, NFT_REG_1);
	psp_nft_put32(batch, NFTA_BITWISE_DREG, NFT_REG_1);
	psp_nft_put32(batch, NFTA_BITWISE_LEN, sizeof(octets));
	psp_put16(octets, mask);
	put_data(batch, NFTA_BITWISE_MASK, octets, sizeof(octets));
	psp_put16(octets, 0);
	put_data(batch, NFTA_BITWISE_XOR, octets, sizeof(octets));
	end(made);
}

/* 1 if a packet has such an IPv6 extension header, else 0. */
static void load_has_extension(struct psp_nft_batch *batch, uint8_t header)
{
	struct expression made = expression(batch, "exthdr");

	psp_nft_put32(batch, NFTA_EXTHDR_DREG, NFT_REG_1);
	psp_nft_put(batch, NFTA_EXTHDR_TYPE, &header, sizeof(header));
	psp_nft_put32(batch, NFTA_EXTHDR_OFFSET, 0);
	psp_nft_put32(batch, NFTA_EXTHDR_LEN, 1);
	psp_nft_put32(batch, NFTA_EXTHDR_FLAGS, NFT_EXTHDR_F_PRESENT);
	end(made);
}

static void drop(struct psp_nft_batch *batch)
{
	struct expression made = expression(batch, "immediate");
	uint32_t data, verdict;

	psp_nft_put32(batch, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = psp_nft_nest(batch, NFTA_IMMEDIATE_DATA);
	verdict = psp_nft_nest(batch, NFTA_DATA_VERDICT);
	psp_nft_put32(batch, NFTA_VERDICT_CODE, NF_DROP);
	psp_nft_unnest(batch, verdict);
	psp_nft_unnest(batch, data);
	end(made);
}

/* ---- rules ----------------------------------------------------------------------------------- */

/*
 * Only of a frame with its tag still in it, or put back for the rule, are the two octets after the addresses
 * something else than what the frame carries.
 */
static void is_tagged(struct psp_nft_batch *batch, uint16_t type, bool tagged, uint16_t vlan)
{
	load16(batch, NFT_PAYLOAD_LL_HEADER, NET_ETH_TYPE);
	compare16(batch, tagged ? NFT_CMP_NEQ : NFT_CMP_EQ, type);
	if (!tagged)
		return;
	load16(batch, NFT_PAYLOAD_LL_HEADER, NET_ETH_LEN);
	mask16(batch, NET_VLAN_ID);
	compare16(batch, NFT_CMP_EQ, vlan);
}

/* The plane leaves every fragment to the kernel, the first as well. */
static void is_whole(struct psp_nft_batch *batch, uint16_t type)
{
	static const uint8_t headers[] = {NET_PROTO_FRAGMENT, IP6_AUTH};

	if (type == NET_TYPE_IPV4) {
		load16(batch, NFT_PAYLOAD_NETWORK_HEADER, NET_IP4_FRAG);
		mask16(batch, NET_IP4_MF_OFFSET);
		compare16(batch, NFT_CMP_EQ, 0);
		return;
	}
	for (size_t i = 0; i < sizeof(headers); i++) {
		load_has_extension(batch, headers[i]);
		compare8(batch, NFT_CMP_EQ, 0);
	}
}

/* Drops what the plane takes as PSP (port.c, packet.c, and the ROOT pipe): cheapest questions first. */
static void drop_psp(struct psp_nft_batch *batch, const struct soft_guard *guard,
		     const struct guarded *guarded, uint16_t type, bool tagged)
{
	uint32_t expressions;

	psp_nft_message(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	psp_nft_text(batch, NFTA_RULE_TABLE, guard->table);
	psp_nft_text(batch, NFTA_RULE_CHAIN, guarded->chain);
	expressions = psp_nft_nest(batch, NFTA_RULE_EXPRESSIONS);
	load_meta(batch, NFT_META_L4PROTO);
	compare8(batch, NFT_CMP_EQ, NET_PROTO_UDP);
	load16(batch, NFT_PAYLOAD_TRANSPORT_HEADER, NET_UDP_DST);
	compare16(batch, NFT_CMP_EQ, PSP_UDP_PORT);
	load_meta(batch, NFT_META_PROTOCOL);
	compare16(batch, NFT_CMP_EQ, type);
	/* To another's MAC: a virtual interface on top of the uplink may be who it is for. */
	load_meta(batch, NFT_META_PKTTYPE);
	compare8(batch, NFT_CMP_NEQ, PACKET_OTHERHOST);
	is_tagged(batch, type, tagged, guarded->vlan);
	is_whole(batch, type);
	drop(batch);
	psp_nft_unnest(batch, expressions);
}

static void put_chain(struct psp_nft_batch *batch, const struct soft_guard *guard,
		      const struct guarded *guarded)
{
	static const uint16_t types[] = {NET_TYPE_IPV4, NET_TYPE_IPV6};

	psp_nft_chain(batch, guard->table, guarded->chain, guarded->device,
		      guarded->is_host ? NF_DROP : NF_ACCEPT);
	for (size_t i = 0; !guarded->is_host && i < sizeof(types) / sizeof(types[0]); i++) {
		if (guarded->vlan == 0)
			drop_psp(batch, guard, guarded, types[i], false);
		/* A tag with id 0 is only a priority. */
		drop_psp(batch, guard, guarded, types[i], true);
	}
}

static void drop_chain(struct psp_nft_batch *batch, const struct soft_guard *guard,
		       const struct guarded *guarded)
{
	psp_nft_message(batch, NFT_MSG_DELCHAIN, 0);
	psp_nft_text(batch, NFTA_CHAIN_TABLE, guard->table);
	psp_nft_text(batch, NFTA_CHAIN_NAME, guarded->chain);
}

/* ---- open and close -------------------------------------------------------------------------- */

static int32_t refuse(const char *of, int error, bool taken, uint8_t *reason, char *err,
		      uint32_t err_cap)
{
	int32_t status = PSP_DP_EIO;
	const char *why = strerror(error);

	*reason = psp_nft_reason(error);
	if (taken) {
		status = PSP_DP_EBUSY;
		*reason = PSP_DP_GUARD_REFUSED;
		why = "another agent has this uplink: stop it, or name another uplink";
	} else if (*reason == PSP_DP_GUARD_NO_RIGHT) {
		status = PSP_DP_EPERM;
		why = "CAP_NET_ADMIN is missing: grant it, or let plane.host_guard be \"auto\"";
	} else if (*reason == PSP_DP_GUARD_NO_KERNEL) {
		status = PSP_DP_ENOTSUP;
		why = "the kernel has no nftables with netdev chains and owners of tables: use "
		      "Linux "
		      "5.12 or later, or let plane.host_guard be \"auto\"";
	}
	if (err_cap != 0)
		(void)snprintf(err, err_cap, "Cannot set the ingress guard of %s: %s", of, why);
	return status;
}

static struct guarded *guarded_of(struct soft_guard *guard, uint16_t handle)
{
	return &guard->ports[dp_port_slot(handle)];
}

static struct guarded *take(struct soft_guard *guard, const struct soft_guard_port *port)
{
	struct guarded *guarded = guarded_of(guard, port->handle);

	memset(guarded, 0, sizeof(*guarded));
	guarded->handle = port->handle;
	guarded->vlan = port->vlan;
	guarded->is_host = port->kind == PSP_DP_PORT_HOST;
	(void)snprintf(guarded->device, sizeof(guarded->device), "%s", port->name);
	if (guarded->is_host)
		(void)snprintf(guarded->chain, sizeof(guarded->chain), "host-%u", port->handle);
	else
		(void)snprintf(guarded->chain, sizeof(guarded->chain), "uplink");
	return guarded;
}

/* "p0" and "vf0", as far as they fit. */
static void list_names(const struct soft_guard_port *ports, uint32_t n, char *out, size_t cap)
{
	size_t at = 0;

	for (uint32_t i = 0; i < n && at < cap; i++)
		at += (size_t)snprintf(out + at, cap - at, "%s\"%.15s\"",
				       i == 0       ? ""
				       : i + 1 == n ? " and "
						    : ", ",
				       ports[i].name);
}

int32_t soft_guard_open(const char *uplink, const struct soft_guard_port *ports, uint32_t n,
			struct soft_guard **out, uint8_t *reason, char *err, uint32_t err_cap)
{
	struct soft_guard *guard = calloc(1, sizeof(*guard));
	struct psp_nft_batch *batch = malloc(sizeof(*batch));
	char of[128] = "";
	uint32_t refused = 0;
	bool taken = false;
	int error;

	*out = NULL;
	*reason = PSP_DP_GUARD_REFUSED;
	list_names(ports, n, of, sizeof(of));
	if (guard == NULL || batch == NULL) {
		free(guard);
		free(batch);
		(void)refuse(of, ENOMEM, false, reason, err, err_cap);
		return PSP_DP_ENOMEM;
	}
	(void)snprintf(guard->table, sizeof(guard->table), TABLE_PREFIX "%.15s", uplink);
	error = psp_nft_open(&guard->fd);
	/* A batch has room for a few chains: the table comes with the first port, and with nobody else's. */
	for (uint32_t i = 0; error == 0 && i < n; i++) {
		psp_nft_begin(batch);
		psp_nft_table(batch, guard->table, i == 0 ? NLM_F_EXCL : 0);
		put_chain(batch, guard, take(guard, &ports[i]));
		error = psp_nft_send(guard->fd, batch, true, &refused);
		/* The table's own message: it is another's, who is its owner, or it has none. */
		taken = i == 0 && refused == 1 && (error == EPERM || error == EEXIST);
	}
	free(batch);
	if (error != 0) {
		if (guard->fd >= 0)
			(void)close(guard->fd);
		free(guard);
		return refuse(of, error, taken, reason, err, err_cap);
	}
	pthread_mutex_init(&guard->lock, NULL);
	*reason = PSP_DP_GUARD_NO_REASON;
	*out = guard;
	return PSP_DP_OK;
}

void soft_guard_close(struct soft_guard *guard)
{
	if (guard == NULL)
		return;
	(void)close(guard->fd);
	pthread_mutex_destroy(&guard->lock);
	free(guard);
}

/* ---- looking --------------------------------------------------------------------------------- */

/* 0 or an errno. There may be a chain without its device: that of kernels from 6.12 to 6.15, once it has gone. */
static int restore(struct soft_guard *guard, const struct guarded *guarded, bool replace)
{
	struct psp_nft_batch batch;
	uint32_t refused;

	psp_nft_begin(&batch);
	psp_nft_table(&batch, guard->table, 0);
	if (replace)
		drop_chain(&batch, guard, guarded);
	put_chain(&batch, guard, guarded);
	return psp_nft_send(guard->fd, &batch, true, &refused);
}

/* Asks the kernel, and mends. */
static void look(struct soft_guard *guard, struct guarded *guarded)
{
	bool sees = false;
	int error =
		psp_nft_chain_sees(guard->fd, guard->table, guarded->chain, guarded->device, &sees);

	if (sees) {
		guarded->reason = PSP_DP_GUARD_NO_REASON;
		return;
	}
	if (error == 0 || error == ENOENT)
		error = restore(guard, guarded, error == 0);
	guarded->restored += error == 0;
	guarded->reason = error == 0 ? PSP_DP_GUARD_NO_REASON : PSP_DP_GUARD_REFUSED;
}

void soft_guard_look(struct soft_guard *guard, uint16_t handle, struct psp_dp_port_info *info)
{
	struct guarded *guarded = guarded_of(guard, handle);
	const uint64_t now_ns = dp_now_ns();

	pthread_mutex_lock(&guard->lock);
	if (now_ns - guarded->looked_ns >= LOOK_EVERY_NS) {
		guarded->looked_ns = now_ns;
		look(guard, guarded);
	}
	info->guard_reason = guarded->reason;
	info->guard = guarded->reason == PSP_DP_GUARD_NO_REASON ? PSP_DP_GUARD_STANDS
								: PSP_DP_GUARD_ABSENT;
	info->guard_restored = guarded->restored;
	pthread_mutex_unlock(&guard->lock);
}

/* ---- ports that come and go ------------------------------------------------------------------ */

int32_t soft_guard_add(struct soft_guard *guard, const struct soft_guard_port *port,
		       uint8_t *reason, char *err, uint32_t err_cap)
{
	char of[IFNAMSIZ + 2] = "";
	int error;

	list_names(port, 1, of, sizeof(of));
	pthread_mutex_lock(&guard->lock);
	error = restore(guard, take(guard, port), false);
	pthread_mutex_unlock(&guard->lock);
	*reason = PSP_DP_GUARD_NO_REASON;
	return error == 0 ? 0 : refuse(of, error, false, reason, err, err_cap);
}

void soft_guard_remove(struct soft_guard *guard, uint16_t handle)
{
	struct guarded *guarded = guarded_of(guard, handle);
	struct psp_nft_batch batch;
	uint32_t refused;

	pthread_mutex_lock(&guard->lock);
	psp_nft_begin(&batch);
	psp_nft_table(&batch, guard->table, 0);
	drop_chain(&batch, guard, guarded);
	/* It may have gone with its interface. */
	(void)psp_nft_send(guard->fd, &batch, true, &refused);
	memset(guarded, 0, sizeof(*guarded));
	pthread_mutex_unlock(&guard->lock);
}
