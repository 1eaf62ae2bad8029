/* SPDX-License-Identifier: Apache-2.0 */
#include "pace.h"

#include "../common/port.h"

#define MS_NS UINT64_C(1000000)
#define STEP_NS (200 * MS_NS)
/* Until more is tried after it was too much: each time the frames of others wait until it is known. */
#define PATIENCE_NS (4000 * MS_NS)
/* A port that had more frames than its turn brought within this time still has. */
#define HEAVY_NS (1000 * MS_NS)
/* Who had frames within this time may have some at any time. */
#define SEEN_NS (10000 * MS_NS)
/* A port may be so far ahead of the pace: shorter rests are not worth two calls of the kernel. */
#define AHEAD_NS MS_NS
/* The slowest pace: a turn in this time. */
#define SLOWEST_MS 8u
/* From here on it is none: what a processor carries, and more. */
#define FASTEST_PER_MS (4u << 20)
#define CALM_MAX 5u

static bool is_within(uint64_t time_ns, uint64_t then_ns, uint64_t now_ns)
{
	return then_ns != 0 && now_ns - then_ns < time_ns;
}

/* Ports that have more frames than their turns bring; *other: there is one with fewer. */
static uint32_t heavy_ports(const struct soft_pace *pace, uint64_t now_ns, bool *other)
{
	uint32_t n = 0;

	*other = false;
	for (uint32_t i = 0; i < PSP_DP_PORTS_MAX; i++) {
		const struct soft_pace_port *port = &pace->ports[i];

		if (is_within(HEAVY_NS, port->heavy_ns, now_ns))
			n++;
		else if (is_within(SEEN_NS, port->seen_ns, now_ns))
			*other = true;
	}
	return n;
}

/* Ran or waited for more than two thirds of the time, and waited more: the rest of a processor is others'. */
static bool is_in_debt(uint64_t ran_ns, uint64_t waited_ns, uint64_t wall_ns)
{
	return waited_ns > ran_ns && (ran_ns + waited_ns) * 3 > wall_ns * 2;
}

/* Had more than half of the time to itself, or waited less than it ran. */
static bool has_time(uint64_t ran_ns, uint64_t waited_ns, uint64_t wall_ns)
{
	return waited_ns < ran_ns || (ran_ns + waited_ns) * 2 < wall_ns;
}

/* What it carried is what it can by its part of a processor. Whoever keeps the pace has that part. */
static void slow_down(struct soft_pace *pace, uint64_t wall_ns)
{
	const uint64_t carried = pace->carried * MS_NS / wall_ns, before = pace->cost_per_ms;
	uint64_t least = SOFT_TURN_COST / SLOWEST_MS;

	if (before != 0 && carried >= before * 3 / 4)
		return;
	/* One look may have seen a bad moment. */
	if (before / 2 > least)
		least = before / 2;
	pace->cost_per_ms = carried * 3 / 4 > least ? carried * 3 / 4 : least;
	pace->calm = 0;
}

/* The longer nothing speaks against it, the more. */
static void speed_up(struct soft_pace *pace)
{
	pace->cost_per_ms += (pace->cost_per_ms << pace->calm) / 16;
	if (pace->calm < CALM_MAX)
		pace->calm++;
	if (pace->cost_per_ms >= FASTEST_PER_MS)
		pace->cost_per_ms = 0;
}

void soft_pace_look(struct soft_pace *pace, const struct soft_pace_time *time, uint64_t now_ns)
{
	const uint64_t wall_ns = now_ns - pace->looked_ns;
	const uint64_t ran_ns = time->ran_ns - pace->time.ran_ns;
	const uint64_t waited_ns = time->waited_ns - pace->time.waited_ns;
	const bool first = pace->looked_ns == 0;
	bool other;

	pace->looked_ns = now_ns;
	pace->time = *time;
	if (first || heavy_ports(pace, now_ns, &other) == 0 || !other) {
		pace->cost_per_ms = 0;
	} else if (pace->carried != 0 && is_in_debt(ran_ns, waited_ns, wall_ns)) {
		slow_down(pace, wall_ns);
		pace->stepped_ns = now_ns + PATIENCE_NS;
	} else if (pace->cost_per_ms != 0 && has_time(ran_ns, waited_ns, wall_ns) &&
		   now_ns >= pace->stepped_ns + STEP_NS) {
		speed_up(pace);
		pace->stepped_ns = now_ns;
	}
	pace->carried = 0;
}

bool soft_pace_turn(struct soft_pace *pace, uint32_t handle, uint32_t cost, bool heavy,
		    uint64_t now_ns)
{
	struct soft_pace_port *port = &pace->ports[dp_port_slot(handle)];
	bool other;

	port->seen_ns = now_ns;
	if (heavy)
		port->heavy_ns = now_ns;
	if (!is_within(HEAVY_NS, port->heavy_ns, now_ns))
		return false;
	pace->carried += cost;
	if (pace->cost_per_ms == 0)
		return false;
	if (port->due_ns + AHEAD_NS < now_ns)
		port->due_ns = now_ns - AHEAD_NS;
	port->due_ns += heavy_ports(pace, now_ns, &other) * cost * MS_NS / pace->cost_per_ms;
	if (port->due_ns < now_ns + AHEAD_NS)
		return false;
	if (port->resting == 0)
		pace->resting++;
	port->resting = (uint16_t)handle;
	return true;
}

uint32_t soft_pace_rested(struct soft_pace *pace, uint64_t now_ns)
{
	for (uint32_t i = 0; pace->resting != 0 && i < PSP_DP_PORTS_MAX; i++) {
		struct soft_pace_port *port = &pace->ports[i];
		const uint32_t handle = port->resting;

		if (handle == 0 || (port->due_ns > now_ns && pace->cost_per_ms != 0))
			continue;
		port->resting = 0;
		pace->resting--;
		return handle;
	}
	return 0;
}

int soft_pace_wait_ms(const struct soft_pace *pace, uint64_t now_ns, int most_ms)
{
	int wait_ms = most_ms;

	for (uint32_t i = 0; pace->resting != 0 && i < PSP_DP_PORTS_MAX; i++) {
		const struct soft_pace_port *port = &pace->ports[i];
		const uint64_t left_ns = port->due_ns > now_ns ? port->due_ns - now_ns : 0;

		if (port->resting == 0 || left_ns / MS_NS >= (uint64_t)wait_ms)
			continue;
		wait_ms = left_ns < MS_NS ? 1 : (int)(left_ns / MS_NS);
	}
	return wait_ms;
}
