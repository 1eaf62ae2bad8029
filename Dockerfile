# SPDX-License-Identifier: Apache-2.0
#
# psp-agent in a container: the shim, the binary, and a runtime that holds the binary alone.
#   docker build -t psp-agent .
#   docker buildx build --platform linux/amd64,linux/arm64 -t psp-agent .
# For plane "doca", with images that NVIDIA publishes for one release of DOCA, one to build on and one to run on:
#   docker build --target runtime-doca --build-arg DOCA=1 --build-arg DOCA_BASE=<DOCA's devel image>
#     --build-arg DOCA_RUNTIME=<DOCA's full runtime image> -t psp-agent-doca .
# tests/deploy/dockerfile_test.ts reads it and runs the commands of its stages.
ARG DEBIAN=debian:bookworm-slim
# 1: the shim for DOCA as well, on a base that has its SDK.
ARG DOCA=0
ARG DOCA_BASE=scratch-doca-base-is-not-named
# What the last stage for plane "doca" stands on: DOCA's and DPDK's libraries of the same release.
ARG DOCA_RUNTIME=scratch-doca-runtime-is-not-named

# ---- shim: C, with the compiler -------------------------------------------------------------------
FROM ${DEBIAN} AS base-0
FROM ${DOCA_BASE} AS base-1
ENV SHIMS=libpsp_dp_doca.so
# Where DOCA's packages have their descriptions for pkg-config, on either architecture.
ENV PKG_CONFIG_PATH=/opt/mellanox/doca/lib/aarch64-linux-gnu/pkgconfig:/opt/mellanox/dpdk/lib/aarch64-linux-gnu/pkgconfig:/opt/mellanox/doca/lib/x86_64-linux-gnu/pkgconfig:/opt/mellanox/dpdk/lib/x86_64-linux-gnu/pkgconfig
FROM base-${DOCA} AS shim
RUN apt-get update && apt-get install -y --no-install-recommends \
        binutils ca-certificates gcc libc6-dev libssl-dev make pkg-config \
        $([ "$(dpkg --print-architecture)" != amd64 ] || echo libipsec-mb-dev) \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY deno.json deno.json
COPY c-shim c-shim
RUN make -C c-shim && for shim in $SHIMS; do make -C c-shim "$shim" || exit 1; done

# ---- binary: the program around it ----------------------------------------------------------------
FROM ${DEBIAN} AS binary
RUN apt-get update && apt-get install -y --no-install-recommends \
        binutils ca-certificates gcc libc6-dev libssl-dev libzstd-dev make npm zstd \
        $([ "$(dpkg --print-architecture)" != amd64 ] || echo libipsec-mb-dev) \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
COPY --from=shim /src/build/shim build/shim
# Self-extracting: its launcher hands on what is permitted of the file's capabilities, where deno compile's would have
# to be effective, and then an engine that does not grant all of them could not start the file.
RUN tools/deps.sh deno npm && FORM=self-extracting tools/binary/build.sh && build/bin/psp-agent version

# ---- runtime-doca: the same on NVIDIA's libraries -----------------------------------------------------
FROM ${DOCA_RUNTIME} AS runtime-doca
COPY --from=binary /src/build/bin/psp-agent /usr/local/bin/psp-agent
# Of the file as below; what each is for: docs/install.md, "Rights".
RUN apt-get update && apt-get install -y --no-install-recommends libcap2-bin \
    && groupadd --system --gid 7443 psp-agent \
    && useradd --system --uid 7443 --gid 7443 --home-dir /var/lib/psp-agent --shell /usr/sbin/nologin psp-agent \
    && install -d -o psp-agent -g psp-agent -m 0700 /var/lib/psp-agent \
    && install -d -m 0755 /etc/psp-agent \
    && chown root:psp-agent /usr/local/bin/psp-agent && chmod 0750 /usr/local/bin/psp-agent \
    && setcap cap_net_raw,cap_net_admin,cap_sys_rawio,cap_ipc_lock+p /usr/local/bin/psp-agent \
    && rm -rf /var/lib/apt/lists/*
USER 7443:7443
# docker run --network host --device /dev/infiniband --ulimit memlock=-1
#   --cap-drop ALL --cap-add NET_RAW --cap-add NET_ADMIN --cap-add SYS_RAWIO --cap-add IPC_LOCK
#   -v /etc/psp-agent:/etc/psp-agent:ro -v psp-agent:/var/lib/psp-agent psp-agent-doca
ENV STATE_DIRECTORY=/var/lib/psp-agent
VOLUME ["/var/lib/psp-agent"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=180s \
    CMD ["/usr/local/bin/psp-agent", "status", "--config", "/etc/psp-agent/peers.json"]
ENTRYPOINT ["/usr/local/bin/psp-agent"]
CMD ["--config", "/etc/psp-agent/peers.json"]

# ---- runtime: no compiler, no Deno, no sources ------------------------------------------------------
FROM ${DEBIAN} AS runtime
COPY --from=binary /src/build/bin/psp-agent /usr/local/bin/psp-agent
# The capabilities are the file's: an engine gives a user who is not root none otherwise. What each is for, and how it
# goes without: docs/install.md, "Rights".
RUN apt-get update && apt-get install -y --no-install-recommends libcap2-bin \
    && groupadd --system --gid 7443 psp-agent \
    && useradd --system --uid 7443 --gid 7443 --home-dir /var/lib/psp-agent --shell /usr/sbin/nologin psp-agent \
    && install -d -o psp-agent -g psp-agent -m 0700 /var/lib/psp-agent \
    && install -d -m 0755 /etc/psp-agent \
    && chown root:psp-agent /usr/local/bin/psp-agent && chmod 0750 /usr/local/bin/psp-agent \
    && setcap cap_net_raw,cap_net_admin,cap_net_bind_service+p /usr/local/bin/psp-agent \
    && apt-get purge -y --auto-remove libcap2-bin && rm -rf /var/lib/apt/lists/*
USER 7443:7443
# docker run --network host --cap-drop ALL --cap-add NET_RAW --cap-add NET_ADMIN --cap-add NET_BIND_SERVICE
#   -v /etc/psp-agent:/etc/psp-agent:ro -v psp-agent:/var/lib/psp-agent psp-agent
ENV STATE_DIRECTORY=/var/lib/psp-agent
VOLUME ["/var/lib/psp-agent"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["/usr/local/bin/psp-agent", "status", "--config", "/etc/psp-agent/peers.json"]
ENTRYPOINT ["/usr/local/bin/psp-agent"]
CMD ["--config", "/etc/psp-agent/peers.json"]
