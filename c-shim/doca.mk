# SPDX-License-Identifier: Apache-2.0
#
# The DOCA plane. c-shim/Makefile includes this at its end; the syntax targets also work by themselves:
#
#   make libpsp_dp_doca.so                    where pkg-config finds doca-flow and libdpdk; else one sentence
#   make -f doca.mk doca-syntax DOCA_INCLUDE=dir     checks the shim against headers in dir
#   make -f doca.mk doca-standin-syntax              checks it against our own declarations, as 3.0 to 3.3 and later
#   make doca-objects                         its objects, compiled against our own declarations (no SDK)
#
# DOCA_INCLUDE   a directory with DOCA's headers, for doca-syntax
# DPDK           pkg-config's name for DPDK, which the headers need in any case

include version.mk
DPDK ?= libdpdk
BUILD ?= ../build/shim
.PHONY: libpsp_dp_doca.so doca-syntax doca-standin-syntax doca-objects

doca_src := $(wildcard doca/*.c)
doca_packages := doca-flow doca-dpdk-bridge doca-common

# Other people's headers are not ours to warn about.
as_system = $(patsubst -I%,-isystem %,$(1))
dpdk_cflags = $(call as_system,$(shell pkg-config --cflags $(DPDK) 2>/dev/null))
doca_defines := -DDOCA_ALLOW_EXPERIMENTAL_API -DALLOW_EXPERIMENTAL_API
doca_check = $(CC) -std=c11 -D_DEFAULT_SOURCE= -fsyntax-only -Wall -Wextra -Werror $(version_flag) \
	$(doca_defines) $(1) $(dpdk_cflags)
# Our declarations of them: the compiler names no system header as a dependency.
standin_headers := $(wildcard doca-standin/include/*.h)
have_dpdk = pkg-config --exists $(DPDK) || { echo "DPDK's headers are missing (Debian: libdpdk-dev)"; exit 1; }

# ---- checks without the SDK ----------------------------------------------------------------------

# -I, not -isystem: warnings that DOCA's own macros cause in our code count.
doca-syntax:
	@$(have_dpdk)
	@test -f "$(DOCA_INCLUDE)/doca_flow.h" || { echo "DOCA_INCLUDE names no directory with doca_flow.h"; exit 1; }
	@for f in $(doca_src); do $(call doca_check,-I$(DOCA_INCLUDE)) $$f || exit 1; done
	@echo "$(words $(doca_src)) files: no warning against $(DOCA_INCLUDE)"

doca-standin-syntax:
	@$(have_dpdk)
	@for v in 300 301 302 303 305; do for f in $(doca_src); do \
		$(call doca_check,-Wconversion -DDOCA_STANDIN=$$v -isystem doca-standin/include) $$f || exit 1; \
	done; done
	@echo "$(words $(doca_src)) files: no warning against our declarations of 3.0, 3.1, 3.2 and 3.3, and as a later release"

# ---- objects -------------------------------------------------------------------------------------

# BASE, HARDEN, SECTIONS: of the Makefile.
$(BUILD)/doca-standin/doca/%.o: doca/%.c $(standin_headers)
	@mkdir -p $(@D)
	$(CC) $(BASE) -O2 $(SECTIONS) $(doca_defines) -isystem doca-standin/include $(dpdk_cflags) -c -o $@ $<

$(BUILD)/doca-standin-asan/doca/%.o: doca/%.c $(standin_headers)
	@mkdir -p $(@D)
	$(CC) $(BASE) -O1 $(SANITIZE) $(doca_defines) -isystem doca-standin/include $(dpdk_cflags) -c -o $@ $<

$(BUILD)/doca/doca/%.o: doca/%.c
	@mkdir -p $(@D)
	$(CC) $(BASE) -O2 $(HARDEN) $(SECTIONS) $(doca_defines) \
		$(call as_system,$(shell pkg-config --cflags $(doca_packages))) $(dpdk_cflags) -c -o $@ $<

# They say the version.
$(foreach d,doca doca-standin doca-standin-asan,$(BUILD)/$(d)/doca/port.o): ../deno.json

doca-objects: $(patsubst %.c,$(BUILD)/doca-standin/%.o,$(doca_src))

# ---- the library ---------------------------------------------------------------------------------

DOCA_SO := $(BUILD)/libpsp_dp_doca.so

libpsp_dp_doca.so:
	@pkg-config --exists doca-flow $(DPDK) || { \
		echo "libpsp_dp_doca.so is not built: pkg-config finds no doca-flow and $(DPDK) (install the DOCA SDK)"; \
		exit 1; }
	@$(MAKE) --no-print-directory $(DOCA_SO)

# It needs DOCA's and DPDK's libraries at run time; the loader names one that is missing.
$(DOCA_SO): $(patsubst %.c,$(BUILD)/doca/%.o,$(doca_src)) \
		$(patsubst %.c,$(BUILD)/plain/%.o,$(psp_src) $(common_src))
	$(CC) $(LDFLAGS_so) -o $@ $^ $(crypto_libs) $(shell pkg-config --libs $(doca_packages) $(DPDK))
	@stray=$$($(NM) -D --defined-only $@ | awk '$$3 !~ /^psp_dp_/ {print $$3}'); \
		test -z "$$stray" || { echo "exported, but not psp_dp_*: $$stray"; exit 1; }
	@$(SIZE) $@

-include $(wildcard $(BUILD)/doca*/doca/*.d)
