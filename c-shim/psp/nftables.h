/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nftables.h: changes to the kernel's packet filter, by nfnetlink: as much of it as an ingress guard needs.
 *
 * A batch is put together in memory and sent whole: all of it happens, or nothing. The kernel answers within the
 * call that sends. Errors are errno values, 0 is success.
 */
#ifndef PSP_NFTABLES_H
#define PSP_NFTABLES_H

#include <stdbool.h>
#include <stdint.h>

#define PSP_NFT_BATCH_MAX                                                                          \
	8192u /* octets: a table, two chains and their rules take about half of it */

struct psp_nft_batch {
	uint32_t len;
	uint32_t message; /* where the current message begins */
	uint32_t
		seq; /* of the next message: they are numbered from 0, the one that begins the batch */
	bool full; /* something did not fit: it will not be sent */
	_Alignas(4) uint8_t buf[PSP_NFT_BATCH_MAX];
};

/* A socket that may own tables. 0, or an errno: EPROTONOSUPPORT where the kernel has no nfnetlink. */
int psp_nft_open(int *fd);

/* Begins a batch of messages about tables of the netdev family. */
void psp_nft_begin(struct psp_nft_batch *batch);
/* Begins a message: type is one of NFT_MSG_..., flags of NLM_F_... beyond NLM_F_REQUEST and NLM_F_ACK. */
void psp_nft_message(struct psp_nft_batch *batch, uint16_t type, uint16_t flags);
/* Attributes of the current message: octets, a number in network order, a text with its 0. */
void psp_nft_put(struct psp_nft_batch *batch, uint16_t attribute, const void *value, uint32_t len);
void psp_nft_put32(struct psp_nft_batch *batch, uint16_t attribute, uint32_t value);
void psp_nft_text(struct psp_nft_batch *batch, uint16_t attribute, const char *text);
/* An attribute that holds those which follow, until psp_nft_unnest() gets what this returned. */
uint32_t psp_nft_nest(struct psp_nft_batch *batch, uint16_t attribute);
void psp_nft_unnest(struct psp_nft_batch *batch, uint32_t nest);

/* A table that goes with the socket that sends this. */
void psp_nft_table(struct psp_nft_batch *batch, const char *table, uint16_t flags);
/* A chain that sees what comes in on a device before anybody but packet sockets and tc(8); policy: NF_... */
void psp_nft_chain(struct psp_nft_batch *batch, const char *table, const char *chain,
		   const char *device, uint32_t policy);

/*
 * Sends it, to be done (commit) or only to be checked. 0, or the errno of the first message that was refused and its
 * number; 0 is the batch itself, which is refused for want of CAP_NET_ADMIN or of nftables.
 */
int psp_nft_send(int fd, struct psp_nft_batch *batch, bool commit, uint32_t *refused);

/* Whether a chain is there, and whether it sees what comes in on this device. 0 or an errno; ENOENT: no such chain. */
int psp_nft_chain_sees(int fd, const char *table, const char *chain, const char *device,
		       bool *sees);

/* Why a guard cannot be had, of enum psp_dp_guard_reason, for what psp_nft_open() or psp_nft_send() said. */
uint8_t psp_nft_reason(int error);

/* What this process would meet if it set a guard now; nothing is changed. Of enum psp_dp_guard_reason. */
uint8_t psp_nft_probe(void);

#endif
