/* SPDX-License-Identifier: Apache-2.0 */
/*
 * psp_dp.h: the one C ABI between the agent and a data plane.
 *
 * Rules that hold for every function:
 *  - It returns 0 or a negative PSP_DP_E...; values come back through out-params.
 *  - Memory belongs to the caller. No pointer is kept after return, none is handed over.
 *  - No callback. Events reach the caller through psp_dp_event_wait() alone.
 *  - Nothing blocks, except psp_dp_open(), psp_dp_stop() (bounded by 1 s), psp_dp_close() and psp_dp_event_wait().
 *  - Any thread may call; calls that change tables are serialised inside (one writer).
 *  - Structs start with `size` (set by the caller to sizeof) and end in `reserved` (set to 0).
 *    A size that the library does not know is PSP_DP_EINVAL.
 *  - Integers are in host order; addresses, MACs and header octets in network order.
 *    IPv4 addresses are 16 octets, v4-mapped (::ffff:a.b.c.d).
 *  - Keys go in and out of this interface in clear: the caller wipes its buffers after use, the
 *    library wipes its own.
 */
#ifndef PSP_DP_H
#define PSP_DP_H

#include <stdint.h>

#define PSP_DP_ABI_VERSION 2u

#ifdef __GNUC__
#define PSP_DP_API __attribute__((visibility("default"), warn_unused_result))
#else
#define PSP_DP_API
#endif

struct psp_dp; /* an open data plane */

enum psp_dp_status {
	PSP_DP_OK = 0,
	PSP_DP_EINVAL = -1, /* an argument is wrong; psp_dp_error_text() says which */
	PSP_DP_ENOMEM = -2, /* out of memory */
	PSP_DP_ENOENT = -3, /* no such pipe, entry, crypto id or flow */
	PSP_DP_EEXIST =
		-4, /* an entry with this match, or a pipe with this name, is there already */
	PSP_DP_ENOSPC = -5, /* a limit of the configuration is reached */
	PSP_DP_EIO = -6,    /* the device or the kernel refused */
	PSP_DP_EPERM = -7,  /* CAP_NET_RAW or CAP_NET_ADMIN is missing */
	PSP_DP_ENODEV = -8, /* no such interface or device */
	PSP_DP_EBUSY =
		-9, /* still referred to (a pipe with a pipe before it), or a poll in flight */
	PSP_DP_ECLOSED = -10, /* the plane was stopped */
	PSP_DP_ENOTSUP = -11, /* this plane or backend cannot do it */
	PSP_DP_ERANGE = -12,  /* the caller's buffer is too small; *len says what is needed */
	PSP_DP_EKEY = -13,    /* the key is in use already, or its SPIs are exhausted */
};

/* ---- version and layout ---------------------------------------------------------------------- */

/* PSP_DP_ABI_VERSION of the library. Compare before any other call. */
PSP_DP_API int32_t psp_dp_abi_version(uint32_t *abi);

/* "soft 0.1.0; backends: ipsec-mb 1.3.0, openssl 3.0.x" as UTF-8 without a terminator. */
PSP_DP_API int32_t psp_dp_version(char *buf, uint32_t cap, uint32_t *len);

/*
 * The layout of every struct below, a line each: "struct field offset size\n", and for the whole
 * struct "struct . 0 size\n". ffi/symbols.ts holds the same table; a test compares.
 */
PSP_DP_API int32_t psp_dp_layout(char *buf, uint32_t cap, uint32_t *len);

/* ---- open and close -------------------------------------------------------------------------- */

enum psp_dp_port_kind {
	PSP_DP_PORT_UPLINK =
		0, /* towards the other hosts: PSP packets, and what is left to this host's kernel */
	PSP_DP_PORT_HOST =
		1, /* towards workloads: what is to be encrypted, and what was decrypted */
};

/* Each class of events has a ring of its own: none takes another's room. */
enum psp_dp_event_class {
	PSP_DP_CLASS_MISS = 0,
	PSP_DP_CLASS_EXCEPTION = 1, /* packets that are too big, too */
	PSP_DP_CLASS_SAMPLE = 2,
	PSP_DP_CLASS_SYNDROME = 3,
	PSP_DP_CLASS_PORT = 4,
	PSP_DP_EVENT_CLASSES = 5
};

/*
 * What a plane in hardware has its CPU look at before it is encapsulated, because hardware cannot: SYNs, whose MSS is lowered
 * (mss_clamp), and packets that are too big, which are answered. It takes matches in hardware that no published program
 * has. What was held is looked at in any case.
 */
enum psp_dp_inspect {
	PSP_DP_INSPECT_OFF = 0,
	PSP_DP_INSPECT_SYN = 1,
	PSP_DP_INSPECT_ALL = 2,
};

enum psp_dp_backend {
	PSP_DP_BACKEND_AUTO = 0,
	PSP_DP_BACKEND_OPENSSL = 1,
	PSP_DP_BACKEND_IPSEC_MB = 2,
	PSP_DP_BACKEND_VAES = 3 /* its own, on processors with VAES, VPCLMULQDQ and AVX-512 */
};

/*
 * The ingress guard: a plane in software gets copies of the frames that come in. The guard drops the kernel's own, on
 * an uplink those of PSP, on a host port all of them. Where there is none, a socket keeps the kernel quiet on UDP
 * 1000, and a host port whose packets the kernel forwards is refused.
 */
enum psp_dp_guard_mode {
	PSP_DP_GUARD_AUTO = 0,    /* where it can be had */
	PSP_DP_GUARD_REQUIRE = 1, /* the port is refused without it */
	PSP_DP_GUARD_NEVER = 2,
};

/* What may come per second, and at once. per_s 0: the default; PSP_DP_RATE_NONE: without a limit. burst 0: per_s. */
#define PSP_DP_RATE_NONE UINT32_MAX
struct psp_dp_rate {
	uint32_t per_s, burst;
};
/*
 * Flows that miss: a thousand at once are a host that starts; more than the agent can ask peers for are no use.
 * Exceptions: ARP, neighbour discovery and DHCP, of which one workload needs a few.
 */
#define PSP_DP_MISS_PER_S 1000
#define PSP_DP_MISS_BURST 8000
#define PSP_DP_MISS_PER_MAC_PER_S 200
#define PSP_DP_MISS_PER_MAC_BURST 2000
#define PSP_DP_EXCEPTION_PER_S 1000
#define PSP_DP_EXCEPTION_BURST 4000
#define PSP_DP_EXCEPTION_PER_MAC_PER_S 50
#define PSP_DP_EXCEPTION_PER_MAC_BURST 200

/*
 * A port is opened by this and named by its handle from then on: 1 to n in the order in which psp_dp_open() gets them, at
 * most 65535 and never 0. That of a port that has gone comes again when 65,535 ports or more have come and gone where
 * there are few, and never before its place was given 255 times. What a plane cannot do is PSP_DP_ENOTSUP unless it is 0.
 */
struct psp_dp_port_desc {
	uint32_t size;
	uint32_t kind; /* enum psp_dp_port_kind */
	char name
		[64]; /* soft: an interface; doca: the uplink's PCI address, the host port's representor. 0-terminated */
	uint16_t vlan; /* 802.1Q VLAN id of what it carries, 0: untagged */
	uint8_t guard; /* enum psp_dp_guard_mode; soft alone */
	uint8_t pad0;
	uint32_t
		network; /* host port, soft: meta_network of what comes in; 0 is the default one, and an uplink's */
	/* Before ring and hold: a packet that would be one more flow than this is dropped as misses-limited, an exception as
	   exceptions-limited. A source MAC may share its own limit with others where there are very many. Of what a tunnel
	   brought the inner source address stands for the MAC (soft). */
	struct psp_dp_rate miss, miss_per_mac, exception, exception_per_mac;
	uint32_t
		hold_flows; /* at most so many of the plane's held flows are this port's; 0: as many as the plane has */
	uint32_t pad1;
	uint64_t hold_bytes; /* likewise of the octets held */
	uint8_t reserved[64];
};

/*
 * The bounds of every size that psp_dp_open() takes, and what 0 stands for. psp_dp_limits() tells the same, and so does
 * LIMITS in ffi/symbols.ts; nobody else has these numbers.
 */
#define PSP_DP_MAX_ENTRIES_MIN 1
#define PSP_DP_MAX_ENTRIES_DEFAULT 262144
#define PSP_DP_MAX_ENTRIES_MAX 16777216
#define PSP_DP_MAX_CRYPTO_IDS_MIN 1
#define PSP_DP_MAX_CRYPTO_IDS_DEFAULT 131072
#define PSP_DP_MAX_CRYPTO_IDS_MAX 16777216
#define PSP_DP_HOLD_PACKETS_PER_FLOW_MIN 1
#define PSP_DP_HOLD_PACKETS_PER_FLOW_DEFAULT 64
#define PSP_DP_HOLD_PACKETS_PER_FLOW_MAX 65536
#define PSP_DP_HOLD_FLOWS_MIN 1
#define PSP_DP_HOLD_FLOWS_DEFAULT 16384
#define PSP_DP_HOLD_FLOWS_MAX 1048576
#define PSP_DP_HOLD_BYTES_MIN 65536
#define PSP_DP_HOLD_BYTES_DEFAULT 16777216
#define PSP_DP_HOLD_BYTES_MAX 17179869184
#define PSP_DP_RING_BYTES_MIN 4096
#define PSP_DP_RING_BYTES_DEFAULT 1048576
#define PSP_DP_RING_BYTES_MAX 1073741824
#define PSP_DP_SAMPLE_BYTES_MIN 20
#define PSP_DP_SAMPLE_BYTES_DEFAULT 128
#define PSP_DP_SAMPLE_BYTES_MAX 2048
/* of a port */
#define PSP_DP_VLAN_MIN 0
#define PSP_DP_VLAN_DEFAULT 0
#define PSP_DP_VLAN_MAX 4094
/* doca alone */
#define PSP_DP_HUGEPAGES_MB_MIN 2
#define PSP_DP_HUGEPAGES_MB_DEFAULT 0 /* what DPDK takes by itself */
#define PSP_DP_HUGEPAGES_MB_MAX 1048576
#define PSP_DP_MBUFS_MIN 512
#define PSP_DP_MBUFS_DEFAULT 8192
#define PSP_DP_MBUFS_MAX 1048576
#define PSP_DP_ACTIONS_MEMORY_MIN 1048576
#define PSP_DP_ACTIONS_MEMORY_DEFAULT 0 /* what max_entries may need */
#define PSP_DP_ACTIONS_MEMORY_MAX 2147483648

/* of an entry that decapsulates */
#define PSP_DP_REPLAY_WINDOW_MIN 1024
#define PSP_DP_REPLAY_WINDOW_DEFAULT 4096 /* what an agent asks for by itself; 0 is no window */
#define PSP_DP_REPLAY_WINDOW_MAX 65536

#define PSP_DP_HUGEPAGES_NONE UINT32_MAX /* hugepages_mb: ordinary pages are used */
#define PSP_DP_CPUS_MAX 512
#define PSP_DP_WORKERS_MAX 64
#define PSP_DP_BUSY_POLL_US_MAX 1000
#define PSP_DP_PORTS_MAX 257 /* at one time: an uplink and 256 host ports */

/* A line each: "field min default max\n", of psp_dp_config, psp_dp_port_desc and psp_dp_actions. */
PSP_DP_API int32_t psp_dp_limits(char *buf, uint32_t cap, uint32_t *len);

/* What a plane cannot do yet is PSP_DP_ENOTSUP unless it is 0. */
struct psp_dp_config {
	uint32_t size;
	uint32_t backend;        /* enum psp_dp_backend */
	uint32_t max_entries;    /* over all pipes */
	uint32_t max_crypto_ids; /* ids are 1..max */
	uint32_t hold_packets_per_flow;
	uint32_t hold_flows; /* flows in the miss table, held or negative */
	uint64_t hold_bytes; /* over all flows */
	uint32_t ring_bytes
		[PSP_DP_EVENT_CLASSES]; /* of events not yet read, by enum psp_dp_event_class */
	uint32_t sample_bytes;          /* octets of a packet in a sample or exception event */
	uint32_t versions; /* bit n: PSP version n is accepted on receive; 0: versions 0 and 1 */
	uint8_t mss_clamp; /* 1: clamp the MSS of TCP SYNs to what fits the uplink */
	uint8_t inspect;   /* doca: enum psp_dp_inspect */
	uint8_t pad0[2];
	uint32_t
		workers; /* soft: threads that carry packets; 0: one for two processors, or for each of cpus. doca: those that
			    look at what hardware sends to the CPU, at most 16; 0: one for each of cpus */
	uint32_t busy_poll_us; /* soft: how long a worker looks for packets before it sleeps */
	uint8_t cpus
		[64]; /* bit n of octet m: workers may run on processor 8 m + n; all 0: on any (soft), on 0 (doca) */
	uint32_t queues;       /* 0: as the plane sees fit (doca: three for each worker) */
	uint32_t hugepages_mb; /* doca: memory for DPDK in MiB, or PSP_DP_HUGEPAGES_NONE */
	uint32_t mbufs;        /* doca: packet buffers */
	uint32_t pad1;
	uint64_t actions_memory; /* doca: octets for what entries do */
	char devargs[256];       /* doca: more of mlx5's devargs, "key=value,..." */
	char representor
		[64]; /* doca: DPDK's word for the representor when its name is not one, such as "pf0vf0" (DOCA 3.0) */
	char flow_mode[64]; /* doca: DOCA Flow's mode words; empty: by release */
	uint8_t gateway_mac
		[6]; /* soft: what host ports take besides broadcast and multicast; all 0: any MAC's frames */
	uint8_t pad2[2];
	uint8_t reserved[120];
};

/*
 * Opens the ports, of which one is an uplink, and draws two master keys from the kernel's random source. Packets flow only
 * after psp_dp_start(). On failure *out is NULL, nothing stays open, and err (0-terminated, cut to
 * err_cap) is one sentence: what could not be done, and why.
 */
PSP_DP_API int32_t psp_dp_open(const struct psp_dp_config *config,
			       const struct psp_dp_port_desc *ports, uint32_t n_ports,
			       struct psp_dp **out, char *err, uint32_t err_cap);

/* Starts the workers. Pipes and entries may be added before and after. */
PSP_DP_API int32_t psp_dp_start(struct psp_dp *dp);

/*
 * Ends the workers and the wait for events: the psp_dp_event_wait() in flight returns PSP_DP_ECLOSED, and so does each
 * later one. Whatever else there is stays until psp_dp_close(). A plane that has stopped does not start again; to stop it
 * again does nothing.
 */
PSP_DP_API int32_t psp_dp_stop(struct psp_dp *dp);

/*
 * Frees everything, having stopped the plane if that was not done; the handle is dead afterwards. PSP_DP_EBUSY while a
 * psp_dp_event_wait() is in flight: nothing was done then. One that is still on its way into the library is not seen
 * here: the caller stops, awaits its own wait, and closes.
 */
PSP_DP_API int32_t psp_dp_close(struct psp_dp *dp);

/* The sentence that belongs to the last failed call on this handle (any thread). */
PSP_DP_API int32_t psp_dp_error_text(struct psp_dp *dp, char *buf, uint32_t cap, uint32_t *len);

struct psp_dp_granted {
	uint32_t size;
	uint32_t max_entries;
	uint32_t max_crypto_ids;
	uint32_t hold_packets_per_flow;
	uint32_t hold_flows;
	uint32_t ring_bytes[PSP_DP_EVENT_CLASSES];
	uint32_t sample_bytes;
	uint32_t workers;
	uint32_t queues; /* doca */
	uint32_t mbufs;  /* doca */
	uint64_t hold_bytes;
	uint64_t actions_memory; /* doca */
	uint32_t features;       /* enum psp_dp_feature */
	uint32_t pad0;
	uint8_t reserved[56];
};
/* What not every plane can do. */
enum psp_dp_feature {
	PSP_DP_FEATURE_IV_START = 1u << 0, /* a key's IVs start where psp_dp_key.iv_start says */
	PSP_DP_FEATURE_IV_COUNTS =
		1u << 1, /* the IVs of a key go up one by one in the order of sealing */
	PSP_DP_FEATURE_REPLAY_WINDOW = 1u << 2, /* PSP_DP_ACTION_CHECK_REPLAY */
	PSP_DP_FEATURE_NETWORKS = 1u << 3, /* psp_dp_port_desc.network, psp_dp_match.meta_network */
};
/* What an open plane has of each size of its configuration. */
PSP_DP_API int32_t psp_dp_granted(struct psp_dp *dp, struct psp_dp_granted *granted);

enum psp_dp_guard {
	PSP_DP_GUARD_NOT_APPLICABLE =
		0, /* the kernel gets no copies: in hardware; of what is not there */
	PSP_DP_GUARD_STANDS = 1,
	PSP_DP_GUARD_ABSENT = 2, /* guard_reason says why */
	PSP_DP_GUARD_OFF = 3,    /* by the configuration */
};
enum psp_dp_guard_reason {
	PSP_DP_GUARD_NO_REASON = 0,
	PSP_DP_GUARD_NO_RIGHT = 1,  /* CAP_NET_ADMIN is missing */
	PSP_DP_GUARD_NO_KERNEL = 2, /* no netdev chains, or no owners of tables: Linux 5.12 */
	PSP_DP_GUARD_REFUSED = 3,   /* anything else */
};

struct psp_dp_port_info {
	uint32_t size;
	uint32_t kind; /* enum psp_dp_port_kind */
	uint32_t network;
	uint32_t ifindex;
	uint32_t mtu; /* octets of IP */
	uint8_t mac[6];
	uint8_t present; /* 0: its interface is not there; ifindex, mtu and mac are what they were last */
	uint8_t link_up;
	uint8_t forwards; /* host port, in software, no guard: the kernel sends its packets on in clear text,
			     1: IPv4, 2: IPv6, 3: both. Refused when the port is opened, possible after it */
	uint8_t guard;        /* enum psp_dp_guard */
	uint8_t guard_reason; /* enum psp_dp_guard_reason */
	uint8_t pad0;
	uint32_t guard_restored; /* times that it was found gone and put back */
	uint32_t
		identity; /* 1, and one more each time that the port was bound to another interface of its name */
	char name[64];
	uint64_t rx_packets,
		rx_bytes; /* soft: frames' packets, one by one within a super-frame; octets of IP */
	uint64_t tx_packets, tx_bytes;
	uint64_t tx_busy, tx_error; /* packets that found the queue full; that the device refused */
	uint64_t misses_limited, exceptions_limited;
	uint8_t reserved[64];
};
/* Puts the port's guard back, too, where it is found gone; looks at that once in half a second. */
PSP_DP_API int32_t psp_dp_port_query(struct psp_dp *dp, uint32_t port,
				     struct psp_dp_port_info *info);

/* One more port, which carries packets when this returns if the plane runs. PSP_DP_ENOTSUP: doca. */
PSP_DP_API int32_t psp_dp_port_add(struct psp_dp *dp, const struct psp_dp_port_desc *desc,
				   uint32_t *port);
/*
 * Takes a host port out: packets that came in there and are still held are dropped as drop-shutdown. PSP_DP_EBUSY while a
 * pipe or an entry forwards to it. PSP_DP_ENOTSUP: an uplink; doca.
 */
PSP_DP_API int32_t psp_dp_port_remove(struct psp_dp *dp, uint32_t port);

struct psp_dp_next_hop {
	uint32_t size;
	uint8_t via_gateway; /* 1: the address is a router's, 0: the outer address itself is on the link */
	uint8_t resolved; /* 1: mac is valid */
	uint8_t mac[6];
	uint8_t address
		[16]; /* a router's may be of the other family than the outer address (RFC 8950) */
	uint8_t source
		[16]; /* in: the packets' own outer address, for rules that go by it; all 0: none */
	uint8_t probe; /* in: 1: the kernel checks now whether a neighbour that it takes to be there is */
	uint8_t reserved[15];
};
/*
 * Where packets to an outer address leave the uplink, by the kernel's rules, routes and neighbours. Where others lead
 * elsewhere, a router of the uplink's own routes is the answer. An address that is
 * not resolved yet is being resolved when this returns: ask again. PSP_DP_ENOENT: no route over the uplink.
 */
PSP_DP_API int32_t psp_dp_next_hop_query(struct psp_dp *dp, const uint8_t pip[16],
					 struct psp_dp_next_hop *hop);

/* ---- pipes ----------------------------------------------------------------------------------- */

enum psp_dp_pipe_type { PSP_DP_PIPE_BASIC = 0, PSP_DP_PIPE_CONTROL = 1 };
enum psp_dp_domain {
	PSP_DP_DOMAIN_DEFAULT = 0,
	PSP_DP_DOMAIN_SECURE_INGRESS = 1,
	PSP_DP_DOMAIN_EGRESS = 2,
	PSP_DP_DOMAIN_SECURE_EGRESS = 3,
};
enum psp_dp_l3 { PSP_DP_L3_NONE = 0, PSP_DP_L3_IPV4 = 1, PSP_DP_L3_IPV6 = 2 };
enum psp_dp_l4 {
	PSP_DP_L4_NONE = 0,
	PSP_DP_L4_TCP = 1,
	PSP_DP_L4_UDP = 2,
	PSP_DP_L4_ICMP = 3,
	PSP_DP_L4_ICMP6 = 4
};

/*
 * What a packet is matched on; the same struct is the mask (1 bits are compared). DOCA Flow's field
 * names. The parser fills one of these per packet. `outer` is the first IP header of the packet as
 * it stands at that pipe; `inner` the IP header inside a PSP tunnel (in clear, i.e. after
 * decryption).
 */
struct psp_dp_match {
	uint32_t size;
	uint16_t parser_meta_port_id;      /* handle of the port; 0 is never one, so that a mask can
					 say "any" */
	uint8_t parser_meta_outer_l3_type; /* enum psp_dp_l3 */
	uint8_t parser_meta_outer_l4_type; /* enum psp_dp_l4 */
	uint8_t parser_meta_inner_l3_type;
	uint8_t parser_meta_psp_syndrome; /* enum psp_dp_syndrome, after decryption */
	uint16_t parser_meta_random; /* drawn anew for each packet at each pipe that masks it */
	uint32_t meta_pkt_meta;
	uint16_t outer_eth_type; /* after VLAN tags */
	uint16_t outer_l4_src_port;
	uint16_t outer_l4_dst_port;
	uint8_t outer_ip_proto;
	uint8_t outer_icmp_type;
	uint8_t outer_ip_src[16];
	uint8_t outer_ip_dst[16];
	uint8_t inner_ip_src[16];
	uint8_t inner_ip_dst[16];
	uint32_t tun_psp_spi;
	uint8_t tun_psp_nexthdr;
	uint8_t tun_psp_hdrextlen;
	uint8_t tun_psp_res_cryptofst;
	uint8_t tun_psp_s_d_ver_v;
	uint64_t tun_psp_vc;   /* 0 when V is 0 */
	uint32_t meta_network; /* of the port where the packet came in; soft alone */
	uint32_t pad0;
	uint8_t reserved[24];
};

enum psp_dp_syndrome {
	PSP_DP_SYNDROME_OK = 0,
	PSP_DP_SYNDROME_ICV = 1,
	PSP_DP_SYNDROME_BAD_TRAILER = 2
};

enum psp_dp_action {
	PSP_DP_ACTION_DECRYPT =
		1u << 0, /* sets parser_meta.psp_syndrome; the key follows from the SPI */
	PSP_DP_ACTION_DECAP =
		1u << 1, /* removes outer IP to PSP and trailer; L2 becomes eth_dst, eth_src */
	PSP_DP_ACTION_ENCAP = 1u << 2,        /* puts encap_data in front (see below) */
	PSP_DP_ACTION_ENCRYPT = 1u << 3,      /* seals with crypto_id */
	PSP_DP_ACTION_SET_PKT_META = 1u << 4, /* meta.pkt_meta = pkt_meta */
	PSP_DP_ACTION_SET_S = 1u << 5,        /* tun.psp.S = 1 (before encryption) */
	PSP_DP_ACTION_COPY_DSCP =
		1u << 6, /* with ENCAP: DSCP of the inner header outward; ECN always by RFC 6040 */
	PSP_DP_ACTION_CHECK_CRYPT_OFFSET =
		1u << 7, /* with DECAP: a packet that was sealed with another crypt offset than
			    crypt_offset is dropped as rx-crypt-offset */
	PSP_DP_ACTION_CHECK_REPLAY =
		1u
		<< 8, /* with DECAP: an authentic packet whose IV has come by this entry, or is more than
			    replay_window behind one that has taken its place, is dropped as rx-replay. For
			    senders whose IVs count: a run in the upper 24 bits, a counter below 2^35 under it */
	PSP_DP_ACTION_ROUTE =
		1u
		<< 9, /* soft: L2 becomes eth_dst, eth_src and TTL or hop limit one less, and what came in by a
			    host port may leave by one, in clear. A packet whose TTL is used up becomes an
			    exception event as it came */
};

enum psp_dp_net_type {
	PSP_DP_NET_PSP_TUNNEL = 0, /* encap_data: Ethernet | outer IP | UDP | PSP (with VC) */
	PSP_DP_NET_PSP_TRANSPORT =
		1, /* encap_data: Ethernet | UDP | PSP (with VC); the packet keeps its IP header */
};

/*
 * ENCAP takes the whole header from encap_data. The plane fills in, per packet: IPv4 total length,
 * id and checksum, IPv6 payload length and flow label, ECN, UDP length, UDP source port when it is
 * 0 there (hash of the inner 5-tuple), the PSP next header, and the IV. All else (SPI, version,
 * crypt offset, VC, TTL, addresses, MACs) stands as given; a packet shorter than the crypt offset
 * gets the offset of its own end. The UDP checksum may be 0 or right.
 */
struct psp_dp_actions {
	uint32_t size;
	uint32_t flags;         /* enum psp_dp_action */
	uint32_t crypto_id;     /* ENCRYPT */
	uint32_t pkt_meta;      /* SET_PKT_META */
	uint8_t eth_dst[6];     /* DECAP, ROUTE */
	uint8_t eth_src[6];     /* DECAP, ROUTE */
	uint8_t encap_net_type; /* enum psp_dp_net_type; for DECAP too */
	uint8_t crypt_offset; /* CHECK_CRYPT_OFFSET: 0 to 63, in units of 4 octets. A packet that is
				   shorter must have the offset of its own end, as ENCAP makes it */
	uint16_t encap_size;  /* octets of encap_data in use */
	uint8_t encap_data[176];
	uint32_t path_mtu; /* ENCAP: octets of outer IP that the way to there carries; 0: what the
			      uplink does. Longer packets are too big */
	uint32_t
		replay_window; /* CHECK_REPLAY: IVs; an entry keeps the size that it had first, and what has come,
				   also while an update leaves the check out */
	uint8_t reserved[24];
};

struct psp_dp_monitor {
	uint32_t size;
	uint8_t counter; /* 1: count packets and octets */
	uint8_t mirror; /* 1: copy to RSS as a sample event; after DECRYPT only what is authentic */
	uint8_t notify; /* 1: report as a syndrome event, rate limited per SPI */
	uint8_t pad0;
	uint8_t reserved[24];
};

enum psp_dp_fwd_type {
	PSP_DP_FWD_NONE = 0, /* pipe: decided by the entry */
	PSP_DP_FWD_PORT = 1, /* target: handle of a port */
	PSP_DP_FWD_PIPE = 2, /* target: pipe id */
	PSP_DP_FWD_RSS = 3,  /* target: enum psp_dp_rss */
	PSP_DP_FWD_DROP = 4,
	PSP_DP_FWD_KERNEL =
		5, /* uplink: left to the host's kernel, untouched; host port: dropped */
};
enum psp_dp_rss {
	PSP_DP_RSS_MISS = 0,      /* held; one miss event per flow */
	PSP_DP_RSS_EXCEPTION = 1, /* an exception event with the frame; the packet is consumed */
};
struct psp_dp_fwd {
	uint32_t size;
	uint32_t type; /* enum psp_dp_fwd_type */
	uint32_t target;
	uint32_t reserved;
};

struct psp_dp_pipe_desc {
	uint32_t size;
	char name[32]; /* 0-terminated */
	uint32_t type;
	uint32_t domain;
	uint8_t is_root;      /* one pipe per plane: all ports enter here */
	uint8_t miss_counter; /* 1: count misses */
	uint16_t pad0;
	uint32_t nr_entries; /* expected, for sizing; the pipe may grow beyond */
	uint32_t pad1;
	struct psp_dp_match
		match_mask; /* BASIC: the bits in which entries differ or agree; CONTROL: unused */
	struct psp_dp_actions
		actions; /* flags of these are applied by each entry; an entry's own values win */
	struct psp_dp_monitor monitor;
	struct psp_dp_fwd fwd;
	struct psp_dp_fwd fwd_miss;
	uint8_t reserved[64];
};

/* Creates an empty pipe. Its forward targets must be there already: downstream comes first. */
PSP_DP_API int32_t psp_dp_pipe_create(struct psp_dp *dp, const struct psp_dp_pipe_desc *desc,
				      uint32_t *pipe);

/* Removes a pipe and its entries. PSP_DP_EBUSY while another pipe forwards to it. */
PSP_DP_API int32_t psp_dp_pipe_destroy(struct psp_dp *dp, uint32_t pipe);

struct psp_dp_stats {
	uint32_t size;
	uint32_t entries;      /* pipes only */
	uint64_t packets;      /* segments of a super-frame count one by one */
	uint64_t bytes;        /* octets of IP */
	uint64_t miss_packets; /* pipes only */
	uint64_t miss_bytes;   /* pipes only */
	uint64_t last_used_ns; /* CLOCK_MONOTONIC; 0: never */
	uint8_t reserved[16];
};
PSP_DP_API int32_t psp_dp_pipe_query(struct psp_dp *dp, uint32_t pipe, struct psp_dp_stats *stats);

/* ---- entries --------------------------------------------------------------------------------- */

struct psp_dp_entry_desc {
	uint32_t size;
	uint32_t priority; /* CONTROL: 0 is looked at first */
	struct psp_dp_match match;
	struct psp_dp_match match_mask; /* CONTROL only */
	struct psp_dp_actions actions;
	struct psp_dp_monitor monitor;
	struct psp_dp_fwd fwd; /* NONE: the pipe's */
	uint8_t reserved[32];
};

/* The entry carries packets when this returns (a hardware plane waits for its completion). */
PSP_DP_API int32_t psp_dp_entry_add(struct psp_dp *dp, uint32_t pipe,
				    const struct psp_dp_entry_desc *desc, uint32_t *entry);
/* Replaces actions, monitor and fwd in one step: a packet sees the old entry or the new, never
 * neither. Match stays; counters go on. */
PSP_DP_API int32_t psp_dp_entry_update(struct psp_dp *dp, uint32_t entry,
				       const struct psp_dp_entry_desc *desc);
PSP_DP_API int32_t psp_dp_entry_remove(struct psp_dp *dp, uint32_t entry);
PSP_DP_API int32_t psp_dp_entry_query(struct psp_dp *dp, uint32_t entry,
				      struct psp_dp_stats *stats);

/* ---- lists of entries and keys ---------------------------------------------------------------- */

#define PSP_DP_LIST_MAX 1024 /* items of one call */

enum psp_dp_op {
	PSP_DP_OP_ADD =
		0, /* entries: adds desc to pipe; keys: sets key, instead of one that is there */
	PSP_DP_OP_UPDATE = 1, /* entries alone */
	PSP_DP_OP_REMOVE = 2, /* keys: clears */
	PSP_DP_OP_QUERY = 3,
};

struct psp_dp_entry_item {
	uint32_t size;
	uint32_t op;    /* enum psp_dp_op */
	uint32_t pipe;  /* ADD */
	uint32_t entry; /* given; ADD: returned, 0 when it was refused */
	int32_t status; /* returned */
	uint32_t pad0;
	struct psp_dp_stats
		stats; /* returned, but for ADD: what it has counted; size is set by the library */
	struct psp_dp_entry_desc desc; /* ADD, UPDATE */
};
/*
 * Does to each item, in order, what the function of its op does, under one hold of the tables; all are tried. Returns the
 * status of the first that was refused, which the error text is about, or PSP_DP_EINVAL for a list that is not one, of
 * which nothing was done. What is removed has counted its last packet when this returns, and `stats` has that one (in
 * hardware: but for the last tenth of a second); the call waits for the workers once, not once for each.
 */
PSP_DP_API int32_t psp_dp_entry_list(struct psp_dp *dp, struct psp_dp_entry_item *items,
				     uint32_t n);

/* ---- crypto ---------------------------------------------------------------------------------- */

struct psp_dp_key {
	uint32_t size;
	uint32_t spi;
	uint8_t version; /* PSP version 0..3 */
	uint8_t pad0[3];
	uint8_t key[32]; /* 16 octets in use for versions 0 and 2 */
	uint32_t pad1;
	uint64_t iv_limit; /* packets that may be sealed with it; 0: 2^34. Beyond: dropped as
			      tx-key-expired */
	uint64_t iv_start; /* the first IV; 0: 1. PSP_DP_ENOTSUP where a plane lacks the feature */
	uint8_t reserved[24];
};

/*
 * Gives crypto id 1..max a transmit key. Replaces in one step. No (key, IV) pair is ever used twice: a key that any id
 * of this plane holds, or has held since iv_start last grew, is PSP_DP_EKEY, and so is an iv_start below the last one,
 * or above it but among the IVs that keys were given before. Twice max_crypto_ids keys are remembered, and 65,536 at
 * least: when so many have come with one iv_start, the next is PSP_DP_ENOSPC. A greater iv_start, beyond all IVs that
 * were given, forgets them: what they could repeat is behind it. A plane without the
 * feature forgets the oldest instead, and refuses none for their number.
 */
PSP_DP_API int32_t psp_dp_crypto_set(struct psp_dp *dp, uint32_t crypto_id,
				     const struct psp_dp_key *key);
/* Wipes. Packets that still meet the id are dropped as tx-key-expired. Octets that a key has sealed are those of the
 * inner IP packets, in transport mode too. */
PSP_DP_API int32_t psp_dp_crypto_clear(struct psp_dp *dp, uint32_t crypto_id);
PSP_DP_API int32_t psp_dp_crypto_query(struct psp_dp *dp, uint32_t crypto_id,
				       struct psp_dp_stats *stats);

struct psp_dp_key_item {
	uint32_t size;
	uint32_t op; /* enum psp_dp_op, but for UPDATE */
	uint32_t crypto_id;
	int32_t status; /* returned */
	struct psp_dp_stats
		stats; /* returned: of the key that was there before; 0 where there was none */
	struct psp_dp_key key; /* ADD */
};
/* As psp_dp_entry_list(), for keys: a key that is replaced or cleared is wiped, and has sealed its last packet, when this
 * returns. The caller wipes the items. */
PSP_DP_API int32_t psp_dp_key_list(struct psp_dp *dp, struct psp_dp_key_item *items, uint32_t n);

/*
 * Derives n fresh SPIs under the active master key, and their keys. The caller advertises them and
 * wipes the array. PSP_DP_EKEY when the master key has no SPI left: rotate.
 */
PSP_DP_API int32_t psp_dp_spi_generate(struct psp_dp *dp, uint32_t version, struct psp_dp_key *keys,
				       uint32_t n);

/* Swaps the active master key and draws it anew: SPIs of the other one go on, those of the one
 * before die. */
PSP_DP_API int32_t psp_dp_master_key_rotate(struct psp_dp *dp);

struct psp_dp_master_key_info {
	uint32_t size;
	uint32_t active; /* 0 or 1: the SPI's top bit */
	uint64_t rotations;
	uint64_t spis_left; /* under the active key */
	uint8_t reserved[32];
};
PSP_DP_API int32_t psp_dp_master_key_query(struct psp_dp *dp, struct psp_dp_master_key_info *info);

/* ---- events ---------------------------------------------------------------------------------- */

enum psp_dp_event_type {
	PSP_DP_EVENT_MISS = 1, /* flow, src, dst, eth_src: the first packet of a flow is held */
	PSP_DP_EVENT_EXCEPTION = 2, /* data: the frame, from Ethernet on (cut to 2048 octets) */
	PSP_DP_EVENT_SAMPLE = 3,    /* data: the IP packet, cut to sample_bytes; spi, src, dst */
	PSP_DP_EVENT_SYNDROME =
		4, /* spi, syndrome, src/dst: the outer addresses. At most 1/s for an SPI */
	PSP_DP_EVENT_TOO_BIG =
		5, /* data: the IP packet's start; mtu: the largest that fits. Rate limited. IPv4 without
		      DF is cut instead (soft) */
	PSP_DP_EVENT_PORT =
		6, /* port: its interface has come, gone or changed (link, MTU, MAC): psp_dp_port_query() */
	PSP_DP_EVENT_PATH_MTU =
		7, /* a router could not pass on a PSP packet; spi, src, dst: that packet's; mtu: octets
		      of IP that its next link carries, 0: not said. At most 1/s for an SPI */
	PSP_DP_EVENT_SOURCE =
		8, /* src, eth_src, port: the first packet of an entry that forwards to a peer, and the first of
		      it from another MAC (soft); not what was held. At most 1/s for an address */
};

/* A record is `record_size` octets, a multiple of 8: this header, then data_len octets of data. */
struct psp_dp_event {
	uint32_t record_size;
	uint16_t type;
	uint16_t port; /* handle: where the packet came in */
	uint32_t flow; /* handle of a held flow, 0: none */
	uint32_t pipe; /* the pipe that sent it here */
	uint32_t spi;
	uint32_t packet_len; /* octets of IP (samples), of the frame (exceptions) */
	uint64_t time_ns;    /* CLOCK_REALTIME */
	uint8_t src[16];
	uint8_t dst[16];
	uint8_t eth_src[6];
	uint8_t syndrome;
	uint8_t egress; /* 1: host to net */
	uint32_t mtu;
	uint32_t data_len;
	uint32_t network; /* of the port where the packet came in */
	uint32_t pad0;
};

/*
 * Waits until there are events or timeout_ms is over (*len is 0 then; timeout 0 polls), and fills
 * buf with whole records, fairly: no class takes more than half of what is left while another waits. Blocking: the one call meant for a thread of its own. PSP_DP_EBUSY when
 * another is waiting, PSP_DP_ECLOSED once stopped. An event that finds its ring full is dropped and
 * counted (exceptions-lost, samples-lost, syndromes-lost, ports-lost); a miss is written when there is room again.
 */
PSP_DP_API int32_t psp_dp_event_wait(struct psp_dp *dp, uint8_t *buf, uint32_t cap,
				     uint32_t timeout_ms, uint32_t *len);

/* ---- held packets ---------------------------------------------------------------------------- */

/*
 * A flow is what came in by one port from one inner address to another, and missed. Where the octets of a
 * port, or of the plane, are full, the oldest packet goes: of the port, or of the port that holds most.
 */

enum psp_dp_drop_reason {
	PSP_DP_DROP_NO_PEER = 0,
	PSP_DP_DROP_PEER_UNREACHABLE = 1,
	PSP_DP_DROP_REFUSED = 2,
	PSP_DP_DROP_NO_RESOURCE = 3,
	PSP_DP_DROP_SHUTDOWN = 4,
	PSP_DP_DROP_BACK_OFF = 5,
	PSP_DP_DROP_REASONS = 6,
};

/* Resubmits a flow's held packets, in order, at the first pipe behind the root that they met (doca: where they missed). The flow's handle is
 * dead then. */
PSP_DP_API int32_t psp_dp_held_release(struct psp_dp *dp, uint32_t flow, uint32_t *packets);
/*
 * Drops a flow's held packets under a counter named for the reason, and for hold_off_ms goes on
 * dropping and counting what misses on this flow, without a new event.
 */
PSP_DP_API int32_t psp_dp_held_drop(struct psp_dp *dp, uint32_t flow, uint32_t reason,
				    uint32_t hold_off_ms, uint32_t *packets);
/* Ends the hold-off of every flow (a peer came back, the configuration changed). */
PSP_DP_API int32_t psp_dp_hold_off_clear(struct psp_dp *dp);

/*
 * Other limits of the hold, as psp_dp_open() takes them; 0: the default. Octets beyond them are dropped at once, the oldest first,
 * and no held flow is lost for its number. PSP_DP_EINVAL: out of bounds; nothing has changed then.
 */
PSP_DP_API int32_t psp_dp_hold_set(struct psp_dp *dp, uint32_t packets_per_flow, uint32_t flows,
				   uint64_t bytes);

/* ---- inject and counters --------------------------------------------------------------------- */

/* Sends one Ethernet frame out of a port, past the pipes: replies to host exceptions, ARP probes.
 */
PSP_DP_API int32_t psp_dp_inject(struct psp_dp *dp, uint32_t port, const uint8_t *frame,
				 uint32_t len);

/* Names of the counters, '\n' after each; the order is that of psp_dp_counters() and stays for the
 * handle's life. */
PSP_DP_API int32_t psp_dp_counter_names(struct psp_dp *dp, char *buf, uint32_t cap, uint32_t *len);
/* Reads at most cap values; *n is how many there are. */
PSP_DP_API int32_t psp_dp_counters(struct psp_dp *dp, uint64_t *values, uint32_t cap, uint32_t *n);

/* ---- PSP without a plane: known-answer tests and capture files ---------------------------------
 */

/* enum psp_dp_backend of the n-th usable backend on this machine (0 is preferred); PSP_DP_ENOENT
 * past the last. */
PSP_DP_API int32_t psp_dp_backend_at(uint32_t n, uint32_t *backend, char *name, uint32_t cap);

/* SP 800-108 counter mode, CMAC-AES-256, 32-bit counter in front of `fixed`. out_len: octets, at
 * most 4096. */
PSP_DP_API int32_t psp_dp_kbkdf(uint32_t backend, const uint8_t key[32], const uint8_t *fixed,
				uint32_t fixed_len, uint8_t *out, uint32_t out_len);
/* The key of an SPI under the master key that its top bit selects. Writes 16 or 32 octets. */
PSP_DP_API int32_t psp_dp_derive(uint32_t backend, const uint8_t mk0[32], const uint8_t mk1[32],
				 uint32_t spi, uint32_t version, uint8_t out[32]);

/* in: PSP header (16 octets and its extension, IV in place) and payload. out: the same sealed, and
 * the ICV. */
PSP_DP_API int32_t psp_dp_seal(uint32_t backend, const struct psp_dp_key *key, const uint8_t *in,
			       uint32_t in_len, uint8_t *out, uint32_t cap, uint32_t *len);

enum psp_dp_verdict {
	PSP_DP_VERDICT_OK = 0,
	PSP_DP_VERDICT_ICV = 1,       /* authentication failed                      rx-auth-fail */
	PSP_DP_VERDICT_MALFORMED = 2, /* header lengths contradict each other       rx-error */
	PSP_DP_VERDICT_SHORT = 3,     /* no room for header and ICV                 rx-error */
	PSP_DP_VERDICT_DISCARD = 4,   /* version not supported                      rx-bad */
	PSP_DP_VERDICT_RESERVED = 5,  /* SPI 0 or 0x80000000                        rx-bad */
	PSP_DP_VERDICT_POLICY =
		6, /* authentic, but not to be forwarded: D bit, empty, unknown next header */
};
/*
 * in: a UDP payload (PSP header to ICV). out: the same in clear, without the ICV. The verdict is
 * not an error: the call returns 0 for each of them. key->key is the SA's key. versions: bits as in
 * psp_dp_config.
 */
PSP_DP_API int32_t psp_dp_unseal(uint32_t backend, const struct psp_dp_key *key, uint32_t versions,
				 const uint8_t *in, uint32_t in_len, uint8_t *out, uint32_t cap,
				 uint32_t *len, uint32_t *verdict);

/* ---- the machine and its service manager ----------------------------------------------------- */

/*
 * What JavaScript may not read of this machine, a line each: "page-size 4096", "cap-eff 3400" (hexadecimal),
 * "memlock 8388608" (octets that may be locked without a right, or "unlimited"), "verbs N M" (files of /dev/infiniband/uverbs*,
 * and those of them that can be opened), "hugepages-mb N" (free ones, absent where the kernel has none),
 * "rmem-max 212992" and "wmem-max" (octets, absent when unknown), and for every network interface
 * "interface NAME up|down MTU" and, where the kernel forwards what comes in there, "forwards NAME BITS" (as
 * psp_dp_port_info.forwards); "guard N": whether this process could have an ingress guard, of
 * enum psp_dp_guard_reason, 0: it could; and of NVIDIA's devices "hca PCI NAME TYPE FIRMWARE BOARD" and "switch INTERFACE ID
 * PORT", "-" for what is not known. UTF-8 without a terminator. PSP_DP_ERANGE: *len says what is needed.
 */
PSP_DP_API int32_t psp_dp_host_report(char *buf, uint32_t cap, uint32_t *len);

/*
 * The names of this host's network interfaces, a line each, and nothing more of them: for who looks every second which
 * there are. UTF-8 without a terminator. PSP_DP_ERANGE: *len says what is needed. PSP_DP_EIO: the kernel says nothing.
 */
PSP_DP_API int32_t psp_dp_interfaces(char *buf, uint32_t cap, uint32_t *len);

/*
 * The calling thread, and those that it starts from then on, have the shortest turns of a processor that the scheduler gives
 * (sched_setattr(2), sched_runtime of SCHED_OTHER, Linux 6.12): as much of it as before, and sooner when they wake. For threads
 * for which packets wait. PSP_DP_ENOTSUP: the kernel has no such turns.
 */
PSP_DP_API int32_t psp_dp_short_turns(void);

/*
 * One message of sd_notify(3) to the datagram socket at path (path_len octets; '@' first: abstract).
 * Text that begins with "RELOADING=1" gets the MONOTONIC_USEC that belongs to it. Never blocks.
 * PSP_DP_EINVAL: no such kind of path; PSP_DP_EIO: nobody takes it.
 */
PSP_DP_API int32_t psp_dp_notify(const char *path, uint32_t path_len, const char *text,
				 uint32_t len);

#endif
