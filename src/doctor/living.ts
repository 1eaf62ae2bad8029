// SPDX-License-Identifier: Apache-2.0

/** What runs where a configuration points: its agent, who has its ports and its state, and whether its peers answer. */
import { type Config, ConfigError } from "../config/config.ts";
import { parseHostPort } from "../config/addresses.ts";
import { defaultSocket } from "../config/places.ts";
import { messageOf } from "../model/errors.ts";
import { ExchangeError } from "../model/exchange.ts";
import type { StatusView } from "../model/status.ts";
import { createRpcClient } from "../rpc/client.ts";
import { peerIds } from "../rpc/identity.ts";
import { saidToWait } from "../rpc/refusals.ts";
import { openStatusClient } from "../rpc/status_client.ts";
import { TlsStore } from "../rpc/tls_store.ts";
import { isHeld } from "../store/state_dir.ts";
import type { Finding } from "./checks.ts";

/** An answer that takes longer is none: somebody waits for it. */
const TIMEOUT_MS = 3_000;
/** Of a fleet these are tried: the way from here is much the same to all. */
const PEERS_TRIED = 8;

/** One finding for the agent, for each port, for the state directory where that says more, and for each peer that is tried. */
export async function livingFindings(config: Config): Promise<readonly Finding[]> {
  const found = await runningAgent(config);
  if (typeof found === "string") return [waiting(found), ...await peers(config)];
  const running = found;
  const isOwn = running?.id.endsWith(`/${config.id}`) ?? false;
  return [
    agent(running, isOwn),
    ...ports(config, isOwn),
    ...state(config, isOwn),
    ...await peers(config),
  ];
}

/** The agent's own word, or what it waits for; undefined: none answers at its socket. */
async function runningAgent(
  { status: { socket } }: Config,
): Promise<StatusView | string | undefined> {
  await using client = openStatusClient({
    address: socket ?? defaultSocket(),
    timeoutMs: TIMEOUT_MS,
  });
  return await client.status({ maxPeers: 0 })
    .catch((cause) => saidToWait(messageOf(cause)));
}

/** It has some of its ports, and tries again and again for the others and the state directory. */
function waiting(found: string): Finding {
  const advice = "it starts by itself once it can";
  return { what: "agent", verdict: "problem", found, advice };
}

function agent(running: StatusView | undefined, isOwn: boolean): Finding {
  const what = "agent";
  if (running === undefined) return { what, verdict: "ok", found: "none answers at its socket" };
  const { version, draining } = running;
  const found = `psp-agent ${version} of ${running.id} runs${draining ? ", and is stopping" : ""}`;
  if (isOwn) return { what, verdict: "ok", found };
  const advice = "status.socket: two agents on a host have each their own";
  return { what, verdict: "warning", found, advice };
}

/** Whether the agent could listen there, or does. */
function ports(config: Config, isRunning: boolean): Finding[] {
  const { rpc, status } = config;
  const named = { "rpc.listen": rpc.listen, "status.listen": status.listen };
  return Object.entries(named).flatMap(([key, address]): Finding[] => {
    const what = `${key} ${address}`;
    const { host: hostname, port } = parseHostPort(address);
    try {
      Deno.listen({ hostname, port }).close();
      const found = "free";
      if (!isRunning) return [{ what, verdict: "ok", found }];
      const advice = "the agent that runs listens elsewhere: is this its configuration?";
      return [{ what, verdict: "warning", found, advice }];
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) return [];
      if (isRunning) return [{ what, verdict: "ok", found: "the agent listens" }];
      const found = "another program listens there";
      return [{ what, verdict: "problem", found, advice: `ss -ltnp sport = :${port} says which` }];
    }
  });
}

function state({ stateDir }: Config, isRunning: boolean): Finding[] {
  const what = "state directory";
  const held = isHeld(stateDir);
  if (held === undefined || held === isRunning) return [];
  if (isRunning) {
    const advice = "state_dir: the agent that runs has another";
    return [{ what, verdict: "warning", found: `nobody holds the lock of ${stateDir}`, advice }];
  }
  const advice = "an agent runs that does not answer at status.socket: ps -C psp-agent";
  return [{ what, verdict: "problem", found: `an agent holds the lock of ${stateDir}`, advice }];
}

/** Calls peers as the agent would, with its certificate, and asks for nothing. */
async function peers(config: Config): Promise<Finding[]> {
  const { id, domain, rpc, security } = config;
  let tls: TlsStore | undefined;
  try {
    if (rpc.tls !== undefined) tls = new TlsStore(rpc.tls, { pollMs: 0 });
  } catch (error) {
    // The certificate has a finding of its own.
    if (error instanceof ConfigError) return [];
    throw error;
  }
  const all = config.peers;
  const byId = new Map(all.map((peer) => [peer.id, peer]));
  try {
    using client = createRpcClient({
      id,
      peers: (id) => byId.get(id),
      trust: { domain, peers: peerIds(all.map((peer) => peer.id)), deny: security.deny },
      maxMessageBytes: rpc.maxMessageBytes,
      requirePq: rpc.requirePq,
      ...tls === undefined ? { insecure: true } : { tls },
    });
    const tried = all.slice(0, PEERS_TRIED);
    const found = await Promise.all(tried.map((peer) => look(client, peer)));
    if (all.length === tried.length) return found;
    const rest = `${all.length - tried.length} of ${all.length} were not tried`;
    return [...found, { what: "peers", verdict: "ok", found: rest }];
  } finally {
    tls?.[Symbol.dispose]();
  }
}

async function look(
  client: ReturnType<typeof createRpcClient>,
  { id, svcAddress }: Config["peers"][number],
): Promise<Finding> {
  const what = `peer ${id}`;
  const begun = performance.now();
  const answered = () =>
    `answers at ${svcAddress} after ${Math.ceil(performance.now() - begun)} ms`;
  try {
    await client.countPackets?.(id, { spis: [], unanswered: false }, { timeoutMs: TIMEOUT_MS });
    return { what, verdict: "ok", found: `${answered()}, and takes this host's certificate` };
  } catch (cause) {
    const { code, message } = ExchangeError.from(cause);
    // One of before counts nothing, and has let us in.
    if (code === "unimplemented") return { what, verdict: "ok", found: answered() };
    if (code === "permission_denied") {
      const advice = `look at its peers, its security.deny and rpc.tls.ca, on ${id}`;
      return { what, verdict: "problem", found: `refuses this host: ${message}`, advice };
    }
    const advice = "is its agent up, and the way there open?";
    return { what, verdict: "warning", found: message.replace(/^\[\w+\] /, ""), advice };
  }
}
