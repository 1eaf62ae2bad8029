/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare() */
/* What a worker's queue makes of frames: which packets leave as one super-frame, in which order, and how they are counted. */
#include "soft_packet_frames.h"
#include "soft_packet_key.h"
#include "soft_port_link.h"

#include "../soft/soft.h"

static struct psp_dp *dp;
static struct soft_link uplink;
static struct soft_worker worker;
static struct soft_tx_key key;
static uint8_t octets[SOFT_QUEUE_OCTETS], in_buf[BUF_LEN];

static int32_t to_queue(void *arg, const struct soft_frame *frame)
{
	soft_queue_sealed(&worker, frame, arg);
	return 0;
}

static uint32_t room(void *arg, uint32_t len)
{
	return soft_queue_room(&worker.queue, arg, len);
}

static bool set_up(void)
{
	dp = plane_alloc();
	if (dp == NULL || !open_both(0, 0) || !key_make(&key, 0))
		return false;
	uplink = (struct soft_link){.port = a};
	dp->uplink = &uplink;
	worker.dp = dp;
	soft_queue_init(&worker.queue, octets);
	return true;
}

static void tear_down(void)
{
	key_drop(&key);
	close_both();
	free(dp);
}

static void seal_with(struct soft_tx_key *with, const struct frame_spec *spec,
		      const struct encap_spec *encap)
{
	struct psp_dp_actions actions;
	struct dp_packet packet;
	struct soft_sealing sealing = {.key = with, .tunnel = !encap->transport};
	struct soft_out out = {&worker.queue.arena, to_queue, &sealing, room};

	make_encap(&actions, encap);
	make_frame(&packet, in_buf, spec);
	CHECK(dp_parse(&packet));
	packet.encap = encap_of(&actions);
	sealing.flow = dp_flow_hash(&packet);
	CHECK_EQ(soft_seal(backend, crypto, &packet, with, 1500, &out), SOFT_SEAL_OK);
}

static void seal(const struct frame_spec *spec, const struct encap_spec *encap)
{
	seal_with(&key, spec, encap);
}

/* Packets of the next frame on the wire; 0: none has come. The first of them opens. */
static uint32_t receive_one(uint64_t *iv)
{
	struct dp_packet got;

	if (receive(b, &got, WAIT_MS) != 1 || !dp_parse(&got))
		return 0;
	*iv = psp_get64(got.frame + got.payload_off + 8);
	return dp_segments(&got);
}

static uint64_t counter(enum dp_counter which)
{
	return dp_counter_sum(&dp->base.counters, which);
}

struct step {
	uint32_t payload;
	uint16_t dst_port; /* another flow */
	bool transport;
};

#define PACKET(payload)                                                                            \
	{                                                                                          \
		(payload), 0, false                                                                \
	}

/* Each row: packets in their order, and the frames that they leave as, by their segments and first IVs. */
static void equal_packets_of_a_flow_leave_as_one(void)
{
	static const struct {
		const char *what;
		struct step steps[6];
		uint32_t n, frames[6], ivs[6];
	} rows[] = {
		{"equal ones", {PACKET(18), PACKET(18), PACKET(18)}, 3, {3}, {1}},
		{"a shorter one is the last",
		 {PACKET(18), PACKET(18), PACKET(10), PACKET(18)},
		 4,
		 {3, 1},
		 {1, 4}},
		{"a longer one begins anew",
		 {PACKET(18), PACKET(30), PACKET(30)},
		 3,
		 {1, 2},
		 {1, 2}},
		{"two flows",
		 {PACKET(18), {18, 7, false}, PACKET(18), {18, 7, false}},
		 4,
		 {2, 2},
		 {1, 2}},
		{"transport mode keeps what the tenant wrote",
		 {{18, 0, true}, {18, 0, true}},
		 2,
		 {1, 1},
		 {1, 2}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CONTEXT("%s", rows[i].what);
		CHECK(set_up());
		for (uint32_t k = 0; k < rows[i].n; k++) {
			const struct step *step = &rows[i].steps[k];
			struct frame_spec spec = {.proto = 17,
						  .payload = step->payload,
						  .dst_port = step->dst_port,
						  .partial = true};

			SUB(seal(&spec, &(struct encap_spec){.transport = step->transport}));
		}
		soft_queue_flush(&worker);
		for (uint32_t k = 0; k < 6 && rows[i].frames[k] != 0; k++) {
			uint64_t iv = 0;

			CHECK_EQ(receive_one(&iv), rows[i].frames[k]);
			CHECK_EQ(iv, rows[i].ivs[k]);
		}
		CHECK_EQ(counter(DP_TX_PACKETS), rows[i].n);
		CHECK_EQ(key.stats.packets, rows[i].n);
		if (!rows[i].steps[0].transport)
			CHECK_EQ(counter(DP_TX_BYTES), key.stats.bytes);
		tear_down();
	}
}

/* A rekey that is taken back, all in one batch: order counts for more than super-frames. */
static void no_packet_overtakes_one_of_another_key(void)
{
	struct frame_spec spec = {.proto = 17, .payload = 64, .partial = true};
	struct soft_tx_key other;
	uint64_t iv = 0;

	CHECK(set_up());
	CHECK(key_make(&other, 0));
	atomic_store(&other.next_iv, 100);
	SUB(seal(&spec, &(struct encap_spec){0}));
	SUB(seal_with(&other, &spec, &(struct encap_spec){0}));
	SUB(seal(&spec, &(struct encap_spec){0}));
	SUB(seal(&spec, &(struct encap_spec){0}));
	soft_queue_flush(&worker);
	CHECK_EQ(receive_one(&iv), 1);
	CHECK_EQ(iv, 1);
	CHECK_EQ(receive_one(&iv), 1);
	CHECK_EQ(iv, 100);
	CHECK_EQ(receive_one(&iv), 2);
	CHECK_EQ(iv, 2);
	key_drop(&other);
	tear_down();
}

static void no_super_frame_has_more_than_the_kernel_takes(void)
{
	uint64_t iv = 0;

	CHECK(set_up());
	for (uint32_t i = 0; i < SOFT_SEGMENTS_MAX + 3; i++)
		SUB(seal(&(struct frame_spec){.proto = 17, .payload = 900, .partial = true},
			 &(struct encap_spec){0}));
	soft_queue_flush(&worker);
	CHECK_EQ(receive_one(&iv), SOFT_SEGMENTS_MAX);
	CHECK_EQ(receive_one(&iv), 3);
	CHECK_EQ(iv, SOFT_SEGMENTS_MAX + 1);
	tear_down();
}

/* Each row: super-frames by the packets of 1,000 octets in them, and what more is in a last one; frames as above. */
static void super_frames_of_a_flow_fill_one_another_up(void)
{
	static const struct {
		const char *what;
		uint32_t packets[4], more[4], n, frames[4], ivs[4];
	} rows[] = {
		{"61 packets are all that fit", {30, 30, 30}, {0}, 3, {61, 29}, {1, 62}},
		{"a shorter one is the last", {30, 10, 5}, {0, 500}, 3, {41, 5}, {1, 42}},
		{"a single one follows", {30, 1, 2}, {0}, 3, {33}, {1}},
		{"a shorter single one, too", {30, 0, 2}, {0, 700}, 3, {31, 2}, {1, 32}},
		{"one that is more than fit", {62, 62}, {0}, 2, {61, 61, 2}, {1, 62, 123}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t packets = 0;

		CONTEXT("%s", rows[i].what);
		CHECK(set_up());
		for (uint32_t k = 0; k < rows[i].n; k++) {
			const uint32_t n = rows[i].packets[k], more = rows[i].more[k];
			struct frame_spec spec = {.payload = n * 1000 + more,
						  .gso_size = n + (more != 0) > 1 ? 1000 : 0,
						  .partial = true};

			SUB(seal(&spec, &(struct encap_spec){0}));
			packets += n + (more != 0);
		}
		soft_queue_flush(&worker);
		for (uint32_t k = 0; k < 4 && rows[i].frames[k] != 0; k++) {
			uint64_t iv = 0;

			CHECK_EQ(receive_one(&iv), rows[i].frames[k]);
			CHECK_EQ(iv, rows[i].ivs[k]);
		}
		CHECK_EQ(counter(DP_TX_PACKETS), packets);
		CHECK_EQ(key.stats.packets, packets);
		CHECK_EQ(counter(DP_TX_BYTES), key.stats.bytes);
		tear_down();
	}
}

/* The parts that follow are sent without the headers that they were sealed with, also where the port cuts. */
static void what_the_device_does_not_take_whole_leaves_as_packets(void)
{
	CHECK(set_up());
	a->cuts[DP_GSO_UDP] = true;
	for (uint32_t i = 0; i < 3; i++)
		SUB(seal(&(struct frame_spec){.proto = 17, .payload = 31, .partial = true},
			 &(struct encap_spec){0}));
	soft_queue_flush(&worker);
	for (uint32_t i = 0; i < 3; i++) {
		struct dp_packet got;

		CHECK_EQ(receive(b, &got, WAIT_MS), 1);
		CHECK(dp_parse(&got));
		CHECK(soft_decrypt(backend, crypto, key.aead, 3, &got));
		CHECK_EQ(got.verdict, PSP_DP_VERDICT_OK);
		CHECK_EQ(got.psp.iv, i + 1);
	}
	tear_down();
}

static void what_cannot_be_sent_is_counted(void)
{
	CHECK(set_up());
	CHECK(shell("ip link set pa down"));
	SUB(seal(&(struct frame_spec){.payload = 100}, &(struct encap_spec){0}));
	SUB(seal(&(struct frame_spec){.payload = 100}, &(struct encap_spec){0}));
	soft_queue_flush(&worker);
	CHECK(shell("ip link set pa up"));
	CHECK_EQ(counter(DP_TX_PACKETS), 0);
	CHECK_EQ(counter(DP_TX_ERROR), 2);
	CHECK_EQ(uplink.tx_error, 2);
	CHECK_EQ(key.stats.packets, 0);
	tear_down();
	/* A link that has come up swallows frames for a while. */
	CHECK(open_both(0, 0) && link_carries(a, b));
	close_both();
}

int main(void)
{
	if (!link_up())
		return link_missing();
	RUN_EACH(equal_packets_of_a_flow_leave_as_one);
	RUN_EACH(no_packet_overtakes_one_of_another_key);
	RUN_EACH(no_super_frame_has_more_than_the_kernel_takes);
	RUN_EACH(super_frames_of_a_flow_fill_one_another_up);
	RUN_EACH(what_the_device_does_not_take_whole_leaves_as_packets);
	RUN_EACH(what_cannot_be_sent_is_counted);
	return test_summary();
}
