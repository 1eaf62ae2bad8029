// SPDX-License-Identifier: Apache-2.0

/**
 * Every timer and bound of the core, with its unit and its reason. What an operator may set is in src/config/schema.ts;
 * what both ends of an exchange must agree in is in src/model/exchange.ts.
 */

// ---- tunnels ---------------------------------------------------------------------------------------

/** Tunnels at most; a plane with fewer entries or crypto ids has room for fewer. */
export const MAX_TUNNELS = 131_072;
/**
 * Entries of the plane that one tunnel may take: transmit, receive, receive once more while a rekey goes on, and with
 * sampling that of its crypto id.
 */
export const ENTRIES_PER_TUNNEL = 4;
/** Crypto ids: one in use, one that retires (`FlowTableOptions.retireMs`). */
export const IDS_PER_TUNNEL = 2;
/** A peer's share of the tunnels is one part in so many; so is that of a workload's address, and what is kept. */
export const SHARE_OF_TABLE = 8;
/** Receive SAs of one peer, for each of its tunnels ... */
export const SAS_PER_TUNNEL = 2;
/** ... and so many beside them: a few tunnels are rekeyed again and again. */
export const SAS_BESIDE = 256;
/** Where there is no room for a new tunnel, one goes on which nothing passed for this long ... */
export const EVICT_IDLE_MS = 30_000;
/** ... or that is up for this long, with nothing in one of the two directions ... */
export const EVICT_SILENT_MS = 500;
/** ... and fewer packets than this in the other: a scan looks so, and a flow in one direction alone does not. */
export const SILENT_PACKETS = 8n;
/** An address with so many tunnels, and twice as many as another, has that one's patience no more. */
export const MANY_TUNNELS = 8;
/** Tunnels that are passed, and that the plane is asked about, in one search for such a one. */
export const EVICT_PASSED = 1024;
export const EVICT_LOOKS = 16;
/** After a search that found none there is no other one for so long. */
export const BARREN_MS = 20;
/** How long a flow is dropped that found no room. */
export const NO_ROOM_HOLD_OFF_MS = 1000;
/** Receive SAs of one tunnel at most: beyond it the one goes that the peer least likely sends with. */
export const MAX_RX_SAS = 6;
/** What a run of IVs has room for: its counter stays below 2^35, and a receiver tells replays apart by it. */
export const MAX_LIFE_PACKETS = 2n ** 35n;
/**
 * How long a receive SA is kept that the peer may have got with a request that nobody answered; its own life may
 * end it before. An SA of the default life is over by then. Beyond it, packets with its SPI are unknown, and their
 * sender is told.
 */
export const MAYBE_MS = 3_600_000;
/** Receive SAs of one peer that it may have, at most; beyond them the oldest go. */
export const MAX_MAYBE_SAS = 1024;
/** A flow to nowhere is dropped without asking again for this long. */
export const NO_PEER_HOLD_OFF_MS = 10_000;

// ---- asking ----------------------------------------------------------------------------------------

/** How long an operator's question of a packet's way waits for the peer: what is known here is told then. */
export const EXPLAIN_TIMEOUT_MS = 2000;
/** Such questions under way at a time: a page asks one each second. */
export const EXPLAIN_ASKS = 8;
/** Tunnels are looked at for lost long packets: outer addresses in a second, and tunnels to one of them at a time. */
export const LOSS_ADDRESSES = 64;
export const LOSS_TUNNELS = 8;
/** So many missing packets mean something. */
export const LOSS_PACKETS = 3n;
/** Octets of an inner packet that is long, on average; no path need carry less than 576 of IPv4. */
export const LOSS_LONG = 500n;
/** Who sends packets of so many octets on average may have long ones among them. */
export const LOSS_SUSPECT = 200n;
export const LOSS_TIMEOUT_MS = 2000;
/** Who sends, and heard nothing for so long before that, may not be reached. */
export const LOSS_MISSED_NS = 3_000_000_000n;
/** For so long everything that is sent to a peer is suspect: some of it is missing, or the peer misses something. */
export const LOSS_DOUBT_MS = 30_000;
/** Peers that are being asked at a time. */
export const LOSS_ASKS = 8;
/** An outer address is left alone for so long when nothing was missing, when something was, and when its peer does not count. */
export const LOSS_QUIET_MS = 15_000;
export const LOSS_AGAIN_MS = 4_000;
export const LOSS_MUTE_MS = 600_000;
/** Between two tries of a request: this at first, doubling ... */
export const RETRY_FIRST_MS = 100;
/** ... up to this. */
export const RETRY_MAX_MS = 1000;
/** How long a request goes on after the first refusal for the rate: the packets behind it are held meanwhile. */
export const RATE_PATIENCE_MS = 10_000;
/**
 * How long a request that was given up may be asked again with the same id: a responder keeps its answer for two
 * minutes from when it first came (`MEMORY_MS`), and the last tries of this one take their time.
 */
export const REPEAT_MS = 100_000;
/** Requests that nobody answered and that a tick looks at, whether they can still be asked again. */
export const UNANSWERED_LOOKS = 256;
/** How long a tunnel that a peer refused is left alone, at most. */
export const REFUSED_HOLD_OFF_MAX_MS = 10_000;
/**
 * Hosts learn of an address that moved one after the other, within this time: until then a tunnel that its new owner
 * refuses, or that the old one still has, is asked for again ...
 */
export const SETTLE_MS = 30_000;
/** ... this often. */
export const SETTLE_RETRY_MS = 300;
/** A peer with live tunnels is never left alone for longer: what expired must heal soon. */
export const LIVE_BACK_OFF_MAX_MS = 4000;
/**
 * ... and one that may send into nothing for less: what this host does not know of, the peer may know. Together
 * with the last try of an exchange traffic is back in some two seconds.
 */
export const UNHEARD_BACK_OFF_MAX_MS = 700;
/** How long held packets wait for a peer that said that it stops to come back. */
export const PATIENCE_MS = 15_000;
/** Between tries towards such a peer. */
export const PATIENT_RETRY_MS = 250;
/** A peer's recovery ends the hold-off of every flow, this often at most. */
export const CLEAR_HOLD_OFF_MS = 1000;

/**
 * Full requests a second, and at once: what `rpc.peer_rate` and half of `rpc.peer_burst` are by default. Not what
 * this host's own configuration says: that is for those who ask here. The other half is for repeated requests.
 */
export const PACE_RATE = 50;
export const PACE_BURST = 100;
/**
 * A peer that refuses for the rate is asked this often at first: an agent that counts requests, whatever is in
 * them, allows 50 a second. Twice as long after each refusal, up to the second.
 */
export const SLOW_FIRST_MS = 25;
export const SLOW_MAX_MS = 1000;
/** Without a refusal for so long, the peer is asked at full speed again. */
export const SLOW_FOR_MS = 10_000;

// ---- how much at a time ----------------------------------------------------------------------------

/**
 * Calls to peers that are under way at one time: this many at first, and between these two as answers come in time. A
 * call costs some 2 ms of the one JavaScript thread with its handshake, 0.3 ms without (bench/exchange.ts).
 */
export const WINDOW_FIRST = 32;
export const WINDOW_MIN = 8;
export const WINDOW_MAX = 128;
/** Of these, calls that need a handshake. All may be answered in the same moment, and the loop stands still for that. */
export const SHAKING_FIRST = 8;
export const SHAKING_MIN = 4;
export const SHAKING_MAX = 64;
/** Calls that begin at once, before the rest of the loop has its turn. */
export const BURST = 4;
/** While calls are under way: between two looks how late the loop is, and what is too late. */
export const LOOK_MS = 10;
export const LOOK_LATE_MS = 15;
/** A call that has no answer after this long costs this host nothing any more, and takes nobody's place. */
export const CALL_COUNTS_MS = 250;
/**
 * Tunnels in them: each has an SPI, a key and an entry that wait for an answer, and takes some 50 us of the loop when it
 * comes. All may be answered in the same moment.
 */
export const TUNNELS_IN_FLIGHT = 512;
/** How long a request with held packets may take of this host's one thread, which is about what it takes of the peer's. */
export const URGENT_MS = 5;
/** The part that the newest request has in what a tunnel takes on average. */
export const COST_SHARE = 0.25;
/** Handshakes begun in a second: at first, and between these two. */
export const HANDSHAKES_FIRST = 200;
export const HANDSHAKES_MIN = 25;
export const HANDSHAKES_MAX = 800;
/** One place in so many goes to the least urgent work. */
export const SCHEDULE_SHARE = 8;
/** The event loop lags when a tick comes so late. */
export const LAG_MS = 100;
/** How often a call is begun again for this host's own fault before it counts all the same. */
export const MAX_FORGIVEN = 30;
/** Of a deadline, how much lag makes a call that ran out this host's own failure. */
export const LAG_SHARE = 0.25;

// ---- answering -------------------------------------------------------------------------------------

/** How long an answer is kept: longer than any initiator goes on asking. */
export const MEMORY_MS = 120_000;
/**
 * The receiver goes on accepting this long after the sender has to stop: for the sender the life of a key begins when it is told of
 * it, and a repeated request, or the answer to it, tells of one that was derived as long ago as this.
 */
export const LIFE_MARGIN_MS = MEMORY_MS;
/** Tunnels in the answers kept for one peer at most; beyond it the oldest answers go. */
export const MEMORY_TUNNELS_PER_PEER = 65_536;
/**
 * A peer that was not heard on a tunnel that it asked for is asked after this long: its first packet, its own
 * confirmation and its first repeated request come before, and a host that gave up is not silent for longer.
 */
export const UNHEARD_ASK_MS = 1500;
/** ... and up to this much later, at random: many tunnels that came in one storm are not asked for in one. */
export const UNHEARD_SPREAD_MS = 250;
/** ... and for all peers; beyond it the oldest answers to the peer with most of them go. */
export const MEMORY_TUNNELS = 131_072;
/**
 * While this host is late and has tunnels with others, a peer that asked for so much in the last second waits: full
 * requests, of which each takes the one JavaScript thread for up to a tenth of a second.
 */
export const CROWDED_RATE = 4;
/** All peers together may ask this many times as often as one; as much again is kept, an equal part for each. */
export const ALL_PEERS_FACTOR = 40;

// ---- boot epochs -----------------------------------------------------------------------------------

/**
 * How long an earlier epoch is refused after a later one was last heard. Beyond it, a lower epoch is a
 * peer that lost both its record and its clock, not a message that was under way.
 */
export const STALE_MS = 10 * 60_000;
/**
 * The same after an epoch that lies in the future: a clock was wrong, so that the order says little, and only what
 * is under way at this moment need be kept out.
 */
export const STALE_FUTURE_MS = 15_000;
/** An epoch is the wall clock of a start or later; clocks of hosts may differ by this much. */
export const CLOCKS_DIFFER_MS = 60 * 60_000;

// ---- where peers are -------------------------------------------------------------------------------

/** How long whoever was at a place before has to answer. */
export const PLACE_TIMEOUT_MS = 2000;
/** How long what was found stands, whoever says the same again. */
export const VERDICT_MS = 10_000;
/** Between two questions about one peer, at least. */
export const ASK_AGAIN_MS = 1000;
/** Places that are remembered of one peer. */
export const MAX_PLACES = 8;

// ---- notices ---------------------------------------------------------------------------------------

/** At most one notice per peer in this time. */
export const NOTICE_INTERVAL_MS = 1000;
/** SPIs or pairs in one notice at most; what is beyond comes with the next packets. */
export const NOTICE_ITEMS = 256;
/** ... and SPIs that are confirmed: as many as one message may have. */
export const NOTICE_CONFIRMED = 4096;
/** A packet confirms as well, and most tunnels are opened for one: only silent ones are told of. */
export const CONFIRM_AFTER_MS = 250;
/** Notices that one tick sends at most. */
export const NOTICES_AT_ONCE = 512;
/** What did not arrive is told so often, each time after twice as long. */
export const NOTICE_TRIES = 5;
/** How long a notice may take. */
export const NOTICE_TIMEOUT_MS = 1000;
/** ... and the last one, which the end of the agent waits for. */
export const DRAINING_TIMEOUT_MS = 500;
/** More peers than this are told only where a connection stands: handshakes take what the end has no time for. */
export const DRAINING_COLD = 64;
/** A peer goes on receiving for `DRAIN_MS` after it said that it stops: hold a little before. */
export const HOLD_AFTER_MS = 250;

/** A tunnel that carried a packet within this time, or came up, is in use: the connection to its peer stays. */
export const IN_USE_MS = 60_000;
/** Peers beyond these are connected to when a packet needs them: connections are not free on either side. */
export const WARM_PEERS = 64;
/** The first calls are spread over this long for each peer, so that many do not begin at one instant. */
export const WARM_SPREAD_MS = 10;
/** Between two calls while all is well: often enough that nothing on the way forgets the connection. */
export const WARM_INTERVAL_MS = 60_000;
/** After a call that failed: this at first, doubling ... */
export const WARM_RETRY_FIRST_MS = 250;
/** ... up to this. */
export const WARM_RETRY_MAX_MS = 30_000;
/** How long such a call may take. */
export const WARM_TIMEOUT_MS = 2000;

// ---- rotation --------------------------------------------------------------------------------------

/** Fewer SPIs left than this, or than an eighth of a fresh key's: rotate, whatever the schedule says. */
export const SPIS_LOW = 1n << 24n;
/** A peer that failed for so long is gone: its SAs do not hold up a rotation. */
export const GONE_MS = 60_000;
/** SAs that were under way during a rotation are found within this time. */
export const RECHECK_MS = 1000;
/** Peers and tunnels on the key before that a tick looks at again: less than a millisecond. */
export const RECHECKED_AT_ONCE = 1024;
/** Peers are asked within this time after a rotation, one after the other ... */
export const ROTATION_JITTER_MS = 500;
/** ... or, where they are many, within so much for each of them. */
export const ROTATION_JITTER_PER_PEER_MS = 0.5;

// ---- the core as a whole ---------------------------------------------------------------------------

/** Between two looks. Limits are kept to this. */
export const TICK_MS = 250;
/** Tunnels looked at in a tick at least; with more than this a round takes `ROUND_TICKS`. */
export const POLLED = 256;
/** ... and at most, which is some 2 ms of work: a round of very many takes longer. */
export const POLLED_MAX = 512;
export const ROUND_TICKS = 40;
/** Counters of a tunnel are written to the record this often at most. */
export const RECORD_COUNTERS_MS = 60_000;
/** What concerns very many tunnels is done in slices of this length, with this between them ... */
export const SLICE_MS = 5;
export const SLICE_GAP_MS = 10;
/** ... and no further while so many exchanges wait for a place. */
export const SLICE_WAITING = 64;
/** Tunnels whose time has come that are looked at at once: some 5 ms of work. */
export const DUE_AT_ONCE = 256;
/** Rows of the record that are written at once: some 5 ms of work. */
export const RECORDED_AT_ONCE = 256;
/** Tunnels of the last run that are not there yet and that a tick looks at again: less than a millisecond. */
export const RESTORED_AT_ONCE = 1024;
/** The packet that confirms a tunnel may have come since the last look: so many are looked at for one status. */
export const STATUS_LOOKS = 256;
/** Peers that are told of at a time where all of them are asked for: about a millisecond. */
export const PEERS_AT_ONCE = 256;
/** Addresses of control channels kept of one peer: its own, as named and as seen, and what it had before. */
export const MAX_CONTROLS = 8;
/** How long this host goes on receiving after it told its peers that it stops. */
export const DRAIN_MS = 400;
/** How long work under way may take to end. */
export const STOP_MS = 500;

/** A peer that was heard so recently is up, as status shows it. */
export const PEER_UP_MS = 300_000;
