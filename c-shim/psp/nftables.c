/* SPDX-License-Identifier: Apache-2.0 */
#include "nftables.h"

#include <errno.h>
#include <limits.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../psp_dp.h"
#include "wire.h"

#define ANSWER_MAX 8192u /* octets: a chain, or the acknowledgements of a batch */

_Static_assert(NLMSG_ALIGNTO == 4 && NLA_ALIGNTO == 4, "netlink's boundaries");

int psp_nft_open(int *fd)
{
	struct sockaddr_nl own = {.nl_family = AF_NETLINK};
	int error;

	*fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (*fd < 0)
		return errno;
	if (bind(*fd, (const struct sockaddr *)&own, sizeof(own)) == 0)
		return 0;
	error = errno;
	(void)close(*fd);
	*fd = -1;
	return error;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* Room for len octets and the padding after them, zeroed; its offset, or 0 when it is full. */
static uint32_t reserve(struct psp_nft_batch *batch, uint32_t len)
{
	const uint32_t at = batch->len, padded = (len + 3u) & ~3u;

	if (batch->full || len > PSP_NFT_BATCH_MAX || padded > PSP_NFT_BATCH_MAX - at) {
		batch->full = true;
		return 0;
	}
	memset(batch->buf + at, 0, padded);
	batch->len += padded;
	return at;
}

/* The length of the current message is that of what stands in it. */
static void end_message(struct psp_nft_batch *batch)
{
	const uint32_t len = batch->len - batch->message;

	if (!batch->full && batch->len != 0)
		memcpy(batch->buf + batch->message, &len, sizeof(len));
}

static void put_header(struct psp_nft_batch *batch, uint16_t type, uint16_t flags, uint8_t family,
		       uint16_t resource)
{
	struct nlmsghdr header = {.nlmsg_type = type,
				  .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
				  .nlmsg_seq = batch->seq++};
	struct nfgenmsg body = {.nfgen_family = family, .version = NFNETLINK_V0};
	uint32_t at;

	end_message(batch);
	at = reserve(batch, sizeof(header) + sizeof(body));
	if (batch->full)
		return;
	batch->message = at;
	psp_put16((uint8_t *)&body.res_id, resource);
	memcpy(batch->buf + at, &header, sizeof(header));
	memcpy(batch->buf + at + sizeof(header), &body, sizeof(body));
}

void psp_nft_begin(struct psp_nft_batch *batch)
{
	batch->len = 0;
	batch->message = 0;
	batch->seq = 0;
	batch->full = false;
	put_header(batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
}

void psp_nft_message(struct psp_nft_batch *batch, uint16_t type, uint16_t flags)
{
	put_header(batch, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type),
		   (uint16_t)(NLM_F_ACK | flags), NFPROTO_NETDEV, 0);
}

void psp_nft_put(struct psp_nft_batch *batch, uint16_t attribute, const void *value, uint32_t len)
{
	struct nlattr header = {.nla_type = attribute};
	const uint32_t at = reserve(batch, (uint32_t)sizeof(header) + len);

	if (batch->full)
		return;
	header.nla_len = (uint16_t)(sizeof(header) + len);
	memcpy(batch->buf + at, &header, sizeof(header));
	if (len != 0)
		memcpy(batch->buf + at + sizeof(header), value, len);
}

void psp_nft_put32(struct psp_nft_batch *batch, uint16_t attribute, uint32_t value)
{
	uint8_t octets[4];

	psp_put32(octets, value);
	psp_nft_put(batch, attribute, octets, sizeof(octets));
}

void psp_nft_text(struct psp_nft_batch *batch, uint16_t attribute, const char *text)
{
	psp_nft_put(batch, attribute, text, (uint32_t)strlen(text) + 1u);
}

uint32_t psp_nft_nest(struct psp_nft_batch *batch, uint16_t attribute)
{
	const uint32_t at = batch->len;

	psp_nft_put(batch, attribute | NLA_F_NESTED, NULL, 0);
	return at;
}

void psp_nft_unnest(struct psp_nft_batch *batch, uint32_t nest)
{
	const uint16_t len = (uint16_t)(batch->len - nest);

	if (!batch->full)
		memcpy(batch->buf + nest, &len, sizeof(len));
}

/* ---- tables and chains ----------------------------------------------------------------------- */

void psp_nft_table(struct psp_nft_batch *batch, const char *table, uint16_t flags)
{
	psp_nft_message(batch, NFT_MSG_NEWTABLE, (uint16_t)(NLM_F_CREATE | flags));
	psp_nft_text(batch, NFTA_TABLE_NAME, table);
	psp_nft_put32(batch, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
}

void psp_nft_chain(struct psp_nft_batch *batch, const char *table, const char *chain,
		   const char *device, uint32_t policy)
{
	uint32_t hook;

	psp_nft_message(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	psp_nft_text(batch, NFTA_CHAIN_TABLE, table);
	psp_nft_text(batch, NFTA_CHAIN_NAME, chain);
	hook = psp_nft_nest(batch, NFTA_CHAIN_HOOK);
	psp_nft_put32(batch, NFTA_HOOK_HOOKNUM, NF_NETDEV_INGRESS);
	/* First of all: a flow table or another's rule must not send a packet on before it is dropped. */
	psp_nft_put32(batch, NFTA_HOOK_PRIORITY, (uint32_t)INT32_MIN);
	psp_nft_text(batch, NFTA_HOOK_DEV, device);
	psp_nft_unnest(batch, hook);
	psp_nft_text(batch, NFTA_CHAIN_TYPE, "filter");
	psp_nft_put32(batch, NFTA_CHAIN_POLICY, policy);
}

/* ---- sending --------------------------------------------------------------------------------- */

static int send_all(int fd, const void *buf, uint32_t len)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t sent;

	do
		sent = sendto(fd, buf, len, 0, (const struct sockaddr *)&kernel, sizeof(kernel));
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? errno : 0;
}

/* The next datagram of answers: its length; 0: there is none. The kernel has put all of them there when it was sent. */
static uint32_t receive(int fd, uint8_t answer[ANSWER_MAX], int *error)
{
	ssize_t got;

	do
		got = recv(fd, answer, ANSWER_MAX, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	*error = got < 0 && errno != EAGAIN ? errno : 0;
	return got > 0 ? (uint32_t)got : 0;
}

/* The message at *at, and *at behind it; false: there is none. Its body begins at *body, of *len octets. */
static bool next_message(const uint8_t *answer, uint32_t total, uint32_t *at,
			 struct nlmsghdr *header, const uint8_t **body, uint32_t *len)
{
	if (total - *at < sizeof(*header))
		return false;
	memcpy(header, answer + *at, sizeof(*header));
	if (header->nlmsg_len < sizeof(*header) || header->nlmsg_len > total - *at)
		return false;
	*body = answer + *at + sizeof(*header);
	*len = header->nlmsg_len - (uint32_t)sizeof(*header);
	*at += (header->nlmsg_len + 3u) & ~3u;
	if (*at > total)
		*at = total;
	return true;
}

/* The errno in the body of an NLMSG_ERROR, which is 0 in an acknowledgement. */
static int error_of(const uint8_t *body, uint32_t len)
{
	int32_t error = -EBADMSG;

	if (len >= sizeof(error))
		memcpy(&error, body, sizeof(error));
	return -error;
}

int psp_nft_send(int fd, struct psp_nft_batch *batch, bool commit, uint32_t *refused)
{
	_Alignas(4) uint8_t answer[ANSWER_MAX];
	const uint32_t asked = batch->seq - 1u;
	uint32_t total, len, acks = 0;
	struct nlmsghdr header;
	const uint8_t *body;
	int error, found = 0;

	*refused = 0;
	/* The kernel undoes a batch that has no end. */
	if (commit)
		put_header(batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	end_message(batch);
	if (batch->full)
		return EMSGSIZE;
	error = send_all(fd, batch->buf, batch->len);
	if (error != 0)
		return error;
	while ((total = receive(fd, answer, &error)) != 0) {
		for (uint32_t at = 0; next_message(answer, total, &at, &header, &body, &len);) {
			if (header.nlmsg_type != NLMSG_ERROR)
				continue;
			error = error_of(body, len);
			acks += error == 0;
			if (error != 0 && found == 0) {
				found = error;
				*refused = header.nlmsg_seq;
			}
		}
	}
	if (found == 0)
		found = error;
	return found != 0 || acks >= asked ? found : EIO;
}

/* An attribute's value among those in [at, at + len), and its length; NULL: it is not there. */
static const uint8_t *find(const uint8_t *at, uint32_t len, uint16_t attribute, uint32_t *out_len)
{
	struct nlattr header;

	while (len >= sizeof(header)) {
		uint32_t padded;

		memcpy(&header, at, sizeof(header));
		if (header.nla_len < sizeof(header) || header.nla_len > len)
			return NULL;
		if ((header.nla_type & NLA_TYPE_MASK) == attribute) {
			*out_len = header.nla_len - (uint32_t)sizeof(header);
			return at + sizeof(header);
		}
		padded = (header.nla_len + 3u) & ~3u;
		if (padded > len)
			return NULL;
		at += padded;
		len -= padded;
	}
	return NULL;
}

/* Does a chain, as the kernel describes it, have a hook on this device? */
static bool describes(const uint8_t *body, uint32_t len, const char *device)
{
	const uint32_t skip = (uint32_t)sizeof(struct nfgenmsg);
	const uint8_t *hook, *name;
	uint32_t hook_len = 0, name_len = 0;

	if (len < skip)
		return false;
	hook = find(body + skip, len - skip, NFTA_CHAIN_HOOK, &hook_len);
	name = hook == NULL ? NULL : find(hook, hook_len, NFTA_HOOK_DEV, &name_len);
	return name != NULL && name_len == strlen(device) + 1u &&
	       memcmp(name, device, name_len) == 0;
}

int psp_nft_chain_sees(int fd, const char *table, const char *chain, const char *device, bool *sees)
{
	_Alignas(4) uint8_t answer[ANSWER_MAX];
	struct psp_nft_batch batch = {.len = 0};
	uint32_t total, len;
	struct nlmsghdr header;
	const uint8_t *body;
	bool found = false;
	int error;

	*sees = false;
	/* A question is no part of a batch: it goes alone, and is answered by a description or an error. */
	put_header(&batch, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, 0, NFPROTO_NETDEV, 0);
	psp_nft_text(&batch, NFTA_CHAIN_TABLE, table);
	psp_nft_text(&batch, NFTA_CHAIN_NAME, chain);
	end_message(&batch);
	error = send_all(fd, batch.buf, batch.len);
	if (error != 0)
		return error;
	while ((total = receive(fd, answer, &error)) != 0) {
		for (uint32_t at = 0; next_message(answer, total, &at, &header, &body, &len);) {
			if (header.nlmsg_type == NLMSG_ERROR)
				return error_of(body, len);
			found = true;
			*sees = *sees || describes(body, len, device);
		}
	}
	return error != 0 || found ? error : EIO;
}

/* ---- whether there can be a guard ------------------------------------------------------------ */

uint8_t psp_nft_reason(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return PSP_DP_GUARD_NO_RIGHT;
	case EPROTONOSUPPORT: /* no nfnetlink */
	case EAFNOSUPPORT:    /* no netdev family */
	case EOPNOTSUPP:      /* no nftables, no ingress hook, or no owners of tables */
	case EINVAL:          /* no owners of tables: before Linux 5.12 */
	case ENOENT:          /* no chains of that type, or an expression is missing */
		return PSP_DP_GUARD_NO_KERNEL;
	default:
		return PSP_DP_GUARD_REFUSED;
	}
}

uint8_t psp_nft_probe(void)
{
	/* Not one that an agent has: those end in the name of their uplink. */
	static const char *const table = "psp-agent";
	struct psp_nft_batch batch;
	uint32_t refused;
	int fd, error = psp_nft_open(&fd);

	if (error != 0)
		return psp_nft_reason(error);
	psp_nft_begin(&batch);
	psp_nft_table(&batch, table, 0);
	/* Its hook stands while the kernel looks: it lets everything pass. */
	psp_nft_chain(&batch, table, "probe", "lo", NF_ACCEPT);
	error = psp_nft_send(fd, &batch, false, &refused);
	(void)close(fd);
	return error == 0 ? PSP_DP_GUARD_NO_REASON : psp_nft_reason(error);
}
