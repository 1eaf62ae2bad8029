// SPDX-License-Identifier: Apache-2.0

/** Written by tools/example.ts from examples/peers.json. */

/** A configuration with every key, and what each is for. */
export const EXAMPLE = `// Everything that psp-agent can be told, with its default where it has one.
// JSON with comments and trailing commas. Durations: "10m", "1h30m", "500ms" or a number of seconds.
// Relative paths start at this file's directory. "psp-agent check --config FILE" says what is wrong.
//
// The smallest file that does something has: id, pip, plane, vips, rpc.tls and peers.
{
  // This host's name: the last part of the SPIFFE id in its certificate, or a DNS name in it.
  "id": "h1",
  // Trust domain: identities are "spiffe://<domain>/psp/<id>".
  "domain": "psp-agent.local",
  // Record of the security associations (no keys), created with mode 0700.
  "state_dir": "/var/lib/psp-agent",
  // This host's address towards the other hosts: the outer address of PSP packets.
  "pip": "192.0.2.1",
  // The MAC that workloads see as their gateway's. Must differ from the host interface's own.
  "gateway_mac": "02:50:53:50:00:01",

  // What lives on this host: addresses or prefixes, as text or with what DHCP and router
  // advertisements shall say.
  "vips": [
    "10.1.0.0/24",
    {
      "vip": "10.1.1.5",
      "mac": "02:00:00:00:01:05", // of one address, not of a prefix; absent: learned
      "gateway": "10.1.1.1", // absent: 169.254.1.1, for which the agent answers ARP
      "dns": ["10.1.1.1"]
    },
    "fd00:1::/64"
  ],

  // Tenants whose addresses have nothing to do with one another; see docs/tenants.md. What is "10.1.0.7" in the network
  // "blue" is "10.1.0.7@blue" wherever vips stand: among the vips of this host and of its peers, in logs and in status.
  "networks": [
    // {
    //   "name": "blue",
    //   "vc": 7, the number that its packets have on the wire, the same on all hosts
    //   "ports": ["blue*"], its host ports
    //   "vips": ["10.1.0.0/24"],
    //   "gateway": "10.1.0.1", "dns": ["10.1.0.53"], "mtu": 1400, for DHCP and router advertisements
    //   "policy": { "deny": ["10.2.8.0/24"] } no packet to or from there; all else is encrypted
    // }
  ],

  "plane": {
    "kind": "soft", // or "doca"
    "uplink": "p0", // towards the other hosts
    "host": "pf0vf0", // towards the workloads; or a list of names and patterns, ["vm1", "tap*"], which come and go
    // What lives behind a port of that list. Absent: learned, from whoever claims an address of this host first.
    "ports": [
      // {
      //   "name": "vm1", or a pattern
      //   "vips": ["10.1.0.7"], "mac": "02:00:00:00:01:07",
      //   "misses_per_s": 1000, flows that may begin in a second; 0: any number
      //   "misses_per_mac": 200, the same, of each MAC behind it
      //   "exceptions_per_s": 1000, "exceptions_per_mac": 50, ARP, ND and DHCP
      //   "hold_flows": 1024, "hold_bytes": 1048576 its share of what waits for tunnels
      // }
    ],
    "backend": "auto", // "openssl", "ipsec-mb" or "vaes"
    // Keeps the kernel of this host from what comes in on both interfaces, which takes CAP_NET_ADMIN.
    // "require": no start without it; "off": never.
    "host_guard": "auto",
    // "workers": 2,  threads that carry packets; absent: one for two processors, eight at most, or one for each of cpus
    // "cpus": "2-3",  where they may run; as many as workers: each on its own; absent: anywhere
    // "busy_poll_us": 50,  to look for packets before a worker sleeps: latency for processor time; absent: 0
    "max_entries": 524288, // of all tables; a tunnel needs four
    "uplink_vlan": 0 // 802.1Q tag of the uplink, 0: none
    // "next_hop_mac": "02:00:00:00:00:fe",  absent: from the exchange, or the kernel's neighbours
    // "library": "/usr/lib/psp-agent/libpsp_dp_soft.so",  another shim than the agent's own
  },
  // On a DPU:
  // "plane": {
  //   "kind": "doca",
  //   "pci": "0000:03:00.0",
  //   "representor": "pf0vf0",  or several, each a host port: ["pf0vf0", "pf0sf*"]
  //   "ports": [{ "name": "pf0vf0", "vips": ["10.1.0.5"] }],  as above
  //   "cores": "0",  or "2-5": a reader for each, of what hardware sends to the CPU
  //   "hugepages_mb": 1024,
  //   // What the device is asked for. It gets half of it when it has no memory for so much: "psp-agent status" says what is there.
  //   "max_entries": 4096,  absent: 256 for each peer, at least 4,096
  //   "max_crypto_ids": 2048,  absent: half of that
  //   "actions_memory_mb": 2,  on each port; absent: what max_entries may need
  //   "mbufs": 8192,  packet buffers
  //   "devargs": "dv_esw_en=1",  more for mlx5
  //   "dpdk_representor": "[0]",  DPDK's word for the representor, for DOCA 3.0 where the plane does not know it
  //   // What the device hands to the CPU before it encapsulates: nothing; "syn": SYNs, for psp.mss_clamp; "all": what is too
  //   // big as well, to be answered. Workloads that take their MTU from DHCP or router advertisements need neither.
  //   "inspect": "off",
  //   "flow_mode": "switch,hws,isolated,expert",  absent: the words of the release
  // },

  "psp": {
    // In order of preference; "aes-gmac-128" and "aes-gmac-256" authenticate without encrypting.
    "versions": ["aes-gcm-256", "aes-gcm-128"],
    "mode": "tunnel", // or "transport"
    // 4-octet units in clear after the IV. Absent: 5 and 10, with a virtualization cookie 7 and 12;
    // in transport mode 0, with a cookie 2.
    "crypt_offset": { "ipv4": 5, "ipv6": 10 },
    // The most that a peer may ask for: what it gets to see of packets on the way, everybody else does too. Beyond it
    // tunnels are refused (refused-crypt-offset). Absent: as above, or crypt_offset where that is more.
    "max_crypt_offset": { "ipv4": 7, "ipv6": 12 },
    "sample_rate_log2": 0, // one packet in 2^n is sampled; 0: none
    "sample_bytes": 128,
    "copy_dscp": true, // inner DSCP to the outer header
    "mss_clamp": true, // TCP segments that fit the tunnel
    "ttl": 64, // outer TTL or hop limit
    // A packet is delivered once, however often somebody sends it again: so many IVs are told apart of each receive SA
    // (1024 to 65536, 0: none). In software, from peers that say that their IVs count.
    "replay_window": 4096
    // "path_mtu": 1400: octets of IP that every way to a peer carries at most, where routers do not say so themselves
  },

  // Packets that wait for their tunnel; the oldest are dropped, and counted.
  "hold": { "packets_per_flow": 64, "bytes": 16777216, "flows": 16384 },

  // The control channel between agents: mutual TLS 1.3.
  "rpc": {
    "listen": "192.0.2.1:7443", // default: pip, port 7443
    "tls": { "cert": "h1/h1.crt", "key": "h1/h1.key", "ca": "h1/ca.crt" },
    "insecure": false, // true instead of tls: for a trial only, keys travel in clear text
    "require_pq": false, // true: only X25519MLKEM768 as key exchange; "psp-agent doctor" says whether this Deno can
    "timeout": "2s",
    "attempts": 4,
    // In, and as many out: the one that was not used for longest makes room. Absent: what the number of peers needs,
    // 256 at least.
    "max_connections": 256,
    "handshake_timeout": "5s",
    "max_message_bytes": 131072,
    // What one peer may ask for: full requests (256 tunnels) a second, and at once. A smaller one counts for its
    // tunnels, and for 16 at least. How fast this host asks others does not depend on it.
    "peer_rate": 50,
    "peer_burst": 200
  },

  // Status, metrics and the page. Beyond loopback it needs tls, with client certificates or a token. A browser resumes
  // TLS sessions, and a resumed one proves nothing: give it a token.
  "status": {
    "listen": "127.0.0.1:7480",
    "admin": false, // true: who has the token, a certificate or the socket may rotate and reload
    "origins": [] // pages that may call from a browser, such as "https://dash.example"
    // "tls": { "cert": "h1/h1.crt", "key": "h1/h1.key", "ca": "h1/ca.crt" },
    // "token_file": "status.token",
    // "loopback": "token", // "open": anybody on this host reads; absent: "token" where there is a token_file
    // The command line comes by this socket, and needs no token. Only the agent's user and root may open it ...
    // "socket": "/run/psp-agent/agent.sock",
    // "socket_group": "adm", // ... and this group
    // "metrics_listen": "192.0.2.1:7481" // /metrics, /healthz and /readyz for anybody, and nothing else
  },

  "tunnel": {
    "on_demand": true, // false: packets without a tunnel are dropped
    "restore": true, // re-establish the recorded tunnels at start
    "life": "1h",
    "life_packets": 17179869184, // packets per transmit key
    "idle": "10m",
    "grace": "5s", // how long a replaced receive SA is still accepted
    "back_off": "1s", // after a failed attempt, doubled up to back_off_max
    "back_off_max": "1m",
    // Tunnels that one peer may have: absent, an eighth of the table (131,072 with max_entries as above), or an equal
    // part where there are fewer peers than eight.
    "peer_share": 16384,
    // Tunnels that one workload's address may open; absent: an eighth of the table, and half of peer_share at most.
    "source_share": 8192
  },

  // Of the device's master key.
  "rotation": { "interval": "24h" },

  // Ids, SPIFFE ids or "sha256:<fingerprint>" of certificates that are refused whoever signed them, for status too.
  "security": { "deny": [] },

  "log": { "level": "info", "format": "text" }, // "debug", "warning", "error"; "json"

  // Where more peers come from. The first source that knows a peer says all of it: this file, then the directory's files.
  "directory": {
    // Files "*.json" in it are each a peer as below, or a list of them; they may come, change and go at any time.
    // "dir": "peers.d",
    // Records of all hosts in etcd, each written by its own host; docs/directory.md says how to bind them to their writers.
    // "etcd": {
    //   "endpoints": ["https://192.0.2.10:2379", "https://192.0.2.11:2379"],
    //   "prefix": "/psp-agent/peers/", // the rest of a key is the id of its host
    //   "tls": { "ca": "etcd-ca.crt", "cert": "etcd-h1.crt", "key": "etcd-h1.key" }, // cert and key may be absent
    //   "user": "h1", // with a password instead of a certificate of its own
    //   "password_file": "etcd.password",
    //   "register": true, // false: this host reads only
    //   "lease": "10m" // how long its record outlives it
    // }
  },

  // Who else there is, and what lives there. Where prefixes overlap the longest one wins.
  "peers": [
    {
      "id": "h2",
      "svc_address": "192.0.2.2:7443",
      "vips": ["10.2.0.0/24", "fd00:2::/64"]
    },
    {
      "id": "h3",
      "svc_address": "h3.example:7443",
      "pip": "192.0.2.3", // absent: what the exchange says
      "vips": ["10.3.0.0/24"],
      "next_hop_mac": "02:00:00:00:00:fe", // absent: as in plane
      "vc": "0x1234" // virtualization cookie of the packets that this peer sends to us
    }
  ]
}
`;
