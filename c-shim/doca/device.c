/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* pthread_getaffinity_np, readlink, secure_getenv */
/*
 * device.c: the device and its representors, found by PCI address or interface name and opened; and what comes before
 * that: options in DPDK's words, a look at what is usually wrong, and DPDK's environment.
 */
#include "device.h"

#include <dirent.h>
#include <doca_log.h>
#include <net/if.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../psp/rights.h"
#include "dpu.h"

/* ---- options --------------------------------------------------------------------------------- */

const char *dpu_options_complaint(const struct psp_dp_config *config)
{
	if (memchr(config->devargs, 0, sizeof(config->devargs)) == NULL)
		return "devargs have no end";
	if (memchr(config->representor, 0, sizeof(config->representor)) == NULL)
		return "representor has no end";
	if (memchr(config->flow_mode, 0, sizeof(config->flow_mode)) == NULL)
		return "flow_mode has no end";
	if (config->busy_poll_us != 0)
		return "busy_poll_us is of the soft plane";
	_Static_assert(DPU_READERS_MAX == 16, "the sentence says so");
	if (config->workers > DPU_READERS_MAX)
		return "workers are at most 16";
	return NULL;
}

static bool may(const struct psp_dp_config *config, uint32_t cpu)
{
	return cpu < PSP_DP_CPUS_MAX && ((uint32_t)config->cpus[cpu / 8] >> cpu % 8 & 1u) != 0;
}

/* "0-1,3" */
static bool list_cores(const struct psp_dp_config *config, char *out, size_t cap)
{
	size_t at = 0;

	out[0] = 0;
	for (uint32_t first = 0; first < PSP_DP_CPUS_MAX; first++) {
		const char *comma = at > 0 ? "," : "";
		uint32_t last = first;
		int n;

		if (!may(config, first))
			continue;
		while (may(config, last + 1))
			last++;
		n = last > first ? snprintf(out + at, cap - at, "%s%u-%u", comma, first, last)
				 : snprintf(out + at, cap - at, "%s%u", comma, first);
		if (n < 0 || (size_t)n >= cap - at)
			return false;
		at += (size_t)n;
		first = last;
	}
	return true;
}

bool dpu_options_read(const struct psp_dp_config *config, struct dpu_options *out)
{
	if (!list_cores(config, out->cores, sizeof(out->cores)))
		return false;
	out->n_cores = 0;
	for (uint32_t i = 0; i < PSP_DP_CPUS_MAX; i++) {
		if (may(config, i))
			out->core[out->n_cores++] = (uint16_t)i;
	}
	if (out->n_cores == 0) {
		memcpy(out->cores, "0", 2);
		out->core[out->n_cores++] = 0;
	}
	out->hugepages_mb = (int32_t)config->hugepages_mb;
	if (config->hugepages_mb == PSP_DP_HUGEPAGES_NONE)
		out->hugepages_mb = 0;
	else if (config->hugepages_mb == 0)
		out->hugepages_mb = -1;
	return true;
}

/* ---- what is usually wrong on a DPU ---------------------------------------------------------- */

/* Looked at before DPDK is asked, which would say it less plainly. */

/* Open vSwitch's kernel ports have it as their master, whatever the bridge. */
static bool in_ovs(const char *interface)
{
	char path[320], master[320];
	const char *name;
	ssize_t len;

	(void)snprintf(path, sizeof(path), "/sys/class/net/%.255s/master", interface);
	len = readlink(path, master, sizeof(master) - 1);
	if (len <= 0)
		return false;
	master[len] = 0;
	name = strrchr(master, '/');
	return strcmp(name != NULL ? name + 1 : master, "ovs-system") == 0;
}

static int32_t refuse_ovs(struct psp_dp *dp, const char *interface)
{
	return dp_fail(dp, PSP_DP_EBUSY,
		       "Open vSwitch owns \"%.64s\": take it out of its bridge first "
		       "(ovs-vsctl del-port %.64s)",
		       interface, interface);
}

/* The interfaces of a PCI device, or the name itself where an interface was given. */
static int32_t check_switch(struct psp_dp *dp, const char *device)
{
	char path[128];
	struct dirent *item;
	int32_t status = 0;
	DIR *dir;

	if (in_ovs(device))
		return refuse_ovs(dp, device);
	(void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.63s/net", device);
	dir = opendir(path);
	while (dir != NULL && status == 0 && (item = readdir(dir)) != NULL) {
		if (item->d_name[0] != '.' && in_ovs(item->d_name))
			status = refuse_ovs(dp, item->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir);
	return status;
}

/* Somebody else may give them back: the same again may help. */
static int32_t check_hugepages(struct psp_dp *dp)
{
	long wanted = dp->options.hugepages_mb > 0 ? dp->options.hugepages_mb : 1;
	struct psp_rights rights;

	psp_rights_look("", &rights);
	/* 0: ordinary pages are used. */
	if (dp->options.hugepages_mb == 0 || rights.hugepages_mb < 0 ||
	    rights.hugepages_mb >= wanted || secure_getenv("PSP_DOCA_EAL") != NULL)
		return 0;
	return dp_fail(dp, PSP_DP_EBUSY,
		       "%ld MiB of hugepages are free, %ld are needed (echo 1024 > "
		       "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages)",
		       (long)rights.hugepages_mb, wanted);
}

static int32_t check_rights(struct psp_dp *dp)
{
	struct psp_rights rights;
	char lack[128];

	psp_rights_look("", &rights);
	if (!psp_rights_lack(&rights, lack, sizeof(lack)))
		return 0;
	return dp_fail(dp, PSP_DP_EPERM, "%s: the device asks for it (docs/install.md, \"Rights\")",
		       lack);
}

int32_t dpu_preflight_blame(struct psp_dp *dp, int32_t status)
{
	char why[160], said[sizeof(dp->base.error)];
	struct psp_rights rights;

	psp_rights_look("", &rights);
	if (!psp_rights_suspect(&rights, why, sizeof(why)))
		return status;
	(void)snprintf(said, sizeof(said), "%s", dp->base.error);
	return dp_fail(dp, status, "%s (docs/install.md, \"Rights\"): %s", why, said);
}

int32_t dpu_preflight(struct psp_dp *dp)
{
	int32_t status = check_rights(dp);

	for (uint32_t i = 0; status == 0 && i < dp->n_ports; i++)
		status = check_switch(dp, dpu_desc(dp, i)->name);
	return status == 0 ? check_hugepages(dp) : status;
}

/* ---- DPDK's environment ---------------------------------------------------------------------- */

/*
 * It exists once in a process and cannot be made a second time, and DOCA Flow serves one caller; so here is the plane's
 * only global state: whether EAL is there, and whether a plane has it.
 */

#define ARGS_MAX 40u
#define NO_HUGE_MB 512 /* ordinary memory in MiB, when there are to be no hugepages */

static _Atomic bool eal_taken;
static bool eal_made; /* by whoever has taken it */

struct args {
	char *argv[ARGS_MAX];
	int argc;
	char text[16][160];
	uint32_t used;
	char extra[512];
	bool overflow; /* some word had no room: EAL is not to start with half of what was meant */
};

static void push_word(struct args *args, char *word)
{
	if (args->argc < (int)ARGS_MAX - 1)
		args->argv[args->argc++] = word;
	else
		args->overflow = true;
}

static void push(struct args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void push(struct args *args, const char *format, ...)
{
	va_list list;
	char *text;
	int len;

	if (args->used >= sizeof(args->text) / sizeof(args->text[0])) {
		args->overflow = true;
		return;
	}
	text = args->text[args->used++];
	va_start(list, format);
	len = vsnprintf(text, sizeof(args->text[0]), format, list);
	va_end(list);
	if (len < 0 || (size_t)len >= sizeof(args->text[0]))
		args->overflow = true;
	push_word(args, text);
}

/* PSP_DOCA_EAL: more words for EAL, for tests and for the unforeseen. */
static void push_extra(struct args *args)
{
	const char *extra = secure_getenv("PSP_DOCA_EAL");
	char *save = NULL;

	if (extra == NULL)
		return;
	if (strlen(extra) >= sizeof(args->extra)) {
		args->overflow = true;
		return;
	}
	memcpy(args->extra, extra, strlen(extra) + 1);
	for (char *word = strtok_r(args->extra, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save))
		push_word(args, word);
}

static bool no_huge(void)
{
	const char *extra = secure_getenv("PSP_DOCA_EAL");

	return extra != NULL && strstr(extra, "--no-huge") != NULL;
}

static void eal_fill(struct args *args, const struct dpu_options *options)
{
	const struct compat_release *release = compat();

	memset(args, 0, sizeof(*args));
	push(args, "psp-agent");
	/* Devices that are not there: EAL probes nothing, and DOCA then probes exactly one. */
	for (uint32_t i = 0; i < 2 && release->no_devices[i] != NULL; i++) {
		push(args, "-a");
		push(args, "%s", release->no_devices[i]);
	}
	push(args, "-l");
	push(args, "%s", options->cores);
	/*
	 * No files in hugetlbfs or /var/run that a crash would leave; there are no secondary processes. DPDK does not
	 * take both words.
	 */
	push(args, "%s", options->hugepages_mb == 0 || no_huge() ? "--no-shconf" : "--in-memory");
	/* Nor a socket that answers questions about this process. */
	push(args, "--no-telemetry");
	push(args, "--log-level=warning");
	if (options->hugepages_mb == 0)
		push(args, "--no-huge");
	if (options->hugepages_mb >= 0) {
		push(args, "-m");
		push(args, "%d", options->hugepages_mb == 0 ? NO_HUGE_MB : options->hugepages_mb);
	}
	push_extra(args);
}

/* EAL binds its caller to a core and its threads to our signals: neither is for a guest in a process. */
static int eal_init(struct args *args)
{
	sigset_t all, before;
	cpu_set_t cpus;
	int bound, n;

	bound = pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	n = rte_eal_init(args->argc, args->argv);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (bound == 0)
		(void)pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	return n;
}

int32_t dpu_eal_take(struct psp_dp *dp)
{
	struct args args;
	bool expected = false;

	if (!atomic_compare_exchange_strong(&eal_taken, &expected, true))
		return dp_fail(dp, PSP_DP_EBUSY,
			       "this process has a DOCA plane already, and DOCA Flow serves one");
	if (eal_made)
		return 0;
	eal_fill(&args, &dp->options);
	if (args.overflow) {
		atomic_store(&eal_taken, false);
		return dp_fail(dp, PSP_DP_EINVAL,
			       "DPDK is not started: its arguments are too long, or more than %u "
			       "(PSP_DOCA_EAL among them, of at most %zu octets)",
			       ARGS_MAX - 1, sizeof(args.extra) - 1);
	}
	if (eal_init(&args) < 0) {
		int error = rte_errno;

		atomic_store(&eal_taken, false);
		return dpu_preflight_blame(
			dp,
			dp_fail(dp, error == EACCES || error == EPERM ? PSP_DP_EPERM : PSP_DP_EIO,
				"DPDK does not start: rte_eal_init answers: %s (hugepages free? "
				"cores "
				"\"%s\" there?)",
				rte_strerror(error), dp->options.cores));
	}
	eal_made = true;
	return 0;
}

void dpu_eal_give(void)
{
	atomic_store(&eal_taken, false);
}

/* ---- the device ------------------------------------------------------------------------------ */

/* PSP_DOCA_LOG names a file for what the SDK has to say: without it a refusal is a code and no more. */
static void open_log(struct dpu_device *device)
{
	const char *name = secure_getenv("PSP_DOCA_LOG");
	struct doca_log_backend *backend = NULL;

	device->log = name != NULL && name[0] != 0 ? fopen(name, "ae") : NULL;
	/* The SDK keeps the file; there is no call that would take it back. */
	if (device->log != NULL &&
	    doca_log_backend_create_with_file_sdk(device->log, &backend) == DOCA_SUCCESS)
		(void)doca_log_backend_set_sdk_level(backend, DOCA_LOG_LEVEL_INFO);
}

static bool is_device(const struct doca_devinfo *info, const char *name)
{
	char interface[DOCA_DEVINFO_IFACE_NAME_SIZE] = "";
	uint8_t equal = 0;

	if (doca_devinfo_is_equal_pci_addr(info, name, &equal) == DOCA_SUCCESS && equal != 0)
		return true;
	return doca_devinfo_get_iface_name(info, interface, sizeof(interface)) == DOCA_SUCCESS &&
	       strcmp(interface, name) == 0;
}

static int32_t open_device(struct psp_dp *dp, struct dpu_device *device)
{
	struct doca_devinfo **list = NULL;
	doca_error_t result;
	uint32_t n = 0;

	result = dpu_trace(&dp->trace, DPU_ASK(dp, doca_devinfo_create_list, &list, &n),
			   "devinfo_list");
	if (result != DOCA_SUCCESS)
		return dpu_preflight_blame(
			dp, dpu_fail_doca(dp, "the devices cannot be listed", result));
	result = DOCA_ERROR_NOT_FOUND;
	for (uint32_t i = 0; i < n && device->dev == NULL; i++) {
		if (!is_device(list[i], dpu_desc(dp, DPU_UPLINK)->name))
			continue;
		(void)doca_devinfo_get_iface_name(list[i], device->interface,
						  sizeof(device->interface));
		result = dpu_trace(&dp->trace, DPU_ASK(dp, doca_dev_open, list[i], &device->dev),
				   "dev_open name=%s", dpu_desc(dp, DPU_UPLINK)->name);
	}
	(void)doca_devinfo_destroy_list(list);
	if (result == DOCA_ERROR_NOT_FOUND)
		return dpu_preflight_blame(
			dp, dp_fail(dp, PSP_DP_ENODEV,
				    "there is no DOCA device \"%s\" (lspci -d 15b3: lists them)",
				    dpu_desc(dp, DPU_UPLINK)->name));
	if (result == DOCA_SUCCESS)
		return 0;
	return dpu_preflight_blame(dp, dpu_fail_doca(dp, "the device cannot be opened", result));
}

/* ---- representors ------------------------------------------------------------------------- */

static bool is_rep(const struct doca_devinfo_rep *info, const char *name)
{
	char interface[DOCA_DEVINFO_IFACE_NAME_SIZE] = "";
	uint8_t equal = 0;

	if (doca_devinfo_rep_is_equal_pci_addr(info, name, &equal) == DOCA_SUCCESS && equal != 0)
		return true;
	return doca_devinfo_rep_get_iface_name(info, interface, sizeof(interface)) ==
		       DOCA_SUCCESS &&
	       strcmp(interface, name) == 0;
}

/* DPDK's words for representors, which DOCA 3.0 probes by: "[0,2]" or "sf[88]". */
struct words {
	enum doca_pci_func_type kind;
	bool mixed, unknown;
	uint32_t n;
	char numbers[1024];
};

static void add_word(struct words *words, enum doca_pci_func_type kind, uint16_t number)
{
	size_t at = strlen(words->numbers);
	int len = snprintf(words->numbers + at, sizeof(words->numbers) - at, "%s%u",
			   at > 0 ? "," : "", number);

	words->mixed = words->mixed || (words->n > 0 && kind != words->kind);
	words->unknown = words->unknown || len < 0 || (size_t)len >= sizeof(words->numbers) - at;
	words->kind = kind;
	words->n++;
}

static void name_rep(const struct doca_devinfo_rep *info, struct words *words)
{
	enum doca_pci_func_type type = DOCA_PCI_FUNC_TYPE_PF;
	uint16_t number = 0;

	if (doca_devinfo_rep_get_pci_func_type(info, &type) != DOCA_SUCCESS)
		words->unknown = true;
	/* The host's own function, pf0hpf: mlx5 gives its representor the number behind all VFs. */
	else if (type == DOCA_PCI_FUNC_TYPE_PF)
		add_word(words, DOCA_PCI_FUNC_TYPE_VF, UINT16_MAX);
	else if (type == DOCA_PCI_FUNC_TYPE_VF &&
		 doca_dpdk_get_rep_vf_index(info, &number) == DOCA_SUCCESS)
		add_word(words, type, number);
	else if (type == DOCA_PCI_FUNC_TYPE_SF &&
		 doca_dpdk_get_rep_sf_num(info, &number) == DOCA_SUCCESS)
		add_word(words, type, number);
	else
		words->unknown = true;
}

static int32_t open_rep(struct psp_dp *dp, struct doca_devinfo_rep **list, uint32_t n,
			struct dpu_port *port, struct words *words)
{
	const char *name = port->base.desc.name;
	char interface[DOCA_DEVINFO_IFACE_NAME_SIZE] = "";
	doca_error_t result = DOCA_ERROR_NOT_FOUND;

	for (uint32_t i = 0; i < n && port->rep == NULL; i++) {
		if (!is_rep(list[i], name))
			continue;
		name_rep(list[i], words);
		if (doca_devinfo_rep_get_iface_name(list[i], interface, sizeof(interface)) ==
		    DOCA_SUCCESS)
			port->ifindex = if_nametoindex(interface);
		result = dpu_trace(&dp->trace, DPU_ASK(dp, doca_dev_rep_open, list[i], &port->rep),
				   "dev_rep_open name=%s", name);
	}
	if (result == DOCA_ERROR_NOT_FOUND)
		return dp_fail(dp, PSP_DP_ENODEV,
			       "the device has no representor \"%s\" (devlink port lists them)",
			       name);
	return result == DOCA_SUCCESS
		       ? 0
		       : dpu_fail_doca(dp, "the representor cannot be opened", result);
}

/* What was opened is in the ports, whatever came of the others. */
static int32_t open_reps(struct psp_dp *dp, struct dpu_device *device)
{
	const char *own = dp->base.config.representor;
	struct doca_devinfo_rep **list = NULL;
	struct words words = {.n = 0};
	doca_error_t result;
	int32_t status = 0;
	uint32_t n = 0;

	result = dpu_trace(&dp->trace,
			   DPU_ASK(dp, doca_devinfo_rep_create_list, device->dev,
				   DOCA_DEVINFO_REP_FILTER_NET, &list, &n),
			   "devinfo_rep_list");
	if (result != DOCA_SUCCESS)
		return dpu_fail_doca(dp, "its representors cannot be listed (on the DPU alone)",
				     result);
	for (uint32_t i = DPU_HOST; status == 0 && i < dp->n_ports; i++)
		status = open_rep(dp, list, n, dpu_port(dp, i), &words);
	(void)doca_devinfo_rep_destroy_list(list);
	if (status != 0)
		return status;
	(void)snprintf(device->rep_words, sizeof(device->rep_words), "%s[%s]",
		       words.kind == DOCA_PCI_FUNC_TYPE_SF ? "sf" : "", words.numbers);
	if (own[0] != 0)
		(void)snprintf(device->rep_words, sizeof(device->rep_words), "%s", own);
	else if (compat()->probes_by_word && words.mixed)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "the representors are of several kinds, which this DOCA cannot "
			       "probe at once: say plane.dpdk_representor");
	else if (compat()->probes_by_word && words.unknown)
		return dp_fail(dp, PSP_DP_ENOTSUP,
			       "the representor is of no kind that is known: say "
			       "plane.dpdk_representor");
	return 0;
}

int32_t dpu_device_up(struct psp_dp *dp)
{
	struct dpu_device *device = calloc(1, sizeof(*device));
	int32_t status;

	if (device == NULL)
		return dp_fail(dp, PSP_DP_ENOMEM, "out of memory");
	dp->device = device;
	open_log(device);
	status = open_device(dp, device);
	return status == 0 ? open_reps(dp, device) : status;
}

void dpu_device_down(struct psp_dp *dp)
{
	struct dpu_device *device = dp->device;

	if (device == NULL)
		return;
	for (uint32_t i = DPU_HOST; i < dp->n_ports; i++) {
		struct dpu_port *port = dpu_port(dp, i);

		if (port->rep != NULL)
			(void)dpu_trace(&dp->trace, doca_dev_rep_close(port->rep), "dev_rep_close");
		port->rep = NULL;
	}
	if (device->dev != NULL)
		(void)dpu_trace(&dp->trace, doca_dev_close(device->dev), "dev_close");
	free(device);
	dp->device = NULL;
}
