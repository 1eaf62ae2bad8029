/* SPDX-License-Identifier: Apache-2.0 */
/* match.h: psp_dp_match and psp_dp_actions in DOCA's structs. Pure: no plane, no calls. */
#ifndef PSP_DPU_MATCH_H
#define PSP_DPU_MATCH_H

#include "hw.h"

/* Which scratch word of doca_flow_meta carries the number of the first lookup to the second: see install.c. */
#define DPU_STAGE_WORD 2u
/* And which one the number of the port from which a packet came, where there are several host ports: see forward.c. */
#define DPU_ORIGIN_WORD 1u

/* What a pipe compares where the ABI's match names a port. */
enum dpu_port_form {
	DPU_PORT_ID,   /* parser_meta: by which port it came in */
	DPU_PORT_WORD, /* the number that it carries: the CPU may have sent it on */
	DPU_PORT_NONE, /* nothing: whatever gets there is of the one host port */
};

/* The device's ports by number; the ABI's handle is one more. */
struct dpu_match_ports {
	const uint16_t *ids; /* DPDK's */
	uint32_t n;
	enum dpu_port_form form;
};

/* NULL, or why hardware cannot match it: a sentence's end. */
const char *dpu_match_check(const struct psp_dp_match *mask, bool control);

/* A mask names addresses, of the outer header or of the inner one. */
bool dpu_match_outer_ip(const struct psp_dp_match *mask);
bool dpu_match_inner_ip(const struct psp_dp_match *mask);
/* Both source and destination of the same header. */
bool dpu_match_both_ips(const struct psp_dp_match *mask);
/* enum psp_dp_l3 of the addresses that an entry matches; NONE: its families differ. */
uint32_t dpu_match_l3(const struct psp_dp_match *value, const struct psp_dp_match *mask);

/*
 * A mask in DOCA's form, for addresses of this family (enum psp_dp_l3; NONE when there are none), and the pipe's
 * match that goes with it: all bits, so that each entry brings its value.
 */
void dpu_match_template(const struct psp_dp_match *mask, uint32_t l3,
			const struct dpu_match_ports *ports, struct doca_flow_match *match,
			struct doca_flow_match *match_mask);

/* The value of an entry under a mask. ports, here and above: NULL where the mask names none. */
void dpu_match_entry(const struct psp_dp_match *value, const struct psp_dp_match *mask, uint32_t l3,
		     const struct dpu_match_ports *ports, struct doca_flow_match *match,
		     struct doca_flow_match *match_mask);

/* Narrows a match to TCP packets with SYN set, or to packets of an IP version by bits of its length field. */
void dpu_match_syn(struct doca_flow_match *match, struct doca_flow_match *match_mask);
void dpu_match_length(uint32_t l3, uint16_t value, uint16_t mask, struct doca_flow_match *match,
		      struct doca_flow_match *match_mask);

/* Size of the ICV in octets: of every version. */
#define DPU_ICV_LEN 16u

/* What fills in a template, for one IP version of the packets (enum psp_dp_l3; NONE: not known). */
struct dpu_acts_input {
	const struct psp_dp_actions *actions;
	uint32_t l3;
	uint32_t resource; /* ENCRYPT: the device's id of the key slot */
	uint16_t vlan;     /* of the uplink */
	bool routes;       /* templates: entries may route, or leave packets as they are */
};

/* NULL, or why hardware cannot do it: a sentence's end. */
const char *dpu_acts_entry(const struct dpu_acts_input *input, struct dpu_hw_acts *out);

/* The templates of a pipe with these flags; at most COMPAT_TEMPLATES_MAX. Returns their number. */
uint32_t dpu_acts_templates(const struct dpu_acts_input *input, struct dpu_hw_acts *out);

/* Which template an entry fills in, or UINT32_MAX: none fits (a header of another length). */
uint32_t dpu_acts_choose(const struct dpu_hw_shape *shape, const struct dpu_hw_acts *acts);

#endif
