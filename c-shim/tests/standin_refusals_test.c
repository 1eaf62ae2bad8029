/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* unshare, explicit_bzero */
/*
 * The DOCA shim on its stand-in: whatever function of DOCA's or DPDK's is refused, once, at its first use, its last or
 * one between, the plane says so in a sentence that names it and tells what to do, or lives with it; it leaves nothing
 * behind, and the next plane opens.
 */
#include "standin_forms.h"

#define CALLS_MAX 160u

static const char *said_of(const char *call)
{
	static const struct {
		const char *call, *says;
	} others[] = {
		/* What completions say comes by this call. */
		{"add", "doca_flow_entries_process"},
		{"update", "doca_flow_entries_process"},
		{"remove", "doca_flow_entries_process"},
		{"add_lost", "doca_flow_entries_process"},
		{"update_lost", "doca_flow_entries_process"},
		{"remove_lost", "doca_flow_entries_process"},
		/* A device whose name is not told is not the one that is looked for. */
		{"doca_devinfo_is_equal_pci_addr", "there is no DOCA device \"up0\" (lspci"},
		{"doca_devinfo_rep_is_equal_pci_addr", "no representor \"host0\" (devlink"},
		{"doca_devinfo_rep_get_pci_func_type", "say plane.dpdk_representor"},
		{"doca_dpdk_get_rep_vf_index", "say plane.dpdk_representor"},
		/* DPDK asks for it as well. */
		{"rte_eth_dev_info_get", "rte_eth_"},
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strcmp(others[i].call, call) == 0)
			return others[i].says;
	}
	return call;
}

/* Calls that a plane can do without (and all that only makes the CPU look at packets: a device that refuses it works): what they would have told it finds in another way, or nothing depends on it. */
static bool is_lived_with(const char *call)
{
	static const char *const calls[] = {
		"doca_devinfo_destroy_list",
		"doca_devinfo_rep_destroy_list",
		"doca_devinfo_get_iface_name",
		"doca_devinfo_rep_get_iface_name",
		"doca_devinfo_is_equal_pci_addr",
		"doca_devinfo_rep_is_equal_pci_addr",
		"doca_devinfo_rep_get_pci_func_type",
		"doca_dpdk_get_rep_vf_index",
		"doca_dev_close",
		"doca_dev_rep_close",
		"doca_flow_cfg_destroy",
		"doca_flow_port_cfg_destroy",
		"doca_flow_pipe_cfg_destroy",
		"doca_flow_port_stop",
		/* What is not removed is tried again, or goes with its pipe. */
		"doca_flow_pipe_remove_entry",
		"remove",
		"remove_lost",
		"doca_flow_entries_process",
		/* The way to the kernel. */
		"doca_flow_pipe_control_add_entry",
		/* A pipe behind the root leads to the kernel, or an isolated port leaves it to it. */
		"doca_flow_get_target",
		"doca_flow_port_update_default_miss",
		"rte_flow_isolate",
		/* Counters are read again. */
		"doca_flow_resource_query_entry",
		"doca_flow_resource_query_pipe_miss",
		/* All of them are cleared instead. */
		"doca_flow_crypto_psp_spi_key_wipe",
		"doca_flow_crypto_psp_spi_key_bulk_free",
		"rte_eth_dev_info_get",
		"rte_eth_dev_get_mtu",
		"rte_eth_link_get_nowait",
		"rte_eth_dev_stop",
		"rte_eth_dev_close",
		"rte_thread_register",
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(calls[i], call) == 0)
			return true;
	}
	/*
	 * From 3.3 on a root that is refused a BASIC pipe, or the kernel behind it, is a CONTROL pipe. With 3.2 one that
	 * is refused is made anew, without a counter of what it leaves to the default.
	 */
	return (COMPAT_DOCA >= 303 && strncmp(call, "add", 3) == 0) ||
	       (COMPAT_DOCA >= 302 && strncmp(call, "doca_flow_pipe_c", 16) == 0);
}

/* ---- one refusal ----------------------------------------------------------------------------- */

/* Flags and MTU of each interface, as the kernel tells them. */
static void describe_interfaces(char *out, size_t cap)
{
	size_t at = 0;

	for (size_t i = 0; i < 4 && at < cap; i++)
		at += (size_t)snprintf(out + at, cap - at, "%s %x %d\n", lab_names[i],
				       lab_flags(lab_names[i]), lab_mtu(lab_names[i]));
}

/* What an end must have left nothing of. */
static const char *leaves(void)
{
	struct doca_standin_live now;

	doca_standin_live(&now);
	if (now.pipes != 0 || now.entries != 0 || now.orders != 0)
		return "pipes, entries or orders";
	if (now.keys != 0 || now.ids != 0 || now.bulks != 0)
		return "keys, ids or bulks";
	if (now.mbufs != 0 || now.leaked_mbufs != 0)
		return "mbufs";
	if (now.counters != 0 || now.actions_mem != 0)
		return "counters or memory";
	return rte_eth_dev_count_avail() == 0 ? NULL : "ports of DPDK";
}

static char interfaces[512];

static void refuse(const struct form *form, const char *call, uint32_t use)
{
	static struct formed f;
	char list[80], now[512];
	const char *left;

	CONTEXT("%s, use %u of %s", form->name, use, call);
	(void)snprintf(list, sizeof(list), "%s/%u", call, use);
	doca_standin_refuse(list);
	form_live(&f, form);
	/* As many uses as before there are of most, but not of what is asked until something has happened. */
	if (doca_standin_refused() == 0 && (use == 1 || f.status != 0))
		TEST_FAIL("nothing was refused: %s", f.why);
	if (f.status == 0)
		CHECK(doca_standin_refused() == 0 || form->inspect || is_lived_with(call));
	if (f.status != 0 && strstr(f.why, said_of(call)) == NULL)
		TEST_FAIL("it says: %s", f.why);
	if (f.status != 0 && strchr(f.why, '(') == NULL && strstr(f.why, ": say ") == NULL)
		TEST_FAIL("it does not tell what to do: %s", f.why);
	left = leaves();
	if (left != NULL)
		TEST_FAIL("it leaves %s", left);
	describe_interfaces(now, sizeof(now));
	CHECK(strcmp(now, interfaces) == 0);
}

struct used {
	const char *name;
	uint32_t uses;
};

/* The functions that a plane of this form uses, none of them refused. */
static uint32_t learn(const struct form *form, struct used *used)
{
	static struct formed f;
	uint32_t n = 0;

	doca_standin_refuse("");
	form_live(&f, form);
	if (f.status != 0)
		printf("# %s: %s\n", form->name, f.why);
	for (uint32_t i = 0; f.status == 0 && n < CALLS_MAX; i++) {
		used[n].name = doca_standin_used(i, &used[n].uses);
		if (used[n].name == NULL)
			break;
		/* Once in a process. */
		n += strcmp(used[n].name, "rte_eal_init") != 0 ? 1 : 0;
	}
	return n;
}

static const struct form *form_now;
static char variant[32];

static void each_call_may_be_refused_once(void)
{
	struct used used[CALLS_MAX];
	uint32_t n = learn(form_now, used), failed = 0;

	CHECK(n > 40);
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t uses[] = {1, (used[i].uses + 1) / 2, used[i].uses};

		for (size_t k = 0; k < 3; k++) {
			if (k == 0 || uses[k] > uses[k - 1])
				refuse(form_now, used[i].name, uses[k]);
			failed += test_ok ? 0 : 1;
			test_ok = true;
		}
	}
	CONTEXT("the end");
	CHECK_EQ(failed, 0);
	CHECK_EQ(learn(form_now, used), n);
}

/* It comes first: DPDK does not start twice, and every later plane finds it there. */
static void dpdk_may_refuse_to_start(void)
{
	SUB(refuse(&forms[0], "rte_eal_init", 1));
}

int main(void)
{
	if (!lab_up()) {
		printf("not ok there are no interfaces (root?)\n");
		return 1;
	}
	lab_running();
	describe_interfaces(interfaces, sizeof(interfaces));
	RUN(dpdk_may_refuse_to_start);
	for (size_t i = 0; i < FORMS; i++) {
		form_now = &forms[i];
		(void)snprintf(variant, sizeof(variant), ", %s", forms[i].name);
		test_variant = variant;
		RUN(each_call_may_be_refused_once);
	}
	return test_summary();
}
