// SPDX-License-Identifier: Apache-2.0

/** Who owns which address: this host, a peer, or nobody. The longest prefix wins, whoever holds it. */
import type { Config, PeerConfig } from "../config/config.ts";
import { canonicalVip, parsePrefix, PrefixTable } from "../model/vip.ts";
import { MAX_CONTROLS } from "./limits.ts";

type Owner = { readonly kind: "local" } | { readonly kind: "peer"; readonly peer: PeerConfig };

/** The directory of peers and of vips, as the configuration gives them. */
export class Peers {
  readonly #byId = new Map<string, PeerConfig>();
  readonly #owners = new PrefixTable<Owner>();
  readonly #pips = new Map<string, string>();
  readonly #byPip = new Map<string, Set<string>>();
  /** Where the control channel with a peer goes to or comes from, the latest last. */
  readonly #controls = new Map<string, Set<string>>();
  readonly #domain: string;
  #deny: ReadonlySet<string>;

  constructor(config: Pick<Config, "domain" | "vips" | "peers" | "security">) {
    this.#domain = config.domain;
    this.#deny = new Set(config.security.deny);
    for (const { vip } of config.vips) this.#own(vip, { kind: "local" });
    for (const peer of config.peers) {
      this.#byId.set(peer.id, peer);
      if (peer.pip !== undefined) this.learnPip(peer.id, peer.pip);
      this.learnControl(peer.id, hostOf(peer.svcAddress));
      for (const vip of peer.vips) this.#own(vip, { kind: "peer", peer });
    }
  }

  /** Every configured peer, denied ones too. */
  all(): readonly PeerConfig[] {
    return [...this.#byId.values()];
  }

  get(id: string): PeerConfig | undefined {
    return this.#byId.get(id);
  }

  /** The peer behind an address, whether denied or not. */
  byVip(vip: string): PeerConfig | undefined {
    const owner = this.#owners.lookup(vip);
    return owner?.kind === "peer" ? owner.peer : undefined;
  }

  /** Whether the peer speaks for an address: no longer prefix gives it to somebody else. */
  owns(id: string, vip: string): boolean {
    return this.byVip(vip)?.id === id;
  }

  /** Whether an address is a workload's on this host. */
  isLocal(vip: string): boolean {
    return this.#owners.lookup(vip)?.kind === "local";
  }

  /**
   * The peers whose packets may come from an outer address: whom the configuration says, or all that have said so
   * themselves or have their control channel there, since none of them can take it from another. A peer says its
   * outer address in an answer only: whoever relies on that alone does not know the peer whose answers are lost.
   */
  byPip(pip: string): readonly string[] {
    const canonical = canonicalVip(pip) ?? pip;
    const ids = new Set(this.#byPip.get(canonical));
    const configured = [...ids].filter((id) => this.#byId.get(id)?.pip !== undefined);
    if (configured.length > 0) return configured;
    for (const [id, controls] of this.#controls) if (controls.has(canonical)) ids.add(id);
    return [...ids];
  }

  /**
   * Remembers where the control channel with a peer goes to (as its name was resolved) or comes from. `address` must
   * be of a connection on which the peer proved its identity, or the configuration's; what is no address is ignored.
   */
  learnControl(id: string, address: string): void {
    const canonical = canonicalVip(address);
    if (canonical === undefined || !this.#byId.has(id)) return;
    const known = this.#controls.get(id) ?? new Set();
    known.delete(canonical);
    known.add(canonical);
    for (const oldest of known) {
      if (known.size <= MAX_CONTROLS) break;
      known.delete(oldest);
    }
    this.#controls.set(id, known);
  }

  /** Remembers the outer address of a peer. A configured one stays. True when this was news. */
  learnPip(id: string, pip: string): boolean {
    const canonical = canonicalVip(this.#byId.get(id)?.pip ?? pip);
    const old = this.#pips.get(id);
    if (canonical === undefined || canonical === old) return false;
    const others = this.#byPip.get(old ?? "");
    others?.delete(id);
    if (others?.size === 0) this.#byPip.delete(old ?? "");
    this.#pips.set(id, canonical);
    this.#byPip.set(canonical, (this.#byPip.get(canonical) ?? new Set()).add(id));
    return true;
  }

  /** Unknown, or on the deny list. */
  denied(id: string): boolean {
    return !this.#byId.has(id) || this.#deny.has(id) ||
      this.#deny.has(`spiffe://${this.#domain}/psp/${id}`);
  }

  /** Replaces the deny list; returns the peers that are on it now. */
  setDeny(deny: readonly string[]): readonly string[] {
    this.#deny = new Set(deny);
    return [...this.#byId.keys()].filter((id) => this.denied(id));
  }

  #own(vip: string, owner: Owner): void {
    const prefix = parsePrefix(vip);
    if (prefix === undefined) throw new RangeError(`Cannot read prefix "${vip}"`);
    this.#owners.add(prefix, owner);
  }
}

/** The host of "host:port", without the brackets of IPv6. */
function hostOf(svcAddress: string): string {
  return svcAddress.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
}
