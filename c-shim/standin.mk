# SPDX-License-Identifier: Apache-2.0
#
# The DOCA plane on a stand-in for DOCA (doca-standin/), for tests: no SDK, no device, but Debian's DPDK (libdpdk-dev).
# c-shim/Makefile includes this after doca.mk.
#
#   make doca-standin             build/shim/standin/{libdoca_flow.so,libpsp_dp_doca.so}
#   make test-standin             tests/standin_*_test.c, plain and under ASan and UBSan; root
#   make test-standin ONLY=standin_refuse%
#
# libdoca_flow.so stands in front of a few functions of DPDK, so it comes before DPDK wherever both are linked.

, := ,
STANDIN := $(BUILD)/standin
standin_src := $(wildcard doca-standin/*.c)
# The packet steps that it executes pipes with, and its interfaces.
standin_soft := $(addprefix common/,csum.c packet.c) $(addprefix soft/,decap.c decrypt.c port.c seal.c segment.c \
	sink.c)
standin_flags = $(doca_defines) -fvisibility=default -isystem doca-standin/include $(dpdk_cflags)
standin_libs = -Wl,--as-needed -lrte_ethdev -lrte_mbuf -lrte_mempool -lrte_ring -lrte_eal -lrte_net_ring -ldl

.PHONY: doca-standin test-standin

doca-standin: $(STANDIN)/libpsp_dp_doca.so

$(BUILD)/doca-standin/doca-standin/%.o: doca-standin/%.c $(standin_headers)
	@$(have_dpdk)
	@mkdir -p $(@D)
	$(CC) $(BASE) -O2 $(standin_flags) -c -o $@ $<

$(BUILD)/doca-standin-asan/doca-standin/%.o: doca-standin/%.c $(standin_headers)
	@$(have_dpdk)
	@mkdir -p $(@D)
	$(CC) $(BASE) -O1 $(SANITIZE) $(standin_flags) -c -o $@ $<

# Everything of it is exported: names of DOCA's, and those that stand in front of DPDK's.
$(STANDIN)/libdoca_flow.so: $(patsubst %.c,$(BUILD)/doca-standin/%.o,$(standin_src)) \
		$(patsubst %.c,$(BUILD)/plain/%.o,$(psp_src) $(standin_soft))
	@mkdir -p $(@D)
	$(CC) $(filter-out -Wl$(,)-Bsymbolic,$(LDFLAGS_so)) -o $@ $^ $(crypto_libs) $(standin_libs)

$(STANDIN)/libpsp_dp_doca.so: $(patsubst %.c,$(BUILD)/doca-standin/%.o,$(doca_src)) \
		$(patsubst %.c,$(BUILD)/plain/%.o,$(psp_src) $(common_src)) $(STANDIN)/libdoca_flow.so
	$(CC) $(LDFLAGS_so) -Wl,-rpath,'$$ORIGIN' -o $@ $(filter %.o,$^) $(crypto_libs) \
		-L$(STANDIN) -ldoca_flow $(standin_libs)

# ---- tests ---------------------------------------------------------------------------------------

standin_test_src := $(filter tests/$(ONLY)_test.c,$(wildcard tests/standin_*_test.c))
standin_tests := $(basename $(notdir $(standin_test_src)))

$(BUILD)/doca-standin/tests/%.o: tests/%.c $(standin_headers)
	@mkdir -p $(@D)
	$(CC) $(BASE) -O2 $(doca_defines) -Itests -isystem doca-standin/include $(dpdk_cflags) -c -o $@ $<

$(BUILD)/doca-standin-asan/tests/%.o: tests/%.c $(standin_headers)
	@mkdir -p $(@D)
	$(CC) $(BASE) -O1 $(SANITIZE) $(doca_defines) -Itests -isystem doca-standin/include $(dpdk_cflags) -c -o $@ $<

# One program each, shim and stand-in together; plain and asan are the objects' directories of the soft plane's parts.
standin_common := $(sort $(psp_src) $(common_src) $(standin_soft))
define standin_program
$(BUILD)/$(2)/$(1): $(BUILD)/$(2)/tests/$(1).o $(patsubst %.c,$(BUILD)/$(2)/%.o,$(doca_src) $(standin_src)) \
		$(patsubst %.c,$(BUILD)/$(3)/%.o,$(standin_common))
	$$(CC) $$(LDFLAGS_$(3)) -rdynamic -o $$@ $$^ $$(crypto_libs) $$(standin_libs)
endef
$(foreach t,$(standin_tests),$(eval $(call standin_program,$(t),doca-standin,plain)))
$(foreach t,$(standin_tests),$(eval $(call standin_program,$(t),doca-standin-asan,asan)))

test-standin: $(foreach t,$(standin_tests),$(BUILD)/doca-standin/$(t) $(BUILD)/doca-standin-asan/$(t))
	@tests/run.sh $^

-include $(wildcard $(BUILD)/doca-standin*/doca-standin/*.d $(BUILD)/doca-standin*/tests/*.d)
