// SPDX-License-Identifier: Apache-2.0

/**
 * Mistakes that a protocol like this has had somewhere, planted into a copy of the core: each is found by an exploration
 * that `make test` has time for, or the exploration is worth nothing.
 */
import { type Bounds, type Budgets, NOTHING } from "./stage.ts";
import type { Patch } from "../sim/load.ts";

/** A planted mistake. */
export interface Mutant {
  readonly name: string;
  readonly patches: readonly Patch[];
  /** Where it is looked for. */
  readonly bounds: Bounds;
  /** What is said of it. */
  readonly found: RegExp;
}

export const MUTANTS: readonly Mutant[] = [
  mutant("release before transmit is programmed", { packets: 1 }, {
    file: "tunnel.ts",
    find: 'if (newer) effects.push({ do: "set_tx", sa: to.tx.sa, key: to.key });',
    replace: `if (state.kind === "opening") {
      for (const flow of state.flows) effects.push({ do: "release", flow });
      state = { ...state, flows: [] };
    }
    if (newer) effects.push({ do: "set_tx", sa: to.tx.sa, key: to.key });`,
    found: /released before transmit/,
  }),
  mutant("advertise before receive is programmed", { packets: 1 }, {
    file: "tunnel.ts",
    find: 'effects: [{ do: "add_rx", sa: rx.sa }],',
    replace: "effects: [],",
    found: /no packet .*passes/,
  }),
  mutant("retire before the grace is over", { packets: 2, slow: 1, rekey: 1 }, {
    file: "tunnel.ts",
    find: "return Math.max(rx.supersededAt, rx.seenAt) + graceMs;",
    replace: "return rx.supersededAt + 0 * graceMs;",
    found: /grace time in vain/,
  }),
  mutant("retire what the peer may still send with", { packets: 1, rekey: 1, lose: 1 }, {
    file: "tunnel.ts",
    find: "if (rx.confirmed && rx.sa.serial > known) known = rx.sa.serial;",
    replace: "if (rx.sa.serial > known) known = rx.sa.serial;",
    found: /into nothing/,
  }),
  mutant("take back what the peer may have", { packets: 1, lose: 2 }, {
    file: "tunnel.ts",
    find: "if (!maybe) {",
    replace: "if (maybe || !maybe) {",
    found: /into nothing/,
  }),
  mutant("accept an older serial", { packets: 1, rekey: 1, delay: 4 }, {
    file: "tunnel.ts",
    find: "return a.epoch > b.epoch || (a.epoch === b.epoch && a.serial > b.serial);",
    replace: "return a.epoch > b.epoch || (a.epoch === b.epoch && a.serial !== b.serial);",
    found: /into nothing|were lost/,
  }),
  mutant("keep SAs of a start that is over", { packets: 1, restart: 1 }, {
    file: "core.ts",
    find: /^.*type: "peer_restarted".*$/m,
    replace: "",
    found: /agreed with a start/,
  }),
  mutant("believe a message of a start that is over", { packets: 2, restart: 1, copy: 1 }, {
    file: "peer.ts",
    find: 'if (now - known.heardAt < (isFuture ? STALE_FUTURE_MS : STALE_MS)) return "stale";',
    replace: "void isFuture;",
    found: /knows is over|a second time/,
  }),
  mutant("answer a repeated request anew", { packets: 1, copy: 1 }, {
    file: "responder.ts",
    find: "if (known !== undefined) {",
    replace: "if (known !== undefined && context.bootEpoch < 0n) {",
    found: /answered with SPI/,
  }),
  mutant("rotate twice", { packets: 1, rotate: 2 }, {
    file: "rotation.ts",
    find: "const isFree = holding(state, context).sas === 0;",
    replace: "const isFree = holding(state, context).sas >= 0;",
    found: /a rotation kills/,
  }),
  mutant("do not leave the key before", { packets: 1, rotate: 1 }, {
    file: "rotation.ts",
    find: 'return stays ? [{ do: "move", tunnel, generation }] : [];',
    replace: "return stays ? [] : [];",
    found: /on the key before/,
  }),
  mutant("forget the packets that are held", { packets: 1, lose: 2 }, {
    file: "tunnel.ts",
    find: 'effects.push({ do: "drop", flow, reason: why.reason, holdOffMs: why.holdOffMs });',
    replace: "void flow;",
    found: /held|no packet .*passes/,
  }),
  mutant("do not listen to who knows no such SPI", { packets: 1, deny: 1 }, {
    file: "notices.ts",
    find: 'return isLost ? [{ tunnel, event: { type: "lost", spi: state.tx.sa.spi } }] : [];',
    replace: "return isLost ? [] : [];",
    found: /no packet .*passes/,
  }),
  mutant("take anybody's word for an address", { packets: 1, forge: 1 }, {
    file: "responder.ts",
    find: "if (!owns(peer.id, theirs)) {",
    replace: 'if (theirs === "nobody") {',
    found: /has no owner/,
  }),
  mutant("keep keys of requests that are over", { packets: 1 }, {
    file: "initiator_driver.ts",
    find: "this.#inFlight.delete(tunnel.key);\n          shares.release(params.key);",
    replace: "this.#inFlight.delete(tunnel.key);",
    found: /keeps \d+ keys/,
  }),
  mutant("leave in the plane what was not programmed whole", { packets: 1, refuse: 1 }, {
    file: "tunnel_table.ts",
    find: 'if (effect.do === "add_rx") {',
    replace: 'if (effect.do === "add_rx" && entry.peer === "nobody") {',
    found: /no tunnel has it/,
  }),
  mutant("take back at a refusal what was given in an answer", { packets: 2, refuse: 1 }, {
    file: "tunnel.ts",
    find: "const has = offer?.confirmed || (offer?.given && offer.maybeUntil === undefined);",
    replace: "const has = offer?.confirmed;",
    found: /into nothing/,
  }),
  mutant("give what is on offer, and forget that it was given", { packets: 2, refuse: 1 }, {
    file: "tunnel.ts",
    find: "old.sa.spi === inFlight ? { ...old, given: true, maybeUntil: undefined } : old",
    replace: "old",
    found: /into nothing/,
  }),
  mutant("void the offer when the peer was started anew", { packets: 2, restart: 1 }, {
    file: "tunnel.ts",
    find: "const stays = ({ sa, maybeUntil }: Rx) => sa.spi === offer || maybeUntil !== undefined;",
    replace: "const stays = ({ maybeUntil }: Rx) => maybeUntil !== undefined;",
    found: /into nothing/,
  }),
  mutant("never ask for what is not confirmed", { packets: 1, lose: 2 }, {
    file: "tunnel.ts",
    find: "tx.unconfirmed !== undefined && context.now >= tx.unconfirmed.askAt",
    replace: "tx.unconfirmed !== undefined && context.now < 0",
    found: /does not learn/,
  }),
  mutant("go on when the peer has closed", { packets: 2, slow: 1, idle: 1 }, {
    file: "notices.ts",
    find: 'return tunnel?.peer === peer ? [{ tunnel, event: { type: "closed_by_peer" } }] : [];',
    replace: "return [];",
    found: /said that it closed/,
  }),
  mutant("let anybody close", { packets: 1, forge: 1 }, {
    file: "notices.ts",
    find: 'tunnel?.peer === peer ? [{ tunnel, event: { type: "closed_by_peer" } }] : [];',
    replace: 'tunnel !== undefined ? [{ tunnel, event: { type: "closed_by_peer" } }] : [];',
    found: /none of its own/,
    hosts: 3,
  }),
  mutant("let anybody confirm", { packets: 1, forge: 1 }, {
    file: "notices.ts",
    find: 'tunnel?.peer === peer ? [{ tunnel, event: { type: "confirmed", spi } }] : [];',
    replace: 'tunnel !== undefined ? [{ tunnel, event: { type: "confirmed", spi } }] : [];',
    found: /none of its own/,
    hosts: 3,
  }),
  mutant("leave the tunnels of a peer that is denied", { packets: 1, deny: 1 }, {
    file: "core.ts",
    find: 'table.applyAll(table.ofPeer(peer), { type: "close", reason: "refused" });',
    replace: "",
    found: /which it denies/,
  }),
  mutant("answer a peer that is denied", { packets: 2, deny: 1 }, {
    file: "peer.ts",
    find: "if (peer === undefined || peers.denied(id)) {",
    replace: "if (peer === undefined) {",
    found: /which it denies/,
  }),
  mutant("remember answers of before a peer was denied", { packets: 1, deny: 2, lose: 1 }, {
    file: "core.ts",
    find: "memory.forget(peer);\n        initiator.forget(peer);",
    replace: "initiator.forget(peer);",
    found: /which it does not receive/,
  }),
  mutant("do not listen to who says that it stops", { packets: 1, stop: 1 }, {
    file: "notices.ts",
    find: "if (patientUntil > now) return undefined;",
    replace: "if (patientUntil > -1) return undefined;",
    found: /told it that it ends/,
  }),
  mutant("do not replace a key for its packets", { packets: 1, exhaust: 1 }, {
    file: "tunnel.ts",
    find: "const due = context.now >= tx.softAt || isSpent(tx);",
    replace: "const due = context.now >= tx.softAt;",
    found: /no packet .*passes/,
  }),
  mutant("look at a spent key only when packets pass", { packets: 2, exhaust: 1, lose: 1 }, {
    file: "tunnel.ts",
    find: "if (isSpent(state.tx)) return 0;",
    replace: "",
    found: /no packet .*passes/,
  }),
  mutant("send on when a key's life is over", { packets: 1, outage: 1 }, {
    file: "tunnel.ts",
    find: "if (tx.expired || to.now < tx.expiresAt) return tx;",
    replace: "if (tx.expired || to.now >= 0) return tx;",
    found: /beyond its life/,
  }),
  mutant("forget how late a key may be told of", { packets: 1, delay: 1, outage: 1 }, {
    file: "params.ts",
    find: "Math.ceil(at.now + lifeMs + graceMs + LIFE_MARGIN_MS)",
    replace: "Math.ceil(at.now + lifeMs + graceMs + LIFE_MARGIN_MS / 4)",
    found: /packets were lost|into nothing/,
  }),
  mutant("do not replace a key whose life is over", { packets: 1, outage: 1 }, {
    file: "tunnel.ts",
    find: "const due = context.now >= tx.softAt || isSpent(tx);",
    replace: "const due = !tx.expired && (context.now >= tx.softAt || isSpent(tx));",
    found: /no packet .*passes/,
  }),
  mutant("do not look again at who stays on the key before", { packets: 2, rotate: 1 }, {
    file: "rotation_driver.ts",
    find: 'type: "recheck"',
    replace: 'type: "tick", spisLeft: 1_000_000_000n',
    found: /on the key before/,
  }),
];

function mutant(
  name: string,
  budgets: Partial<Budgets>,
  { found, hosts = 2, ...patch }: Patch & { readonly found: RegExp; readonly hosts?: number },
): Mutant {
  const bounds = { budgets: { ...NOTHING, ...budgets }, depth: 14, pairs: 1, hosts };
  return { name, patches: [patch], bounds, found };
}
