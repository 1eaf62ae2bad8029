# SPDX-License-Identifier: Apache-2.0
#
# The agent's version stands in deno.json, once. Makefile and doca.mk include this.

agent_version := $(shell sed -n 's/^ *"version": "\([^"]*\)",$$/\1/p' ../deno.json)
ifeq ($(agent_version),)
$(error Cannot read the version: ../deno.json has no line "version")
endif
version_flag := -DPSP_AGENT_VERSION='"$(agent_version)"'
