// SPDX-License-Identifier: Apache-2.0

/** SIGHUP, or the configuration file has changed: certificates and the deny list come into force. */
import type { Config } from "../config/config.ts";
import { differences } from "../config/file_form.ts";
import type { Core } from "../core/core.ts";
import type { Log } from "../model/log.ts";
import type { Notify } from "./notify.ts";
import type { RpcClient } from "../rpc/client.ts";
import { isDenied, type Trust } from "../rpc/identity.ts";
import type { RpcServer } from "../rpc/server.ts";
import type { StatusServer } from "../rpc/status_server.ts";
import type { TlsStore } from "../rpc/tls_store.ts";
import { messageOf } from "../model/errors.ts";

/** What is told of it. */
export interface Running {
  /** What the agent was started with. */
  readonly config: Config;
  readonly core: Pick<Core, "deny">;
  readonly server: Pick<RpcServer, "setTrust" | "presented">;
  readonly status: Pick<StatusServer, "reload" | "setTrust">;
  readonly client: Pick<RpcClient, "setTrust" | "presented">;
  readonly tls: Pick<TlsStore, "reload"> | undefined;
  readonly log: Log;
  readonly notify: Pick<Notify, "reloading" | "ready">;
}

/** Whom the RPC side believes. */
export function trustOf({ domain, peers, security }: Config): Trust {
  return { domain, peers: peers.map((peer) => peer.id), deny: security.deny };
}

/** Takes the files anew. A bad one changes nothing and says so; never rejects. */
export async function reload(read: () => Promise<Config>, running: Running): Promise<void> {
  const { core, server, status, client, tls, log, notify } = running;
  notify.reloading();
  tls?.reload();
  status.reload();
  try {
    const config = await read();
    const trust = trustOf(config);
    const { deny } = config.security;
    // A certificate is denied, not its owner: tunnels that it opened end, and he may open new ones with another.
    const stolen = config.peers.map(({ id }) => id).filter((id) =>
      [server, client].some((side) => isDenied("", side.presented().get(id) ?? "", trust))
    );
    const denied = core.deny([...deny, ...stolen]);
    core.deny(deny);
    server.setTrust(trust);
    status.setTrust(trust);
    client.setTrust(trust, config.peers);
    log.info("Configuration reloaded: the deny list and certificates are in force", {
      count: denied.length,
    });
    const late = changedSince(running.config, config);
    if (late.length > 0) {
      log.warn("Other changes come into force when the agent is started again", {
        reason: late.join(", "),
      });
    }
  } catch (error) {
    log.error("Configuration not reloaded", {
      reason: messageOf(error),
    });
  }
  notify.ready();
}

/** The keys of the file that say something else now; not those that a reload takes. */
export function changedSince(before: Config, after: Config): readonly string[] {
  return differences(before, after).filter((key) => !key.startsWith("security."));
}
