/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standin_lab.h: two veth pairs in a namespace of the test's own, up0-up1 and host0-host1, and the stand-in's device
 * on up0 with host0 as its representor. lab_open() does what the shim does, by hand; pipes, entries and keys are
 * described in few words. It is the same for each release: doca/compat.h has the differences.
 */
#ifndef STANDIN_LAB_H
#define STANDIN_LAB_H

#include <fcntl.h>
#include <net/if.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../doca-standin/standin.h"
#include "../doca/compat.h"
#include "../common/net.h"
#include "test.h"

static inline bool lab_run(const char *const *args)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		execvp(args[0], (char *const *)(uintptr_t)args);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

#define LAB_IP(...) lab_run((const char *const[]){"ip", __VA_ARGS__, NULL})

/* Neighbour discovery would add packets that no test has sent. */
static inline bool lab_quiet(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return true; /* a kernel without IPv6 */
	done = write(fd, "1", 1) == 1;
	(void)close(fd);
	return done;
}

static inline bool lab_up(void)
{
	static const char *const names[] = {"lo", "up0", "up1", "host0", "host1"};

	if (unshare(CLONE_NEWNET) != 0 || !lab_quiet() ||
	    !LAB_IP("link", "add", "up0", "type", "veth", "peer", "name", "up1") ||
	    !LAB_IP("link", "add", "host0", "type", "veth", "peer", "name", "host1"))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!LAB_IP("link", "set", names[i], "up"))
			return false;
	}
	return true;
}

/* Of an interface; -1: there is none. */
static inline int lab_mtu(const char *name)
{
	struct ifreq request;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memset(&request, 0, sizeof(request));
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFMTU, &request) != 0)
		request.ifr_mtu = -1;
	(void)close(fd);
	return request.ifr_mtu;
}

static const char *const lab_names[] = {"up0", "up1", "host0", "host1"};

static inline unsigned int lab_flags(const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request;

	memset(&request, 0, sizeof(request));
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	(void)ioctl(fd, SIOCGIFFLAGS, &request);
	(void)close(fd);
	return (unsigned int)request.ifr_flags;
}

/* The kernel says that a pair runs some time after it was set up. */
static inline void lab_running(void)
{
	for (uint32_t i = 0; i < 4; i++) {
		for (uint32_t tries = 0;
		     tries < 1000 && (lab_flags(lab_names[i]) & IFF_RUNNING) == 0; tries++)
			nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
}

/* ---- the library, without the shim ----------------------------------------------------------- */

struct lab {
	struct compat_call call;
	struct doca_dev *dev;
	struct doca_dev_rep *rep;
	struct rte_mempool *pool;
	struct doca_flow_port *ports[2];
	uint16_t ids[2];
	struct soft_port *workload, *wire; /* the far ends */
	uint32_t completed, failed;
	void *contexts[64]; /* of completions, in their order */
	uint16_t n_queues;
};

static struct lab lab = {.n_queues = 1};

static inline void lab_completed(struct doca_flow_pipe_entry *entry, uint16_t queue,
				 enum doca_flow_entry_status status, enum doca_flow_entry_op op,
				 void *ctx)
{
	(void)entry;
	(void)queue;
	(void)op;
	lab.contexts[lab.completed++ % 64] = ctx;
	lab.failed += status == DOCA_FLOW_ENTRY_STATUS_ERROR ? 1 : 0;
}

static inline bool lab_eal(void)
{
	char *args[] = {"test",
			"-a",
			"ffff:ff:1f.7",
			"-l",
			"0",
			"--no-shconf",
			"--no-huge",
			"-m",
			"64",
			"--no-telemetry",
			"--log-level=error"};

	return rte_eal_init((int)(sizeof(args) / sizeof(args[0])), args) >= 0 &&
	       rte_flow_dynf_metadata_register() == 0;
}

static inline bool lab_dev(void)
{
	struct doca_devinfo **list;
	uint32_t n;

	if (doca_devinfo_create_list(&list, &n) != DOCA_SUCCESS)
		return false;
	for (uint32_t i = 0; i < n && lab.dev == NULL; i++) {
		uint8_t equal = 0;

		if (doca_devinfo_is_equal_pci_addr(list[i], "up0", &equal) == DOCA_SUCCESS &&
		    equal != 0 && doca_dev_open(list[i], &lab.dev) != DOCA_SUCCESS)
			lab.dev = NULL;
	}
	(void)doca_devinfo_destroy_list(list);
	return lab.dev != NULL;
}

static inline bool lab_rep(void)
{
	struct doca_devinfo_rep **list;
	uint32_t n;

	if (doca_devinfo_rep_create_list(lab.dev, DOCA_DEVINFO_REP_FILTER_NET, &list, &n) !=
	    DOCA_SUCCESS)
		return false;
	for (uint32_t i = 0; i < n && lab.rep == NULL; i++) {
		uint8_t equal = 0;

		if (doca_devinfo_rep_is_equal_pci_addr(list[i], "host0", &equal) == DOCA_SUCCESS &&
		    equal != 0 && doca_dev_rep_open(list[i], &lab.rep) != DOCA_SUCCESS)
			lab.rep = NULL;
	}
	(void)doca_devinfo_rep_destroy_list(list);
	return lab.rep != NULL;
}

static inline bool lab_device(void)
{
	return lab_dev() && lab_rep() &&
	       compat_probe(&lab.call, lab.dev, &lab.rep, 1, "dv_flow_en=2", "host0") ==
		       DOCA_SUCCESS &&
	       doca_dpdk_get_first_port_id(lab.dev, &lab.ids[0]) == DOCA_SUCCESS;
}

#define LAB_MTU 1500u

static inline bool lab_queues(void)
{
	struct rte_eth_conf conf;

	lab.ids[1] = (uint16_t)(lab.ids[0] + 1);
	memset(&conf, 0, sizeof(conf));
	conf.rxmode.mtu = LAB_MTU;
	lab.pool = rte_pktmbuf_pool_create("lab", 512, 64, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (lab.pool == NULL ||
	    rte_eth_dev_configure(lab.ids[0], lab.n_queues, lab.n_queues, &conf) != 0)
		return false;
	for (uint16_t q = 0; q < lab.n_queues; q++) {
		if (rte_eth_rx_queue_setup(lab.ids[0], q, 256, 0, NULL, lab.pool) != 0 ||
		    rte_eth_tx_queue_setup(lab.ids[0], q, 256, 0, NULL) != 0)
			return false;
	}
	return rte_eth_dev_start(lab.ids[0]) == 0;
}

#define LAB_KEYS 8u
#define LAB_COUNTERS 64u
#define LAB_ACTIONS_MEM 4096u /* for 32 entries */
#define LAB_CYCLE_MS 50u

static const struct compat_resources lab_resources = {
	.counters = LAB_COUNTERS, .psp_keys = LAB_KEYS - 1, .mirrors = 3};

static inline bool lab_flow(void)
{
	uint16_t queue = 0;
	const struct doca_flow_resource_rss_cfg rss = {.queues_array = &queue, .nr_queues = 1};
	struct doca_flow_cfg *cfg;
	bool done = doca_flow_cfg_create(&cfg) == DOCA_SUCCESS &&
		    doca_flow_cfg_set_pipe_queues(cfg, 1) == DOCA_SUCCESS &&
		    doca_flow_cfg_set_mode_args(cfg, compat()->mode_args) == DOCA_SUCCESS &&
		    doca_flow_cfg_set_cb_entry_process(cfg, lab_completed) == DOCA_SUCCESS &&
		    compat_flow_resources(&lab.call, cfg, &lab_resources, &rss) == DOCA_SUCCESS &&
		    doca_flow_init(cfg) == DOCA_SUCCESS;

	(void)doca_flow_cfg_destroy(cfg);
	return done;
}

/* dev: of the switch port; rep: of a representor. */
static inline doca_error_t lab_port(uint16_t id, struct doca_dev *dev, struct doca_dev_rep *rep,
				    struct doca_flow_port **port)
{
	struct doca_flow_port_cfg *cfg;
	doca_error_t result = doca_flow_port_cfg_create(&cfg);

	if (result == DOCA_SUCCESS)
		result = doca_flow_port_cfg_set_port_id(cfg, id);
	if (result == DOCA_SUCCESS)
		result = doca_flow_port_cfg_set_dev(cfg, dev);
	if (result == DOCA_SUCCESS)
		result = compat_port_rep(&lab.call, cfg, rep);
	if (result == DOCA_SUCCESS)
		result = doca_flow_port_cfg_set_actions_mem_size(cfg, LAB_ACTIONS_MEM);
	if (result == DOCA_SUCCESS)
		result = doca_flow_port_cfg_set_service_threads_cycle(cfg, LAB_CYCLE_MS);
	if (result == DOCA_SUCCESS && dev != NULL)
		result = compat_port_resources(&lab.call, cfg, &lab_resources);
	if (result == DOCA_SUCCESS)
		result = doca_flow_port_start(cfg, port);
	(void)doca_flow_port_cfg_destroy(cfg);
	return result;
}

static inline bool lab_far_ends(void)
{
	char why[160];

	return soft_port_open("host1", PSP_DP_PORT_HOST, 0, &lab.workload, why, sizeof(why)) == 0 &&
	       soft_port_open("up1", PSP_DP_PORT_HOST, 0, &lab.wire, why, sizeof(why)) == 0;
}

static inline bool lab_open(void)
{
	return lab_up() && lab_eal() && lab_device() && lab_queues() && lab_flow() &&
	       lab_port(lab.ids[0], lab.dev, NULL, &lab.ports[0]) == DOCA_SUCCESS &&
	       lab_port(lab.ids[1], NULL, lab.rep, &lab.ports[1]) == DOCA_SUCCESS && lab_far_ends();
}

/* What is below DOCA Flow. */
static inline void lab_close_device(void)
{
	soft_port_close(lab.workload);
	soft_port_close(lab.wire);
	(void)rte_eth_dev_stop(lab.ids[0]);
	(void)rte_eth_dev_close(lab.ids[1]);
	(void)rte_eth_dev_close(lab.ids[0]);
	rte_mempool_free(lab.pool);
	(void)doca_dev_rep_close(lab.rep);
	(void)doca_dev_close(lab.dev);
}

static inline void lab_close(void)
{
	(void)doca_flow_port_stop(lab.ports[1]);
	(void)doca_flow_port_stop(lab.ports[0]);
	doca_flow_destroy();
	lab_close_device();
}

/* Completes what was ordered, or as much as that within a millisecond. */
static inline void lab_process(void)
{
	(void)doca_flow_entries_process(lab.ports[0], 0, 1000, 0);
}

/* ---- pipes ----------------------------------------------------------------------------------- */

struct spec {
	enum doca_flow_pipe_type type;
	enum doca_flow_pipe_domain domain;
	bool root, counter;
	uint32_t entries; /* 0: 4 */
	struct doca_flow_match match, mask;
	struct doca_flow_actions *actions; /* NULL: none */
	uint32_t templates;                /* of these actions; 0: 1 */
	struct compat_crypto *list;        /* ORDERED_LIST */
	struct doca_flow_fwd fwd, miss;
};

static inline struct doca_flow_fwd drop(void)
{
	return (struct doca_flow_fwd){.type = DOCA_FLOW_FWD_DROP};
}

static inline struct doca_flow_fwd to_pipe(struct doca_flow_pipe *pipe)
{
	struct doca_flow_fwd fwd = {.type = DOCA_FLOW_FWD_PIPE};

	fwd.next_pipe = pipe;
	return fwd;
}

static inline struct doca_flow_fwd to_port(uint16_t id)
{
	struct doca_flow_fwd fwd = {.type = DOCA_FLOW_FWD_PORT};

	fwd.port_id = id;
	return fwd;
}

static inline struct doca_flow_fwd to_list(struct doca_flow_pipe *pipe, uint32_t at)
{
	struct doca_flow_fwd fwd = {.type = DOCA_FLOW_FWD_ORDERED_LIST_PIPE};

	fwd.ordered_list_pipe.pipe = pipe;
	fwd.ordered_list_pipe.idx = at;
	return fwd;
}

static inline struct doca_flow_fwd to_flood(struct doca_flow_pipe *pipe)
{
	struct doca_flow_fwd fwd = {.type = DOCA_FLOW_FWD_HASH_PIPE};

	fwd.hash_pipe.pipe = pipe;
	fwd.hash_pipe.algorithm = DOCA_FLOW_PIPE_HASH_MAP_ALGORITHM_FLOODING;
	return fwd;
}

/* queue: must live as long as the forward. */
static inline struct doca_flow_fwd to_program(uint16_t *queue)
{
	struct doca_flow_fwd fwd = {.type = DOCA_FLOW_FWD_RSS};

	*queue = 0;
	fwd.rss_type = DOCA_FLOW_RESOURCE_TYPE_NON_SHARED;
	fwd.rss.queues_array = queue;
	fwd.rss.nr_queues = 1;
	return fwd;
}

#define LAB_TEMPLATES 40u

static inline doca_error_t set_parts(const struct spec *spec, struct doca_flow_pipe_cfg *cfg)
{
	struct doca_flow_monitor monitor = {.counter_type = DOCA_FLOW_RESOURCE_TYPE_NON_SHARED};
	struct doca_flow_actions *actions[LAB_TEMPLATES];
	uint32_t n = spec->templates != 0 ? spec->templates : 1;
	doca_error_t result = DOCA_SUCCESS;

	for (uint32_t i = 0; i < n; i++)
		actions[i] = spec->actions;
	if (spec->type == DOCA_FLOW_PIPE_BASIC)
		result = doca_flow_pipe_cfg_set_match(cfg, &spec->match, &spec->mask);
	if (spec->type == DOCA_FLOW_PIPE_HASH)
		result = doca_flow_pipe_cfg_set_hash_map_algorithm(
			cfg, DOCA_FLOW_PIPE_HASH_MAP_ALGORITHM_FLOODING);
	if (result == DOCA_SUCCESS && spec->counter)
		result = doca_flow_pipe_cfg_set_monitor(cfg, &monitor);
	if (result == DOCA_SUCCESS && spec->actions != NULL)
		result = doca_flow_pipe_cfg_set_actions(cfg, actions, NULL, NULL, n);
	if (result == DOCA_SUCCESS && spec->list != NULL)
		result = compat_pipe_crypto_lists(&lab.call, cfg, spec->list, 1);
	return result;
}

static inline doca_error_t create(const struct spec *spec, struct doca_flow_pipe **pipe)
{
	struct doca_flow_pipe_cfg *cfg;
	doca_error_t result = doca_flow_pipe_cfg_create(&cfg, lab.ports[0]);

	*pipe = NULL;
	if (result != DOCA_SUCCESS)
		return result;
	(void)doca_flow_pipe_cfg_set_name(cfg, "TEST");
	(void)doca_flow_pipe_cfg_set_domain(cfg, spec->domain);
	(void)doca_flow_pipe_cfg_set_is_root(cfg, spec->root);
	(void)doca_flow_pipe_cfg_set_nr_entries(cfg, spec->entries != 0 ? spec->entries : 4);
	(void)doca_flow_pipe_cfg_set_miss_counter(cfg, spec->counter);
	result = doca_flow_pipe_cfg_set_type(cfg, spec->type);
	if (result == DOCA_SUCCESS)
		result = set_parts(spec, cfg);
	if (result == DOCA_SUCCESS)
		result = doca_flow_pipe_create(
			cfg, spec->fwd.type != DOCA_FLOW_FWD_NONE ? &spec->fwd : NULL,
			spec->miss.type != DOCA_FLOW_FWD_NONE ? &spec->miss : NULL, pipe);
	(void)doca_flow_pipe_cfg_destroy(cfg);
	return result;
}

/* What a pipe of this description comes to; it does not stay. */
static inline doca_error_t try_pipe(const struct spec *spec)
{
	struct doca_flow_pipe *pipe;
	doca_error_t result = create(spec, &pipe);

	if (result == DOCA_SUCCESS)
		doca_flow_pipe_destroy(pipe);
	return result;
}

/* Matches pkt_meta, drops. */
static inline struct spec basic(void)
{
	struct spec spec = {.fwd = drop()};

	spec.match.meta.pkt_meta = UINT32_MAX;
	spec.mask.meta.pkt_meta = UINT32_MAX;
	return spec;
}

static inline struct spec control(void)
{
	return (struct spec){.type = DOCA_FLOW_PIPE_CONTROL};
}

/* ---- entries --------------------------------------------------------------------------------- */

static inline doca_error_t add(struct doca_flow_pipe *pipe, uint32_t meta,
			       struct doca_flow_actions *actions, const struct doca_flow_fwd *fwd,
			       struct doca_flow_pipe_entry **entry)
{
	struct doca_flow_match match = {.meta.pkt_meta = meta};
	const struct compat_entry give = {.match = &match, .actions = actions, .fwd = fwd};

	return compat_basic_add(&lab.call, pipe, &give, entry);
}

static inline doca_error_t add_control(struct doca_flow_pipe *pipe, uint32_t priority,
				       const struct doca_flow_match *match,
				       const struct doca_flow_match *mask,
				       const struct doca_flow_fwd *fwd,
				       struct doca_flow_pipe_entry **entry)
{
	struct doca_flow_monitor monitor = {.counter_type = DOCA_FLOW_RESOURCE_TYPE_NON_SHARED};
	const struct compat_entry give = {.match = match,
					  .match_mask = mask,
					  .monitor = &monitor,
					  .fwd = fwd,
					  .priority = priority};

	return compat_control_add(&lab.call, pipe, &give, entry);
}

static inline void remove_now(struct doca_flow_pipe_entry *entry)
{
	(void)doca_flow_pipe_remove_entry(0, COMPAT_NO_WAIT, entry);
	lab_process();
}

static inline struct compat_crypto crypto_part(enum doca_flow_crypto_action_type type, uint32_t id)
{
	return (struct compat_crypto){.crypto = {.action_type = type,
						 .resource_type = DOCA_FLOW_CRYPTO_RESOURCE_PSP,
						 .crypto_id = id}};
}

static inline struct compat_crypto reformat_part(enum doca_flow_crypto_encap_action_type type)
{
	return (struct compat_crypto){
		.reformat = true,
		.encap = {.action_type = type,
			  .net_type = DOCA_FLOW_CRYPTO_HEADER_PSP_TUNNEL,
			  .icv_size = 16,
			  .data_size = type == DOCA_FLOW_CRYPTO_REFORMAT_DECAP ? 14 : 58}};
}

static inline struct doca_flow_actions as_actions(const struct compat_crypto *part)
{
	struct doca_flow_actions actions;

	memset(&actions, 0, sizeof(actions));
	compat_actions_crypto(&actions, part);
	return actions;
}

/* ---- keys and packets ------------------------------------------------------------------------ */

static inline doca_error_t set_key(uint32_t id)
{
	uint32_t key[4] = {1, 2, 3, id};
	struct doca_flow_shared_resource_cfg cfg = {
		.psp_cfg.key_cfg = {.key_type = DOCA_FLOW_CRYPTO_KEY_128, .key = key}};

	return compat_psp_slot_set(&lab.call, lab.ports[0], id, &cfg);
}

static inline bool send_frame(void)
{
	static uint8_t buf[DP_HEADROOM + 64] = {[DP_HEADROOM + 12] = 0x88,
						[DP_HEADROOM + 13] = 0xb5};
	struct dp_packet packet = {.frame = buf + DP_HEADROOM, .len = 60};
	bool retry;

	memset(packet.frame, 0xff, 6);
	return soft_port_send(lab.workload, &packet, &retry) == 0;
}

/* Hits of an entry once `want` packets are seen, or after three seconds without. */
static inline uint64_t hits(struct doca_flow_pipe_entry *entry, uint64_t want)
{
	struct doca_flow_resource_query query = {{0, 0}};

	for (uint32_t i = 0; i < 3000; i++) {
		if (doca_flow_resource_query_entry(entry, &query) != DOCA_SUCCESS ||
		    query.counter.total_pkts >= want)
			break;
		usleep(1000);
	}
	return query.counter.total_pkts;
}

#endif
