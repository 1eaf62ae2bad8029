// SPDX-License-Identifier: Apache-2.0

/**
 * What SAs are made of. A fresh SPI and its key, accounted for and derived in one call with others, become the SA that this
 * host accepts and the parameters that it advertises; a peer's parameters, where they can be used at all, become the SA that
 * this host sends with. A key goes when nobody needs it any more.
 */
import type { Key } from "../../ffi/key.ts";
import {
  DataPlaneError,
  type MasterKeyInfo,
  type Plane,
  type SpiKey,
  type TxKey,
} from "../../ffi/plane.ts";
import type { Config, PeerConfig } from "../config/config.ts";
import type { Clock } from "../model/clock.ts";
import type { Random } from "../model/random.ts";
import type { SaRecords } from "../model/sa_record.ts";
import type { Rx, Tx } from "./tunnel.ts";
import {
  defaultCryptOffset,
  isReservedSpi,
  keyLength,
  type PspMode,
  type PspParams,
  type PspVersion,
  type RxSa,
  type TxSa,
  versionNumber,
  type VipPair,
} from "../model/sa.ts";
import { isUnicastMac } from "../model/mac.ts";
import { cookieOf, networkOf } from "../model/network.ts";
import { canonicalVip, familyOf, isLoopback, isOneHost } from "../model/vip.ts";
import { LIFE_MARGIN_MS, MAX_LIFE_PACKETS } from "./limits.ts";

/** What the SAs of this host have in common. */
export interface SaDefaults {
  readonly config: Pick<Config, "pip" | "psp" | "tunnel" | "networks">;
  /** MAC of the uplink. */
  readonly mac: string;
  /** What an address is on this host's own links, such as "this host's own"; undefined: nothing that it knows of. */
  readonly ownAddress: (address: string) => string | undefined;
  readonly random: Random;
}

/** When something is made: monotonic for limits, wall for records. */
export interface Moment {
  readonly now: number;
  readonly wallMs: number;
}

/** A receive SA that is wanted. */
export interface Wanted {
  readonly pair: VipPair;
  readonly peer: PeerConfig;
  /** The peer says that its IVs count, or is asked and expected to. */
  readonly ivCounts: boolean;
}

/** A receive SA that was derived, and what the peer is to be told. */
export interface Derived {
  readonly rx: Rx;
  readonly params: PspParams;
}

/** What SPIs are made with. */
export interface SpiSourceOptions {
  readonly plane: Pick<Plane, "generateSpis" | "masterKey">;
  readonly store: Pick<SaRecords, "reserveSpis">;
  readonly clock: Clock;
  readonly defaults: SaDefaults;
}

/** The one place that asks the plane for SPIs. */
export class SpiSource {
  readonly #options: SpiSourceOptions;
  #serial = 0n;
  /** Called when the master key has no SPI left. */
  onExhausted: () => void = () => {};

  constructor(options: SpiSourceOptions) {
    this.#options = options;
  }

  /** One for each wish, in order. Throws `DataPlaneError` or `ConfigError`, and then nothing was derived. */
  derive(version: PspVersion, wishes: readonly Wanted[]): Derived[] {
    if (wishes.length === 0) return [];
    const { plane, store, clock, defaults } = this.#options;
    store.reserveSpis(wishes.length);
    const at = { now: clock.now(), wallMs: clock.wallMs() };
    try {
      const keys = plane.generateSpis(versionNumber(version), wishes.length);
      const masterKey = plane.masterKey();
      return wishes.flatMap(({ pair, peer, ivCounts }, i) => {
        const spiKey = keys[i];
        if (spiKey === undefined) return [];
        const serial = ++this.#serial;
        return [
          rxFrom(defaults, { spiKey, version, pair, peer, ivCounts, serial, masterKey, at }),
        ];
      });
    } catch (error) {
      if (error instanceof DataPlaneError && error.code === "EKEY") this.onExhausted();
      throw error;
    }
  }
}

/** The receive SA and the parameters that tell the peer of it. The key is shared, not copied. */
export function rxFrom(
  defaults: SaDefaults,
  made: {
    readonly spiKey: SpiKey;
    readonly version: PspVersion;
    readonly pair: VipPair;
    readonly peer: PeerConfig;
    readonly ivCounts: boolean;
    readonly serial: bigint;
    readonly masterKey: Pick<MasterKeyInfo, "rotations">;
    readonly at: Moment;
  },
): { rx: Rx; params: PspParams } {
  const { config, mac } = defaults;
  const { spiKey: { spi, key }, version, pair, peer, serial, at } = made;
  const { mode } = config.psp;
  const { lifeMs, graceMs } = config.tunnel;
  // A network is its cookie; in the default one each host asks for what it likes.
  const cookie = cookieOf(pair.localVip, config.networks) ?? peer.vc;
  const vc = cookie === undefined ? {} : { vc: cookie };
  const family = familyOf(pair.localVip);
  const cryptOffset = config.psp.cryptOffset?.[family] ??
    defaultCryptOffset({ family, vc: cookie !== undefined, mode });
  // Written out, in one literal: there are a hundred thousand of these, and an object that grows takes half as much again.
  const sa: RxSa = {
    localVip: pair.localVip,
    remoteVip: pair.remoteVip,
    peer: peer.id,
    spi,
    version,
    cryptOffset,
    mode,
    ivCounts: made.ivCounts,
    serial,
    createdAtMs: at.wallMs,
  };
  const rx: Rx = {
    sa: cookie === undefined ? sa : { ...sa, vc: cookie },
    generation: made.masterKey.rotations,
    expiresAt: lifeMs > 0 ? Math.ceil(at.now + lifeMs + graceMs + LIFE_MARGIN_MS) : Infinity,
    given: false,
    confirmed: false,
    packets: 0n,
    bytes: 0n,
    seenAt: Math.floor(at.now),
    supersededAt: undefined,
    maybeUntil: undefined,
  };
  const lifeS = lifeMs > 0 ? Math.max(1, Math.ceil(lifeMs / 1000)) : 0;
  return {
    rx,
    params: { spi, version, key, pip: config.pip, mac, cryptOffset, mode, serial, lifeS, ...vc },
  };
}

/** The transmit SA from what the peer advertised, and its key as the plane takes it. */
export function txFrom(
  defaults: SaDefaults,
  got: {
    readonly params: PspParams;
    readonly pair: VipPair;
    readonly peer: PeerConfig;
    readonly epoch: bigint;
    readonly at: Moment;
  },
): { tx: Tx; key: TxKey } {
  const { config, random } = defaults;
  const { params, pair, peer, epoch, at } = got;
  const { lifeMs: ownMs } = config.tunnel;
  const lifePackets = leastOf(config.tunnel.lifePackets, MAX_LIFE_PACKETS);
  const lifeMs = Math.min(
    ownMs > 0 ? ownMs : Infinity,
    params.lifeS > 0 ? params.lifeS * 1000 : Infinity,
  );
  // 90 % of its life, minus up to 10 % at random: both ends seldom begin at once.
  const soft = 0.9 - random.uniform() / 10;
  const { spi, version, mac, cryptOffset, mode, serial } = params;
  // As above.
  const sa: TxSa = {
    localVip: pair.localVip,
    remoteVip: pair.remoteVip,
    peer: peer.id,
    spi,
    version,
    pip: peer.pip ?? params.pip,
    mac,
    cryptOffset,
    mode,
    epoch,
    serial,
    createdAtMs: at.wallMs,
    expiresAtMs: lifeMs === Infinity ? 0 : at.wallMs + lifeMs,
  };
  const tx: Tx = {
    sa: params.vc === undefined ? sa : { ...sa, vc: params.vc },
    bornAt: Math.floor(at.now),
    softAt: Math.floor(at.now + lifeMs * soft),
    softPackets: BigInt(Math.floor(Number(lifePackets) * soft)),
    expiresAt: Math.floor(at.now + lifeMs),
    expired: false,
    packets: 0n,
    bytes: 0n,
    unconfirmed: undefined,
  };
  return {
    tx,
    key: { spi, version: versionNumber(version), key: params.key, ivLimit: lifePackets },
  };
}

function leastOf(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/**
 * The most that a peer may ask for, of SAs with vips of this family: `psp.max_crypt_offset`. Where that is not
 * configured, what leaves the inner IP header readable; or what this host asks for itself, when that is more: then
 * its operator has said that so much may be read on the way.
 */
export function maxCryptOffset(
  psp: Pick<Config["psp"], "mode" | "cryptOffset" | "maxCryptOffset">,
  { family, vc }: { readonly family: "ipv4" | "ipv6"; readonly vc: boolean },
): number {
  const { mode, cryptOffset, maxCryptOffset } = psp;
  return maxCryptOffset?.[family] ??
    Math.max(defaultCryptOffset({ family, vc, mode }), cryptOffset?.[family] ?? 0);
}

/** What is wrong with parameters of a peer, as half a sentence; undefined: nothing. */
export function paramsProblem(
  params: PspParams,
  wanted: {
    readonly version: PspVersion;
    readonly mode: PspMode;
    /** What this host is: sealed packets to it would come back. */
    readonly own: Pick<SaDefaults, "config" | "mac" | "ownAddress">;
    /** The peer's, where the configuration says it: what the peer itself says is not used then. */
    readonly peerPip: string | undefined;
  },
): string | undefined {
  const { spi, version, key, cryptOffset, mode } = params;
  if (!Number.isInteger(spi) || spi !== spi >>> 0 || isReservedSpi(spi)) {
    return `SPI ${spi} is reserved or out of range`;
  }
  if (version !== wanted.version) return `version ${version} where ${wanted.version} was agreed`;
  if (key.length !== keyLength(version)) {
    return `a key of ${key.length} octets where ${version} has ${keyLength(version)}`;
  }
  if (mode !== wanted.mode) return `mode ${mode} where this host has ${wanted.mode}`;
  if (!Number.isInteger(cryptOffset) || cryptOffset < 0 || cryptOffset > 63) {
    return `crypt offset ${cryptOffset} is not between 0 and 63`;
  }
  const { config: { pip: ownPip }, mac: ownMac, ownAddress } = wanted.own;
  const pip = canonicalVip(params.pip);
  if (pip === undefined) return `outer address "${params.pip}" is none`;
  if (!isOneHost(pip)) return `outer address ${pip} is not that of one host`;
  const own = pip === ownPip || isLoopback(pip) ? "this host's own" : ownAddress(pip);
  if (own !== undefined) return `outer address ${pip} is ${own}`;
  // In transport mode the vips are the outer addresses.
  const outer = mode === "tunnel" && wanted.peerPip === undefined;
  if (outer && familyOf(pip) !== familyOf(ownPip)) {
    return `outer address ${pip} is not of this host's family, that of ${ownPip}`;
  }
  return macProblem(params.mac.toLowerCase(), ownMac);
}

function macProblem(mac: string, ownMac: string): string | undefined {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) return `MAC "${mac}" is none`;
  if (!isUnicastMac(mac)) {
    return `MAC ${mac} is not that of one station`;
  }
  return mac === ownMac.toLowerCase() ? `MAC ${mac} is this host's own` : undefined;
}

/**
 * Why parameters are not those of a vip's network, as half a sentence; undefined: they are. On the wire a network is its
 * cookie: with another one the peer's packets would be another network's.
 */
export function cookieProblem(
  { vc }: Pick<PspParams, "vc">,
  { vip, networks }: { readonly vip: string; readonly networks: Config["networks"] },
): string | undefined {
  const network = networkOf(vip);
  if (network === "") return undefined;
  const cookie = cookieOf(vip, networks);
  if (cookie === undefined) return `network "${network}" is not known here`;
  if (vc === cookie) return undefined;
  return `cookie ${
    vc ?? "none"
  } where network "${network}" has ${cookie}: networks.vc must be the same on all hosts`;
}

/** Why a peer may not have so much in clear text between these vips, as half a sentence; undefined: it may. */
export function cryptOffsetProblem(
  { cryptOffset, vc }: Pick<PspParams, "cryptOffset" | "vc">,
  asked: { readonly psp: Config["psp"]; readonly vip: string },
): string | undefined {
  const family = familyOf(asked.vip);
  const most = maxCryptOffset(asked.psp, { family, vc: vc !== undefined });
  if (cryptOffset <= most) return undefined;
  return `crypt offset ${cryptOffset} is more than ${most}: raise psp.max_crypt_offset.${family} of the host ` +
    `that refuses, or lower psp.crypt_offset.${family} of its peer`;
}

/** Counts who holds a key that more than one place has to keep: it is wiped when the last of them lets go. */
export class KeyShares {
  readonly #holders = new Map<Key, number>();

  /** Keys that somebody holds. */
  get size(): number {
    return this.#holders.size;
  }

  hold(key: Key): void {
    this.#holders.set(key, (this.#holders.get(key) ?? 0) + 1);
  }

  /** Wipes when this was the last holder. */
  release(key: Key): void {
    const left = (this.#holders.get(key) ?? 1) - 1;
    if (left > 0) {
      this.#holders.set(key, left);
      return;
    }
    this.#holders.delete(key);
    key.wipe();
  }

  /** Wipes all that is left. */
  wipe(): void {
    for (const key of this.#holders.keys()) key.wipe();
    this.#holders.clear();
  }
}
