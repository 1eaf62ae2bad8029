/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet.h: a frame on its way through the soft plane, and the steps that change it. Pure functions over
 * the caller's buffers: no sockets, no tables, no clock. The engine (run.c) decides which step comes when.
 *
 * The unit of work is a super-frame: one Ethernet frame of up to 64 KiB that stands for several packets
 * (TSO from a workload, UDP segmentation from a peer). It is parsed and matched once.
 */
#ifndef PSP_SOFT_PACKET_H
#define PSP_SOFT_PACKET_H

#include <stdbool.h>

#include "../psp/crypto.h"
#include "../psp/wire.h"
#include "../psp_dp.h"

#define SOFT_HEADROOM 256u    /* octets in front of each received frame that belong to it */
#define SOFT_FRAME_MAX 65550u /* Ethernet header and 64 KiB - 1 of IP */
#define SOFT_SEGMENTS_MAX 64u /* the kernel's limit on a UDP super-frame that we send */

enum soft_gso { SOFT_GSO_NONE = 0, SOFT_GSO_TCP4 = 1, SOFT_GSO_TCP6 = 2, SOFT_GSO_UDP = 3 };

/*
 * One owner at a time. `frame` points into a buffer that the owner of the packet keeps alive and that has
 * SOFT_HEADROOM free octets before it. VLAN tags were taken off by the port. Offsets count from `frame`.
 */
struct soft_packet {
	uint8_t *frame;
	uint32_t len;      /* Ethernet to the end of IP: padding is cut off by soft_parse() */
	uint8_t port;      /* enum psp_dp_port where it came in */
	uint8_t gso;       /* enum soft_gso */
	uint16_t gso_size; /* payload octets of each segment but the last */
	bool needs_csum; /* the L4 checksum is partial: complete it before anything leaves sealed */
	bool csum_valid; /* the kernel vouches for the L4 checksum */
	uint16_t csum_start;  /* where summing starts, from `frame` */
	uint16_t csum_offset; /* where it is stored, from csum_start */
	uint16_t vlan_tci;    /* 0: untagged */

	/* set by soft_parse() */
	uint16_t l3_off, l4_off,
		payload_off; /* payload: after the TCP or UDP header; l4_off when there is none */
	bool fragment;       /* any fragment of an IP packet, also the first */
	struct psp_dp_match fields;

	/* set by soft_decrypt() */
	struct psp_header psp; /* valid when the PSP header parsed */
	uint16_t inner_off;    /* tunnel: inner IP header; transport: L4 header */
	uint8_t verdict;       /* enum psp_dp_verdict */

	/* set by the engine as actions are met, consumed by soft_seal() */
	const struct psp_dp_actions *encap;
	bool set_s;
};

/*
 * Reads Ethernet, IP (options, extension headers), L4, ND; fills fields and offsets and cuts Ethernet padding.
 * fields.outer_* describe the first IP header; a PSP packet (UDP 1000, not a later fragment) also gets tun_psp_*.
 * False: too short or contradictory to be forwarded, a wrong IPv4 header checksum included (a frame that is
 * merely not IP is true, with l3_type NONE). A fragment has no ports, and l4_type NONE.
 */
bool soft_parse(struct soft_packet *packet);

/* The transmit key of a crypto id. next_iv is shared by workers; everything else is read-only while published. */
struct soft_tx_key {
	uint32_t spi;
	uint32_t version;
	struct psp_aead_key *aead;
	uint64_t iv_limit; /* IVs 1..iv_limit may be used */
	_Atomic uint64_t next_iv;
	_Atomic uint64_t packets, bytes, last_used_ns;
};

enum soft_seal_status {
	SOFT_SEAL_OK = 0,
	SOFT_SEAL_EXPIRED = 1, /* the key has too few IVs left: nothing of the packet may leave */
	SOFT_SEAL_TOO_BIG =
		2, /* a packet, or a segment of a super-frame, does not fit max_ip with its overhead */
	SOFT_SEAL_FAILED =
		3, /* the crypto library failed: what out->send got before was sealed, nothing more leaves */
	SOFT_SEAL_MALFORMED =
		4 /* encap_data, the packet or the key contradict themselves or each other */
};

/* Frames ready to be sent with their virtio-net header; written by soft_seal() and soft_join_*(). */
struct soft_out {
	uint8_t *buf; /* caller's: one frame at a time is built here */
	uint32_t cap; /* at least SOFT_FRAME_MAX + SOFT_HEADROOM */
	/* Called for each finished frame; frame is valid during the call only. 0 or a negative status. */
	int32_t (*send)(void *arg, const struct soft_packet *frame);
	void *arg;
};

/*
 * Completes checksums, cuts a super-frame into packets of gso_size, encapsulates and seals each by
 * packet->encap (and set_s) with key, and hands the result to out->send as UDP super-frames of at most
 * SOFT_SEGMENTS_MAX segments and 65,535 octets (all segments of equal length but the last), or as single frames.
 * IVs are reserved before anything is sealed. max_ip: octets of IP that fit the uplink. An inner UDP
 * super-frame (USO) is cut like a TCP one.
 */
enum soft_seal_status soft_seal(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
				struct soft_packet *packet, struct soft_tx_key *key,
				uint32_t max_ip, struct soft_out *out);

/*
 * Cuts a received UDP super-frame of PSP packets into single packets that share its buffer, for at most
 * SOFT_SEGMENTS_MAX * 2 calls of each(): every one has parsed fields of its own. A single packet: one call.
 * A segment is dead when its each() returns: the headers of the next one are written over its end.
 */
void soft_cut(struct soft_packet *packet, void (*each)(void *arg, struct soft_packet *segment),
	      void *arg);

/*
 * Opens a PSP packet in place. Sets verdict, psp, fields.parser_meta_psp_syndrome (verdict ICV: 1; SHORT,
 * MALFORMED, DISCARD or RESERVED: 2) and, when the verdict is OK or POLICY, inner_off, fields.inner_* (tunnel)
 * and fields.tun_psp_vc, and cuts len to the end of the payload.
 * A non-zero outer UDP checksum that the kernel does not vouch for is verified; a wrong one is false, as is a
 * failure of the library, and the packet is to be dropped (rx-error).
 */
bool soft_decrypt(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		  const struct psp_aead_key *key, uint32_t versions, struct soft_packet *packet);

/*
 * Turns an opened packet into the inner frame, in place: new Ethernet header from actions, ECN combined by
 * RFC 6040; transport mode: the outer IP header with length, protocol and checksum mended. Parses it again.
 * meta.pkt_meta stays. False: it must be dropped (CE on a packet that is not ECN capable, contradictory lengths,
 * another mode or IP version than the next header says, or a verdict that is not OK).
 */
bool soft_decap(struct soft_packet *packet, const struct psp_dp_actions *actions);

/*
 * Joins consecutive TCP segments of one flow (in order, same flags, equal size but the last) to one TSO
 * super-frame. Everything else passes through in order, and so does a segment whose TCP checksum is wrong: the
 * super-frame's would be right. The joiner's buffer is `out->buf`. A status is that of the send() that failed.
 */
struct soft_join {
	struct soft_out *out;
	struct soft_packet head; /* what has been joined so far; head.len 0: nothing */
	uint32_t next_seq;
	uint16_t segments;
	bool closed;
};
int32_t soft_join_add(struct soft_join *join, const struct soft_packet *packet);
int32_t soft_join_flush(struct soft_join *join);

/* Lowers the MSS option of a TCP SYN to what max_inner allows (checksum mended). True when it changed. */
bool soft_mss_clamp(struct soft_packet *packet, uint32_t max_inner);

/* Number of packets that this frame stands for. */
uint32_t soft_segments(const struct soft_packet *packet);

/* Octets that encap_data adds to an inner IP packet: outer IP to PSP header, and the ICV. */
uint32_t soft_overhead(const struct psp_dp_actions *encap);

/* Symmetric-free hash of the inner 5-tuple (addresses, protocol, ports; fragments: without ports). */
uint32_t soft_flow_hash(const struct soft_packet *packet);

#endif
