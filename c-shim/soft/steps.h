/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steps.h: the steps of the soft plane that change a frame. Pure functions over the caller's buffers: no sockets, no
 * tables, no clock. The engine (run.c) decides which step comes when.
 */
#ifndef PSP_SOFT_STEPS_H
#define PSP_SOFT_STEPS_H

#include "../common/packet.h"
#include "../psp/crypto.h"
#include "encap.h"
#include "frame.h"
#include "stats.h"

#define SOFT_SEGMENTS_MAX 64u /* the kernel's limit on a UDP super-frame that we send */

/* The transmit key of a crypto id. next_iv is shared by workers, where there are several; everything else is read-only while published. */
struct soft_tx_key {
	uint32_t spi;
	uint32_t version;
	bool alone; /* one thread seals with it: no IV is taken by another at the same time */
	struct psp_aead_key *aead;
	uint64_t iv_last; /* IVs up to it may be used */
	_Atomic uint64_t next_iv;
	struct soft_stats stats;
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

/* Room for what is made of frames. */
struct soft_arena {
	uint8_t *at;
	uint32_t left;
};

/* Where frames are made, and who takes them. */
struct soft_out {
	struct soft_arena *arena;
	/*
	 * Called for each finished frame. Its parts lie in the arena from where that stood, which the callee moves on
	 * to keep them, or in the packet that is at work. 0 or a negative status.
	 */
	int32_t (*send)(void *arg, const struct soft_frame *frame);
	void *arg;
	/*
	 * Packets of so many octets of UDP payload each that the next frame of a super-frame may have, so that it goes on in one
	 * that stands before it; 0: as many as fit. NULL: nobody says.
	 */
	uint32_t (*room)(void *arg, uint32_t len);
};

/*
 * Completes checksums, cuts a super-frame into packets of gso_size, encapsulates and seals each by
 * packet->encap (and set_s) with key, and hands the result to out->send as UDP super-frames of at most
 * SOFT_SEGMENTS_MAX segments and 65,535 octets (all segments of equal length but the last), or as single frames.
 * IVs are reserved before anything is sealed. max_ip: octets of IP that fit the uplink. An inner UDP
 * super-frame (USO) is cut like a TCP one. The arena has DP_FRAME_MAX octets left whenever a frame is begun:
 * FAILED when it has not.
 */
enum soft_seal_status soft_seal(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
				struct dp_packet *packet, struct soft_tx_key *key, uint32_t max_ip,
				struct soft_out *out);

/*
 * Cuts a received UDP super-frame of PSP packets into single packets that share its buffer, for at most
 * SOFT_SEGMENTS_MAX * 2 calls of each(): every one has parsed fields of its own. A single packet: one call.
 * When its each() has returned, the headers of the next one are written over the last octets of a segment. They come
 * back when that one is opened by soft_decap(), or its each() has returned: until then nothing is sent. In transport mode they
 * do not (`tail` says how many): the others stay.
 */
void soft_cut(struct dp_packet *packet, void (*each)(void *arg, struct dp_packet *segment),
	      void *arg);

/*
 * Builds segments [first, first + count) of a TCP or UDP super-frame as a frame of its own in buf (of
 * DP_HEADROOM + DP_FRAME_MAX octets), with a partial checksum.
 */
void soft_split(const struct dp_packet *whole, uint32_t first, uint32_t count, uint8_t *buf,
		struct dp_packet *piece);

/* A super-frame of a workload's own tunnel: where its inner packets lie, from the frame's start. */
struct soft_tunnelled {
	uint32_t l3_off,
		payload_off; /* of the inner IP header, and behind the inner TCP or UDP header */
	uint32_t count;      /* packets */
	bool udp;            /* the outer header behind IP is UDP's */
};

/*
 * Is a frame that dp_parse() refused such a super-frame: UDP or IP in IP, with a partial checksum of an inner TCP or UDP header,
 * about which its segmentation is?
 */
bool soft_tunnelled_read(const struct dp_packet *packet, struct soft_tunnelled *out);

/*
 * Builds its nth packet as a frame of its own in buf (of DP_HEADROOM + DP_FRAME_MAX octets), with full checksums, not parsed.
 * A wrong IPv4 header checksum stays wrong.
 */
void soft_tunnelled_packet(const struct dp_packet *whole, const struct soft_tunnelled *how,
			   uint32_t nth, uint8_t *buf, struct dp_packet *piece);

/*
 * How many packets of at most max_ip octets an IPv4 packet is cut into as a router would, or all packets of a super-frame
 * together; 0: it may not be (DF), or it is no IPv4.
 */
uint32_t soft_fragments(const struct dp_packet *packet, uint32_t max_ip);

/*
 * Cuts what soft_fragments() counts; its checksum is completed first. Each piece lies in bufs[0], is parsed, has the
 * packet's encap, and is dead when its each() returns; a packet of a super-frame lies in bufs[1] meanwhile. Both have
 * DP_HEADROOM + DP_FRAME_MAX octets.
 */
typedef void soft_piece_fn(void *arg, struct dp_packet *piece);
void soft_fragment(struct dp_packet *packet, uint32_t max_ip, uint8_t *bufs[2], soft_piece_fn *each,
		   void *arg);

/*
 * Makes the ICMP error for a packet that is longer than mtu octets of IP: a frame in buf (of DP_HEADROOM + DP_FRAME_MAX
 * octets), not parsed, from where the packet goes to where it comes from, also by its Ethernet addresses. False: none may be
 * sent (it is such an error itself, or a later fragment), or it is no IP.
 */
bool soft_too_big(const struct dp_packet *packet, uint32_t mtu, uint8_t *buf,
		  struct dp_packet *error);

/*
 * Opens a PSP packet in place. Sets verdict, psp, fields.parser_meta_psp_syndrome (verdict ICV: 1; SHORT,
 * MALFORMED, DISCARD or RESERVED: 2) and, when the verdict is OK or POLICY, inner_off, fields.inner_* (tunnel)
 * and fields.tun_psp_vc, and cuts len to the end of the payload.
 * A non-zero outer UDP checksum that the kernel does not vouch for is verified; a wrong one is false, as is a
 * failure of the library, and the packet is to be dropped (rx-error).
 */
bool soft_decrypt(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
		  const struct psp_aead_key *key, uint32_t versions, struct dp_packet *packet);
/* The same where packet->psp has been parsed from its `len` octets of UDP payload, it is single, and inner_off is 0. */
bool soft_decrypt_known(const struct psp_crypto_backend *backend, struct psp_crypto *crypto,
			const struct psp_aead_key *key, struct dp_packet *packet, uint32_t len);

/*
 * Turns an opened packet into the inner frame, in place: new Ethernet header from strip, ECN combined by
 * RFC 6040; transport mode: the outer IP header with length, protocol and checksum mended. Parses it again.
 * meta.pkt_meta stays. False: it must be dropped (CE on a packet that is not ECN capable, contradictory lengths,
 * another mode or IP version than the next header says, or a verdict that is not OK).
 */
bool soft_decap(struct dp_packet *packet, const struct soft_strip *strip);

/*
 * Joins consecutive TCP segments of one flow (in order, same flags, equal size but the last) to one TSO
 * super-frame, and UDP datagrams of one flow and size likewise to a USO one. Everything else passes through in order, and
 * so does what has a wrong checksum: the super-frame's would be right. Payloads stay where they are until the joiner is
 * flushed; the last octets that a packet will lose (`tail`) are copied to the arena, which has SOFT_JOIN_ROOM left at
 * each call. A status is that of the send() that failed.
 */
#define SOFT_JOIN_ROOM 1024u
#define SOFT_JOIN_PARTS 2u /* that a packet adds at most */
struct soft_join {
	struct soft_out *out;
	struct dp_packet head; /* the first, and the length of all; head.len 0: nothing */
	uint32_t next_seq;     /* TCP */
	uint16_t segments;
	bool closed;
	uint32_t n_parts;
	struct iovec parts[SOFT_FRAME_PARTS_MAX];
};
int32_t soft_join_add(struct soft_join *join, const struct dp_packet *packet);
int32_t soft_join_flush(struct soft_join *join);

#endif
