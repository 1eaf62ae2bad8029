/* SPDX-License-Identifier: Apache-2.0 */
/* doca_flow_crypto.h: PSP keys of the device, and the words of its crypto actions. See doca_version.h. */
#ifndef DOCA_FLOW_CRYPTO_H
#define DOCA_FLOW_CRYPTO_H

#include <stdint.h>

#include "doca_error.h"

struct doca_flow_port;
struct doca_flow_crypto_psp_spi_key_bulk;

enum doca_flow_crypto_resource_type {
	DOCA_FLOW_CRYPTO_RESOURCE_NONE = 0,
	DOCA_FLOW_CRYPTO_RESOURCE_IPSEC_SA,
	DOCA_FLOW_CRYPTO_RESOURCE_PSP,
};

enum doca_flow_crypto_action_type {
	DOCA_FLOW_CRYPTO_ACTION_NONE = 0,
	DOCA_FLOW_CRYPTO_ACTION_ENCRYPT,
	DOCA_FLOW_CRYPTO_ACTION_DECRYPT,
};

enum doca_flow_crypto_encap_action_type {
	DOCA_FLOW_CRYPTO_REFORMAT_NONE = 0,
	DOCA_FLOW_CRYPTO_REFORMAT_ENCAP,
	DOCA_FLOW_CRYPTO_REFORMAT_DECAP,
};

enum doca_flow_crypto_encap_net_type {
	DOCA_FLOW_CRYPTO_HEADER_NONE = 0,
	DOCA_FLOW_CRYPTO_HEADER_PSP_TUNNEL = 7,
	DOCA_FLOW_CRYPTO_HEADER_PSP_OVER_IPV4 = 8,
	DOCA_FLOW_CRYPTO_HEADER_PSP_OVER_IPV6 = 9,
};

enum doca_flow_crypto_key_type {
	DOCA_FLOW_CRYPTO_KEY_128 = 0,
	DOCA_FLOW_CRYPTO_KEY_256 = 1,
};

/* key: 4 or 8 words by type; read during the call that is given it. */
struct doca_flow_crypto_key_cfg {
	enum doca_flow_crypto_key_type key_type;
	uint32_t *key;
};

/* A bulk is one allocation for nr SPIs with their keys; it may be generated into again and again. */
doca_error_t
doca_flow_crypto_psp_spi_key_bulk_alloc(struct doca_flow_port *port,
					enum doca_flow_crypto_key_type type, uint32_t nr,
					struct doca_flow_crypto_psp_spi_key_bulk **bulk);
doca_error_t
doca_flow_crypto_psp_spi_key_bulk_generate(struct doca_flow_crypto_psp_spi_key_bulk *bulk);
doca_error_t doca_flow_crypto_psp_spi_key_bulk_get(struct doca_flow_crypto_psp_spi_key_bulk *bulk,
						   uint32_t at, uint32_t *spi, uint32_t *key);
doca_error_t doca_flow_crypto_psp_spi_key_wipe(struct doca_flow_crypto_psp_spi_key_bulk *bulk,
					       uint32_t at);
doca_error_t
doca_flow_crypto_psp_spi_key_bulk_clear(struct doca_flow_crypto_psp_spi_key_bulk *bulk);
doca_error_t doca_flow_crypto_psp_spi_key_bulk_free(struct doca_flow_crypto_psp_spi_key_bulk *bulk);

doca_error_t doca_flow_crypto_psp_master_key_rotate(struct doca_flow_port *port);

#endif
