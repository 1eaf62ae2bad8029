/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, starting, closing, and what the plane says of itself. */
#define _GNU_SOURCE /* unshare(), setns() */
#include <dirent.h>
#include <pthread.h>

#include "soft_engine_watch.h"

static struct net net;

static struct psp_dp *open_guarded(const struct psp_dp_config *like, uint8_t guard)
{
	struct psp_dp_config config = like != NULL ? *like : (struct psp_dp_config){.size = 0};

	return net_open_guarded(&net.a, 'a', &config, guard) ? net.a.dp : NULL;
}

static struct psp_dp *open_a(const struct psp_dp_config *like)
{
	return open_guarded(like, PSP_DP_GUARD_AUTO);
}

static void open_refuses_with_a_sentence(void)
{
	static const struct {
		const char *what, *why;
		struct psp_dp_config config;
		int32_t status;
	} rows[] = {
		{"size", "size", {.size = 1}, PSP_DP_EINVAL},
		{"backend", "backend", {.backend = 9}, PSP_DP_ENOTSUP},
		{"devargs", "devargs is of hardware alone", {.devargs = "x=1"}, PSP_DP_ENOTSUP},
		{"hugepages",
		 "hugepages_mb is of hardware alone",
		 {.hugepages_mb = PSP_DP_HUGEPAGES_NONE},
		 PSP_DP_ENOTSUP},
		{"workers", "workers are at most 64", {.workers = 65}, PSP_DP_EINVAL},
		{"busy_poll_us",
		 "busy_poll_us at most 1000",
		 {.busy_poll_us = 1001},
		 PSP_DP_EINVAL},
		{"queues", "no plane has a choice of queues", {.queues = 1}, PSP_DP_ENOTSUP},
		{"inspect", "inspect is of hardware alone", {.inspect = 1}, PSP_DP_ENOTSUP},
		{"no inspect", "inspect is none of", {.inspect = 3}, PSP_DP_EINVAL},
		{"versions", "versions", {.versions = 0x10}, PSP_DP_EINVAL},
	};
	struct psp_dp *dp = (struct psp_dp *)&net;
	char err[200];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct psp_dp_config config = rows[i].config;

		CONTEXT("%s", rows[i].what);
		if (config.size == 0)
			config.size = sizeof(config);
		CHECK_EQ(ports_open(&config, "a_up", "a_host", PSP_DP_GUARD_AUTO, &dp, err,
				    sizeof(err)),
			 rows[i].status);
		CHECK(dp == NULL);
		CHECK(strncmp(err, "Cannot ", 7) == 0);
		CHECK(strstr(err, rows[i].why) != NULL);
	}
	CHECK_EQ(psp_dp_open(NULL, NULL, 0, &dp, NULL, 0), PSP_DP_EINVAL);
}

static void open_refuses_ports_with_a_sentence(void)
{
#define UP                                                                                         \
	{                                                                                          \
		.size = sizeof(struct psp_dp_port_desc), .kind = PSP_DP_PORT_UPLINK,               \
		.name = "a_up"                                                                     \
	}
#define PORT(...)                                                                                  \
	{                                                                                          \
		.size = sizeof(struct psp_dp_port_desc), .kind = PSP_DP_PORT_HOST, __VA_ARGS__     \
	}
	static const struct {
		const char *what, *why;
		struct psp_dp_port_desc ports[2];
		int32_t status;
	} rows[] = {
		{"size",
		 "size 0",
		 {UP, {.kind = PSP_DP_PORT_HOST, .name = "a_host"}},
		 PSP_DP_EINVAL},
		{"kind",
		 "kind",
		 {UP, {.size = sizeof(struct psp_dp_port_desc), .kind = 2, .name = "a_host"}},
		 PSP_DP_EINVAL},
		{"no name", "host port has no name", {UP, PORT(.vlan = 0)}, PSP_DP_EINVAL},
		{"twice the same", "the same, \"a_up\"", {UP, PORT(.name = "a_up")}, PSP_DP_EINVAL},
		{"two uplinks",
		 "2 uplinks",
		 {UP, {.size = sizeof(struct psp_dp_port_desc), .name = "a_host"}},
		 PSP_DP_ENOTSUP},
		{"no uplink",
		 "0 uplinks",
		 {PORT(.name = "a_host"), PORT(.name = "a_up")},
		 PSP_DP_ENOTSUP},
		{"no such", "nix", {UP, PORT(.name = "nix")}, PSP_DP_ENODEV},
		{"vlan", "vlan 4095", {UP, PORT(.name = "a_host", .vlan = 4095)}, PSP_DP_EINVAL},
		{"guard", "guard", {UP, PORT(.name = "a_host", .guard = 3)}, PSP_DP_EINVAL},
		{"network",
		 "network",
		 {{.size = sizeof(struct psp_dp_port_desc), .name = "a_up", .network = 1},
		  PORT(.name = "a_host")},
		 PSP_DP_EINVAL},
		{"hold",
		 "holds nothing",
		 {{.size = sizeof(struct psp_dp_port_desc), .name = "a_up", .hold_flows = 1},
		  PORT(.name = "a_host")},
		 PSP_DP_EINVAL},
	};
	const struct psp_dp_config config = {.size = sizeof(config)};
	struct psp_dp *dp = (struct psp_dp *)&net;
	char err[200];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CONTEXT("%s", rows[i].what);
		CHECK_EQ(psp_dp_open(&config, rows[i].ports, 2, &dp, err, sizeof(err)),
			 rows[i].status);
		CHECK(dp == NULL);
		CHECK(strncmp(err, "Cannot ", 7) == 0);
		CHECK(strstr(err, rows[i].why) != NULL);
	}
}

static uint32_t open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint32_t n = 0;

	while (readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	return n;
}

static void open_refuses_a_kernel_that_forwards_in_clear(void)
{
	static const char *const ipv4 = "/proc/sys/net/ipv4/conf/a_host/forwarding";
	static const char *const ipv6 = "/proc/sys/net/ipv6/conf/all/forwarding";
	static const char *const no_ipv6 = "/proc/sys/net/ipv6/conf/a_host/disable_ipv6";
	const struct psp_dp_config config = {.size = sizeof(config)};
	struct psp_dp *dp = NULL;
	char err[200];

	CHECK(net_set(ipv4, "1"));
	CHECK_EQ(ports_open(&config, "a_up", "a_host", PSP_DP_GUARD_NEVER, &dp, err, sizeof(err)),
		 PSP_DP_EPERM);
	CHECK(dp == NULL);
	CHECK(strstr(err, "net.ipv4.conf.a_host.forwarding=0") != NULL);
	CHECK(net_set(ipv4, "0"));

	CHECK(net_set(ipv6, "1") && net_set(no_ipv6, "0"));
	CHECK_EQ(ports_open(&config, "a_up", "a_host", PSP_DP_GUARD_NEVER, &dp, err, sizeof(err)),
		 PSP_DP_EPERM);
	CHECK(strstr(err, "net.ipv6.conf.a_host.disable_ipv6=1") != NULL);
	CHECK(net_set(no_ipv6, "1"));
	CHECK_EQ(ports_open(&config, "a_up", "a_host", PSP_DP_GUARD_NEVER, &dp, err, sizeof(err)),
		 PSP_DP_OK);
	CHECK_EQ(psp_dp_close(dp), PSP_DP_OK);
	CHECK(net_set(ipv6, "0"));
}

static void an_open_plane_tells_when_the_kernel_begins_to_forward(void)
{
	static const char *const ipv4 = "/proc/sys/net/ipv4/conf/a_host/forwarding";
	struct psp_dp_port_info info = {.size = sizeof(info)};
	struct psp_dp *dp = open_guarded(NULL, PSP_DP_GUARD_NEVER);

	CHECK(dp != NULL);
	CHECK_EQ(psp_dp_port_query(dp, HOST, &info), 0);
	CHECK_EQ(info.forwards, 0);
	CHECK(net_set(ipv4, "1"));
	CHECK_EQ(psp_dp_port_query(dp, HOST, &info), 0);
	CHECK_EQ(info.forwards, 1);
	CHECK_EQ(psp_dp_port_query(dp, UPLINK, &info), 0);
	CHECK_EQ(info.forwards, 0);
	CHECK(net_set(ipv4, "0"));
	net_close(&net.a);
}

static void plane_opens_and_closes_without_leaks(void)
{
	uint32_t before = open_files();

	for (uint32_t i = 0; i < 12; i++) {
		struct psp_dp *dp = open_a(NULL);
		struct graph g;

		CHECK(dp != NULL);
		if (i % 3 != 0)
			CHECK_EQ(psp_dp_start(dp), 0);
		if (i % 2 != 0)
			CHECK(graph_build(dp, &g, i % 4 == 1 ? 3 : -1));
		net_close(&net.a);
	}
	CHECK_EQ(open_files(), before);
}

static void version_and_counters_read_whole_or_not_at_all(void)
{
	struct psp_dp *dp = open_a(NULL);
	static uint64_t values[DP_COUNTER_COUNT];
	static char names[4096];
	uint32_t len, n, lines = 0;
	char text[200];

	CHECK(dp != NULL);
	CHECK_EQ(psp_dp_version(text, 3, &len), PSP_DP_ERANGE);
	CHECK(len > 3);
	CHECK_EQ(psp_dp_version(text, sizeof(text), &len), 0);
	CHECK_MEM(text, "soft " PSP_AGENT_VERSION "; backends: ",
		  sizeof("soft " PSP_AGENT_VERSION "; backends: ") - 1);
	CHECK_EQ(psp_dp_counter_names(dp, names, 3, &len), PSP_DP_ERANGE);
	CHECK_EQ(psp_dp_counter_names(dp, names, sizeof(names), &len), 0);
	CHECK_MEM(names, "key-rotations\nstale-events\nrx-packets\nrx-bytes\n", 47);
	for (uint32_t i = 0; i < len; i++)
		lines += names[i] == '\n';
	CHECK_EQ(psp_dp_counters(dp, values, DP_COUNTER_COUNT, &n), 0);
	CHECK_EQ(n, lines);
	CHECK_EQ(psp_dp_counters(dp, NULL, 0, &n), 0);
	CHECK_EQ(n, lines);
	CHECK_EQ(psp_dp_start(dp), 0);
	CHECK_EQ(psp_dp_start(dp), PSP_DP_EBUSY);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *wait_for_events(void *arg)
{
	static uint8_t buf[4096];
	uint32_t len;
	intptr_t status;

	do
		status = psp_dp_event_wait(arg, buf, sizeof(buf), 60000, &len);
	while (status == 0);
	return (void *)status;
}

static void stop_wakes_who_waits_for_events(void)
{
	struct timespec from, to;
	pthread_t thread;
	uint8_t buf[100];
	uint32_t len;
	void *status;

	for (uint32_t i = 0; i < 5; i++) {
		struct psp_dp *dp = open_a(NULL);

		CHECK(dp != NULL);
		CHECK_EQ(psp_dp_start(dp), 0);
		CHECK_EQ(pthread_create(&thread, NULL, wait_for_events, dp), 0);
		while (psp_dp_event_wait(dp, buf, sizeof(buf), 0, &len) != PSP_DP_EBUSY)
			usleep(100);
		/* Somebody waits: nothing is freed. */
		CHECK_EQ(psp_dp_close(dp), PSP_DP_EBUSY);
		CHECK(graph_says(dp, "Cannot close plane: a call is waiting for its events"));
		clock_gettime(CLOCK_MONOTONIC, &from);
		CHECK_EQ(psp_dp_stop(dp), 0);
		pthread_join(thread, &status);
		clock_gettime(CLOCK_MONOTONIC, &to);
		CHECK_EQ((intptr_t)status, PSP_DP_ECLOSED);
		CHECK(to.tv_sec - from.tv_sec <= 1);
		net_close(&net.a);
	}
}

static void stopped_plane_answers_until_it_is_closed(void)
{
	struct psp_dp *dp = open_a(NULL);
	struct psp_dp_port_info info = {.size = sizeof(info)};
	uint8_t buf[100];
	uint32_t len;

	CHECK(dp != NULL);
	CHECK_EQ(psp_dp_start(dp), 0);
	CHECK_EQ(psp_dp_stop(dp), 0);
	CHECK_EQ(psp_dp_stop(dp), 0);
	CHECK_EQ(psp_dp_event_wait(dp, buf, sizeof(buf), 0, &len), PSP_DP_ECLOSED);
	CHECK_EQ(psp_dp_event_wait(dp, buf, sizeof(buf), 60000, &len), PSP_DP_ECLOSED);
	CHECK_EQ(psp_dp_start(dp), PSP_DP_EBUSY);
	CHECK_EQ(psp_dp_port_query(dp, UPLINK, &info), 0);
	net_close(&net.a);
	dp = open_a(NULL);
	CHECK(dp != NULL);
	CHECK_EQ(psp_dp_stop(dp), 0);
	CHECK_EQ(psp_dp_start(dp), PSP_DP_ECLOSED);
	CHECK(graph_says(dp, "Cannot start plane: it was stopped"));
	CHECK_EQ(psp_dp_stop(NULL), PSP_DP_EINVAL);
}

/* Threads of the plane, those of them that run on the first processor alone, and those that do not get SIGTERM. */
static void count_workers(uint32_t *named, uint32_t *bound, uint32_t *blocked)
{
	const struct dirent *task;
	DIR *dir = opendir("/proc/self/task");

	*named = *bound = *blocked = 0;
	while ((task = readdir(dir)) != NULL) {
		char path[300], status[4096] = {0};
		FILE *file;

		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", task->d_name);
		file = fopen(path, "r");
		if (task->d_name[0] == '.' || file == NULL)
			continue;
		(void)!fread(status, 1, sizeof(status) - 1, file);
		(void)fclose(file);
		if (strstr(status, "psp-worker-") == NULL)
			continue;
		++*named;
		*bound += strstr(status, "Cpus_allowed_list:\t0\n") != NULL;
		/* SIGTERM is number 15: bit 14. */
		*blocked += (strtoull(strstr(status, "SigBlk:") + 7, NULL, 16) & (1u << 14)) != 0;
	}
	(void)closedir(dir);
}

/* The first processor is one that every machine has. */
static void workers_have_names_processors_and_no_signals(void)
{
	const struct psp_dp_config first = {.workers = 2, .cpus = {1}};
	struct psp_dp *dp = open_a(&first);
	uint32_t named = 0, bound = 0, blocked = 0;

	CHECK(dp != NULL);
	CHECK_EQ(psp_dp_start(dp), 0);
	/* A worker takes its name and its processor when it first runs. */
	for (uint32_t looks = 0; bound < 2 && looks < 500; looks++) {
		usleep(20000);
		count_workers(&named, &bound, &blocked);
	}
	CHECK_EQ(named, 2);
	CHECK_EQ(bound, 2);
	CHECK_EQ(blocked, 2);
}

int main(void)
{
	if (!net_up(&net)) {
		printf("# no network namespaces here\n0 passed, 1 failed\n");
		return 1;
	}
#define RUN_CLOSED(test)                                                                           \
	do {                                                                                       \
		RUN(test);                                                                         \
		net_close(&net.a);                                                                 \
	} while (0)
	RUN_CLOSED(open_refuses_with_a_sentence);
	RUN_CLOSED(open_refuses_ports_with_a_sentence);
	RUN_CLOSED(open_refuses_a_kernel_that_forwards_in_clear);
	RUN_CLOSED(an_open_plane_tells_when_the_kernel_begins_to_forward);
	RUN_CLOSED(plane_opens_and_closes_without_leaks);
	RUN_CLOSED(version_and_counters_read_whole_or_not_at_all);
	RUN_CLOSED(stop_wakes_who_waits_for_events);
	RUN_CLOSED(stopped_plane_answers_until_it_is_closed);
	RUN_CLOSED(workers_have_names_processors_and_no_signals);
	return test_summary();
}
