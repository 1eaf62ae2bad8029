// SPDX-License-Identifier: Apache-2.0

/** What would become of a packet between two addresses at this moment, step by step, and why. Changes nothing. */
import type { Clock } from "../model/clock.ts";
import { spiText, type VipPair } from "../model/sa.ts";
import type { ExplainStep, ExplainView } from "../model/status.ts";
import { pairKey } from "../model/sa.ts";
import type { Peers } from "./directory.ts";
import type { Misses, MissVerdict } from "./misses.ts";
import type { PeerLines } from "./peer.ts";
import { isLive, isUnheard, type State } from "./tunnel.ts";
import type { TunnelTable } from "./tunnel_table.ts";

/** What is looked at. */
export interface ExplainOptions {
  readonly table: Pick<TunnelTable, "get">;
  readonly misses: Pick<Misses, "judge">;
  readonly peers: Pick<Peers, "byVip" | "isLocal" | "get">;
  readonly lines: Pick<PeerLines, "of">;
  readonly clock: Pick<Clock, "now">;
}

/** `src` and `dst` are canonical. */
export function explain(
  { src, dst }: { readonly src: string; readonly dst: string },
  options: ExplainOptions,
): ExplainView {
  const { peers } = options;
  if (peers.isLocal(src) && peers.isLocal(dst)) {
    const text = `${src} and ${dst} are both on this host: no tunnel carries it`;
    return { verdict: "passes", steps: [{ at: "LOCAL", verdict: "ok", text }] };
  }
  if (peers.isLocal(dst)) return ingress({ src, dst }, options);
  return egress({ localVip: src, remoteVip: dst }, options);
}

const FROM_HOST: ExplainStep = {
  at: "ROOT",
  verdict: "ok",
  text: "IP from a host port goes on to EGR_ACL",
};

/** The packet leaves this host. */
function egress(pair: VipPair, options: ExplainOptions): ExplainView {
  const { table, misses, clock, peers } = options;
  const tunnel = table.get(pairKey(pair));
  const state = tunnel?.state;
  const now = clock.now();
  if (tunnel !== undefined && state !== undefined && isLive(state)) {
    return sealed(pair, { peer: tunnel.peer, state, options });
  }
  if (tunnel !== undefined && state?.kind === "failed" && state.until > now) {
    const why = tunnel.lastError === "" ? "" : `: ${tunnel.lastError}`;
    return dropped("back-off", tunnel.peer, [
      FROM_HOST,
      miss(),
      {
        at: "RSS",
        verdict: "drop",
        text: `The last attempt failed (${
          hyphens(state.reason)
        })${why}; the next one may be made in ${seconds(state.until - now)}`,
      },
    ]);
  }
  const verdict = misses.judge(pair);
  const steps = [FROM_HOST, miss()];
  if ("reason" in verdict) {
    const text = refusal(pair, { verdict, options });
    return dropped(hyphens(verdict.reason), verdict.peer, [
      ...steps,
      { at: "RSS", verdict: "drop", text },
    ]);
  }
  const { peer } = verdict;
  const where = peers.get(peer)?.svcAddress ?? "";
  const text = state?.kind === "opening"
    ? `The packet is held: ${peer} (${where}) was asked for a tunnel ${
      seconds(now - state.since)
    } ago`
    : `The packet would be held, and ${peer} (${where}) asked for a tunnel`;
  return { verdict: "held", peer, steps: [...steps, { at: "RSS", verdict: "wait", text }] };
}

function miss(): ExplainStep {
  return { at: "EGR_ACL", verdict: "miss", text: "No entry for this pair: a miss" };
}

/** There is an entry. */
function sealed(
  { localVip, remoteVip }: VipPair,
  { peer, state, options }: {
    readonly peer: string;
    readonly state: Extract<State, { readonly tx: unknown }>;
    readonly options: ExplainOptions;
  },
): ExplainView {
  const { sa, expired, packets } = state.tx;
  const steps: ExplainStep[] = [FROM_HOST, {
    at: "EGR_ACL",
    verdict: "ok",
    text: `An entry for ${localVip} to ${remoteVip}: towards ${peer} at ${sa.pip}`,
  }];
  if (expired) {
    return dropped("tx-key-expired", peer, [...steps, {
      at: "PSP_ENCRYPT",
      verdict: "drop",
      text: `${spiText(sa.spi)} reached its hard limit, and ${peer} gave no new SA: ${
        options.lines.of(peer).lastError || "no answer"
      }`,
    }]);
  }
  steps.push({
    at: "PSP_ENCRYPT",
    verdict: "ok",
    text: `Sealed with ${spiText(sa.spi)} (${sa.version}), as ${packets} packets before it`,
  });
  if (isUnheard(state)) {
    steps.push({
      at: "p0",
      verdict: "unknown",
      text:
        `${peer} asked for this tunnel and was not heard on it yet: nobody knows whether it is there`,
    });
  }
  const there =
    `What ${peer} does with it, its own agent says: psp-agent explain ${localVip} ${remoteVip}`;
  return {
    verdict: "passes",
    peer,
    steps: [...steps, { at: "p0", verdict: "unknown", text: there }],
  };
}

/** The packet comes to this host. */
function ingress(
  { src, dst }: { readonly src: string; readonly dst: string },
  options: ExplainOptions,
): ExplainView {
  const { peers, table } = options;
  const first: ExplainStep = {
    at: "ROOT",
    verdict: "ok",
    text: "UDP port 1000 from the uplink goes on to PSP_DECRYPT",
  };
  const peer = peers.byVip(src)?.id;
  if (peer === undefined) {
    return dropped("rx-no-sa", undefined, [first, {
      at: "INGR_ACL",
      verdict: "drop",
      text: `No peer owns ${src}: no SA lets it in`,
    }]);
  }
  const tunnel = table.get(pairKey({ localVip: dst, remoteVip: src }));
  const spis = tunnel?.state.rx.map(({ sa }) => spiText(sa.spi)) ?? [];
  if (spis.length === 0) {
    return dropped("rx-no-sa", peer, [first, {
      at: "INGR_ACL",
      verdict: "drop",
      text: `No SA for ${src} to ${dst}: ${peer} has to ask this host for a tunnel first`,
    }]);
  }
  return {
    verdict: "passes",
    peer,
    steps: [
      first,
      { at: "PSP_DECRYPT", verdict: "ok", text: "Opened, if it is authentic; else rx-auth-fail" },
      { at: "INGR_ACL", verdict: "ok", text: `Let in from ${peer} with ${spis.join(" or ")}` },
      { at: "host", verdict: "ok", text: `Handed to the workload ${dst}` },
    ],
  };
}

function dropped(
  counter: string,
  peer: string | undefined,
  steps: readonly ExplainStep[],
): ExplainView {
  return { verdict: "dropped", counter, ...peer === undefined ? {} : { peer }, steps };
}

/** Why a miss opens no tunnel, in words. */
function refusal(
  { localVip, remoteVip }: VipPair,
  { verdict, options: { lines } }: {
    readonly verdict: Extract<MissVerdict, { readonly reason: unknown }>;
    readonly options: ExplainOptions;
  },
): string {
  const { counter, peer = "" } = verdict;
  switch (counter) {
    case undefined:
      return "The agent is ending";
    case "link-scope":
      return "Multicast and link-local addresses stay on the workload's own link";
    case "foreign-source":
      return `${localVip} is none of this host's vips`;
    case "no-peer":
      return `No peer owns ${remoteVip}: look at the vips of the peers`;
    case "refused-identity":
      return `${peer} is on the deny list (security.deny)`;
    case "back-off":
      return `${peer} does not answer (${
        lines.of(peer).lastError
      }); the next attempt may be made in ${seconds(verdict.holdOffMs ?? 0)}`;
    default:
      return `There is no room for another tunnel (${counter}), unless one goes that is idle`;
  }
}

function hyphens(reason: string): string {
  return reason.replaceAll("_", "-");
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
