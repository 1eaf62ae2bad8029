# SPDX-License-Identifier: Apache-2.0
#
# The DOCA plane on a stand-in for DOCA (doca-standin/), for tests: no SDK, no device, but Debian's DPDK (libdpdk-dev).
# c-shim/Makefile includes this after doca.mk.
#
#   make doca-standin             build/shim/standin/{libdoca_flow.so,libpsp_dp_doca.so}, and the same in
#                                 standin-302 and standin-303: the plane as it is with DOCA 3.0, 3.2 and 3.3
#   make doca-standin-asan        standin-302-asan, the same with 3.2 under ASan and UBSan
#   make test-standin             tests/standin_*_test.c; root. 3.0 and 3.2: all of them, plain and under ASan and
#                                 UBSan; 3.3: those of standin_short, plain
#   make test-standin ONLY=standin_rules%
#
# libdoca_flow.so stands in front of a few functions of DPDK, so it comes before DPDK wherever both are linked.

, := ,
standin_src := $(wildcard doca-standin/*.c)
# The packet steps that it executes pipes with, and its interfaces.
standin_soft := common/packet.c $(filter common/csum_%.c,$(common_src)) \
	$(addprefix soft/,decap.c port.c seal.c segment.c sink.c)
standin_common := $(sort $(psp_src) $(common_src) $(standin_soft))
standin_includes = $(doca_defines) -isystem doca-standin/include $(dpdk_cflags)
standin_libs = -Wl,--as-needed -lrte_ethdev -lrte_mbuf -lrte_mempool -lrte_ring -lrte_eal -lrte_net_ring -ldl
standin_test_src := $(filter tests/$(ONLY)_test.c,$(wildcard tests/standin_*_test.c))
standin_tests := $(basename $(notdir $(standin_test_src)))
standin_short := standin_gateway_test standin_plane_test standin_rules_test

.PHONY: doca-standin doca-standin-asan test-standin

doca-standin-asan: $(BUILD)/standin-302-asan/libpsp_dp_doca.so

# ---- by release ----------------------------------------------------------------------------------

# $(1) release, $(2) objects, $(3) libraries. What 3.0 compiles of doca/ is doca.mk's.
define standin_release
doca-standin: $(3)/libpsp_dp_doca.so

$(2)/doca-standin/%.o: doca-standin/%.c $(standin_headers)
	@$$(have_dpdk)
	@mkdir -p $$(@D)
	$$(CC) $$(BASE) -O2 -DDOCA_STANDIN=$(1) -fvisibility=default $$(standin_includes) -c -o $$@ $$<

$(2)-asan/doca-standin/%.o: doca-standin/%.c $(standin_headers)
	@$$(have_dpdk)
	@mkdir -p $$(@D)
	$$(CC) $$(BASE) -O1 $$(SANITIZE) -DDOCA_STANDIN=$(1) -fvisibility=default $$(standin_includes) -c -o $$@ $$<

$(2)/tests/%.o: tests/%.c $(standin_headers)
	@mkdir -p $$(@D)
	$$(CC) $$(BASE) -O2 -DDOCA_STANDIN=$(1) -Itests $$(standin_includes) -c -o $$@ $$<

$(2)-asan/tests/%.o: tests/%.c $(standin_headers)
	@mkdir -p $$(@D)
	$$(CC) $$(BASE) -O1 $$(SANITIZE) -DDOCA_STANDIN=$(1) -Itests $$(standin_includes) -c -o $$@ $$<

# Everything of it is exported: names of DOCA's, and those that stand in front of DPDK's.
$(3)/libdoca_flow.so: $(patsubst %.c,$(2)/%.o,$(standin_src)) \
		$(patsubst %.c,$(BUILD)/plain/%.o,$(psp_src) $(standin_soft))
	@mkdir -p $$(@D)
	$$(CC) $$(filter-out -Wl$$(,)-Bsymbolic,$$(LDFLAGS_so)) -o $$@ $$^ $$(crypto_libs) $$(standin_libs)

$(3)/libpsp_dp_doca.so: $(patsubst %.c,$(2)/%.o,$(doca_src)) \
		$(patsubst %.c,$(BUILD)/plain/%.o,$(psp_src) $(common_src)) $(3)/libdoca_flow.so
	$$(CC) $$(LDFLAGS_so) -Wl,-rpath,'$$$$ORIGIN' -o $$@ $$(filter %.o,$$^) $$(crypto_libs) \
		-L$(3) -ldoca_flow $$(standin_libs)

# The same under ASan and UBSan: the program that loads them brings the sanitizers' own library (LD_PRELOAD).
$(3)-asan/libdoca_flow.so: $(patsubst %.c,$(2)-asan/%.o,$(standin_src)) \
		$(patsubst %.c,$(BUILD)/asan/%.o,$(psp_src) $(standin_soft))
	@mkdir -p $$(@D)
	$$(CC) $$(SANITIZE) $$(filter-out -Wl$$(,)-Bsymbolic -Wl$$(,)-z$$(,)defs,$$(LDFLAGS_so)) -o $$@ $$^ \
		$$(crypto_libs) $$(standin_libs)

$(3)-asan/libpsp_dp_doca.so: $(patsubst %.c,$(2)-asan/%.o,$(doca_src)) \
		$(patsubst %.c,$(BUILD)/asan/%.o,$(psp_src) $(common_src)) $(3)-asan/libdoca_flow.so
	$$(CC) $$(SANITIZE) $$(filter-out -Wl$$(,)-z$$(,)defs,$$(LDFLAGS_so)) -Wl,-rpath,'$$$$ORIGIN' -o $$@ \
		$$(filter %.o,$$^) $$(crypto_libs) -L$(3)-asan -ldoca_flow $$(standin_libs)

# One program each, shim and stand-in together; plain and asan are the objects' directories of the soft plane's parts.
$(2)/standin_%: $(2)/tests/standin_%.o $(patsubst %.c,$(2)/%.o,$(doca_src) $(standin_src)) \
		$(patsubst %.c,$(BUILD)/plain/%.o,$(standin_common))
	$$(CC) $$(LDFLAGS_plain) -rdynamic -o $$@ $$^ $$(crypto_libs) $$(standin_libs)

$(2)-asan/standin_%: $(2)-asan/tests/standin_%.o $(patsubst %.c,$(2)-asan/%.o,$(doca_src) $(standin_src)) \
		$(patsubst %.c,$(BUILD)/asan/%.o,$(standin_common))
	$$(CC) $$(LDFLAGS_asan) -rdynamic -o $$@ $$^ $$(crypto_libs) $$(standin_libs)
endef

define standin_doca
$(1)/doca/%.o: doca/%.c $(standin_headers)
	@mkdir -p $$(@D)
	$$(CC) $$(BASE) -O2 $$(SECTIONS) -DDOCA_STANDIN=$(2) $$(standin_includes) -c -o $$@ $$<

$(1)-asan/doca/%.o: doca/%.c $(standin_headers)
	@mkdir -p $$(@D)
	$$(CC) $$(BASE) -O1 $$(SANITIZE) -DDOCA_STANDIN=$(2) $$(standin_includes) -c -o $$@ $$<
endef

$(eval $(call standin_release,300,$(BUILD)/doca-standin,$(BUILD)/standin))
$(eval $(call standin_release,302,$(BUILD)/doca-standin-302,$(BUILD)/standin-302))
$(eval $(call standin_release,303,$(BUILD)/doca-standin-303,$(BUILD)/standin-303))
$(eval $(call standin_doca,$(BUILD)/doca-standin-302,302))
$(eval $(call standin_doca,$(BUILD)/doca-standin-303,303))

# ---- tests ---------------------------------------------------------------------------------------

# The gateway's sequence of calls is told for 3.0 and 3.3.
test-standin: $(foreach t,$(standin_tests),$(BUILD)/doca-standin/$(t) $(BUILD)/doca-standin-asan/$(t)) \
		$(foreach t,$(filter-out standin_gateway_test,$(standin_tests)),$(BUILD)/doca-standin-302/$(t) \
		$(BUILD)/doca-standin-302-asan/$(t)) \
		$(foreach t,$(filter $(standin_short),$(standin_tests)),$(BUILD)/doca-standin-303/$(t))
	@tests/run.sh $^

-include $(wildcard $(BUILD)/doca-standin*/doca*/*.d $(BUILD)/doca-standin*/tests/*.d)
