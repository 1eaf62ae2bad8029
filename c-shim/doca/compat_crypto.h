/* SPDX-License-Identifier: Apache-2.0 */
/* compat_crypto.h: crypto actions and key slots by release. Part of compat.h. */
#ifndef PSP_DPU_COMPAT_CRYPTO_H
#define PSP_DPU_COMPAT_CRYPTO_H

#include <stdbool.h>

/* Encapsulation and encryption of one entry, or their template in a pipe. */
struct compat_crypto {
	bool reformat;
	struct doca_flow_crypto_encap_action encap;
	struct doca_flow_crypto_action crypto;
};

/* Crypto is not an action of a basic pipe, but an element of an ordered list behind it. */
static inline bool compat_has_crypto_lists(void)
{
#if COMPAT_DOCA >= 302
	return true;
#else
	return false;
#endif
}

/* Before 3.2; later its templates must be put into a list. */
static inline void compat_actions_crypto(struct doca_flow_actions *actions,
					 const struct compat_crypto *part)
{
	actions->has_crypto_encap = part->reformat;
	actions->crypto_encap = part->encap;
	actions->crypto = part->crypto;
}

#define COMPAT_TEMPLATES_MAX 4u

/* The templates that entries of an ordered-list pipe choose from, in the order of their numbers. */
static inline doca_error_t compat_pipe_crypto_lists(struct compat_call *call,
						    struct doca_flow_pipe_cfg *cfg,
						    const struct compat_crypto *parts, uint32_t n)
{
#if COMPAT_DOCA >= 302
	struct doca_flow_crypto crypto[COMPAT_TEMPLATES_MAX];
	struct doca_flow_ordered_list_element elements[COMPAT_TEMPLATES_MAX];
	struct doca_flow_ordered_list lists[COMPAT_TEMPLATES_MAX], *at[COMPAT_TEMPLATES_MAX];

	for (uint32_t i = 0; i < n && i < COMPAT_TEMPLATES_MAX; i++) {
		crypto[i] = (struct doca_flow_crypto){.has_crypto_encap = parts[i].reformat,
						      .crypto_encap = parts[i].encap,
						      .crypto = parts[i].crypto};
		elements[i] = (struct doca_flow_ordered_list_element){
			.type = DOCA_FLOW_ORDERED_LIST_ELEMENT_CRYPTO,
		};
		elements[i].crypto = &crypto[i];
		lists[i] = (struct doca_flow_ordered_list){
			.idx = i, .size = 1, .elements = &elements[i]};
		at[i] = &lists[i];
	}
	return COMPAT_ASK(call, doca_flow_pipe_cfg_set_ordered_lists, cfg, at, n);
#else
	(void)call;
	(void)cfg;
	(void)parts;
	(void)n;
	return DOCA_ERROR_NOT_SUPPORTED;
#endif
}

static inline doca_error_t compat_list_add(struct compat_call *call, struct doca_flow_pipe *pipe,
					   uint32_t at, uint32_t template,
					   const struct compat_crypto *part,
					   const struct doca_flow_fwd *fwd, void *ctx,
					   struct doca_flow_pipe_entry **out)
{
#if COMPAT_DOCA >= 302
	struct doca_flow_crypto crypto = {.has_crypto_encap = part->reformat,
					  .crypto_encap = part->encap,
					  .crypto = part->crypto};
	struct doca_flow_ordered_list_element element = {
		.type = DOCA_FLOW_ORDERED_LIST_ELEMENT_CRYPTO,
	};
	struct doca_flow_ordered_list list = {.idx = template, .size = 1, .elements = &element};

	element.crypto = &crypto;
	return COMPAT_ASK(call, doca_flow_pipe_ordered_list_add_entry, COMPAT_QUEUE, pipe, at,
			  &list, fwd, COMPAT_NO_WAIT, ctx, out);
#else
	(void)call;
	(void)pipe;
	(void)at;
	(void)template;
	(void)part;
	(void)fwd;
	(void)ctx;
	(void)out;
	return DOCA_ERROR_NOT_SUPPORTED;
#endif
}

/* A key slot for crypto id `want`: its own number before 3.2, one that the library chooses from then on. */
static inline doca_error_t compat_psp_slot_take(struct compat_call *call,
						struct doca_flow_port *port, uint32_t want,
						uint32_t *slot)
{
#if COMPAT_DOCA >= 302
	(void)want;
	return COMPAT_ASK(call, doca_flow_port_shared_resource_get, port,
			  DOCA_FLOW_SHARED_RESOURCE_PSP, slot);
#else
	(void)call;
	(void)port;
	*slot = want;
	return DOCA_SUCCESS;
#endif
}

static inline doca_error_t compat_psp_slot_set(struct compat_call *call,
					       struct doca_flow_port *port, uint32_t slot,
					       struct doca_flow_shared_resource_cfg *cfg)
{
#if COMPAT_DOCA >= 302
	return COMPAT_ASK(call, doca_flow_port_shared_resource_set_cfg, port,
			  DOCA_FLOW_SHARED_RESOURCE_PSP, slot, cfg);
#else
	(void)port;
	return COMPAT_ASK(call, doca_flow_shared_resource_set_cfg, DOCA_FLOW_SHARED_RESOURCE_PSP,
			  slot, cfg);
#endif
}

/* Once, before the first key. */
static inline doca_error_t compat_psp_slot_bind(struct compat_call *call,
						struct doca_flow_port *port, uint32_t slot)
{
#if COMPAT_DOCA >= 302
	(void)call;
	(void)port;
	(void)slot;
	return DOCA_SUCCESS;
#else
	return COMPAT_ASK(call, doca_flow_shared_resources_bind, DOCA_FLOW_SHARED_RESOURCE_PSP,
			  &slot, 1, port);
#endif
}

static inline doca_error_t compat_psp_slot_give(struct compat_call *call,
						struct doca_flow_port *port, uint32_t slot)
{
#if COMPAT_DOCA >= 302
	return COMPAT_ASK(call, doca_flow_port_shared_resource_put, port,
			  DOCA_FLOW_SHARED_RESOURCE_PSP, slot);
#else
	(void)call;
	(void)port;
	(void)slot;
	return DOCA_SUCCESS;
#endif
}

#endif
