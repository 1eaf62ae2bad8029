// SPDX-License-Identifier: Apache-2.0

/** From a fresh SPI and key to the SA that this host accepts and the parameters that it advertises, and back. */
import type { MasterKeyInfo, SpiKey, TxKey } from "../../ffi/plane.ts";
import type { Config, PeerConfig } from "../config/config.ts";
import type { Random } from "../model/random.ts";
import type { Rx, Tx } from "./sa_state.ts";
import {
  defaultCryptOffset,
  type PspParams,
  type PspVersion,
  versionNumber,
  type VipPair,
} from "../model/sa.ts";
import { familyOf } from "../model/vip.ts";

/** What the SAs of this host have in common. */
export interface SaDefaults {
  readonly config: Pick<Config, "pip" | "psp" | "tunnel">;
  /** MAC of the uplink. */
  readonly mac: string;
  readonly random: Random;
}

/** When something is made: monotonic for limits, wall for records. */
export interface Moment {
  readonly now: number;
  readonly wallMs: number;
}

/** The receiver goes on accepting this long after the sender has to stop: for what is under way. */
const LIFE_MARGIN_MS = 30_000;

/** The receive SA and the parameters that tell the peer of it. The key is shared, not copied. */
export function rxFrom(
  defaults: SaDefaults,
  made: {
    readonly spiKey: SpiKey;
    readonly version: PspVersion;
    readonly pair: VipPair;
    readonly peer: PeerConfig;
    readonly serial: bigint;
    readonly masterKey: Pick<MasterKeyInfo, "rotations">;
    readonly at: Moment;
  },
): { rx: Rx; params: PspParams } {
  const { config, mac } = defaults;
  const { spiKey: { spi, key }, version, pair, peer, serial, at } = made;
  const { mode } = config.psp;
  const { lifeMs, graceMs } = config.tunnel;
  const vc = peer.vc === undefined ? {} : { vc: peer.vc };
  const family = familyOf(pair.localVip);
  const cryptOffset = config.psp.cryptOffset?.[family] ??
    defaultCryptOffset({ family, vc: peer.vc !== undefined, mode });
  const rx: Rx = {
    sa: {
      ...pair,
      peer: peer.id,
      spi,
      version,
      cryptOffset,
      mode,
      serial,
      createdAtMs: at.wallMs,
      ...vc,
    },
    generation: made.masterKey.rotations,
    expiresAt: lifeMs > 0 ? at.now + lifeMs + graceMs + LIFE_MARGIN_MS : Infinity,
    given: false,
    confirmed: false,
    packets: 0n,
    bytes: 0n,
    seenAt: at.now,
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
  const { lifeMs: ownMs, lifePackets } = config.tunnel;
  const lifeMs = Math.min(
    ownMs > 0 ? ownMs : Infinity,
    params.lifeS > 0 ? params.lifeS * 1000 : Infinity,
  );
  // 90 % of its life, minus up to 10 % at random: both ends seldom begin at once.
  const soft = 0.9 - random.uniform() / 10;
  const { spi, version, mac, cryptOffset, mode, serial } = params;
  const tx: Tx = {
    sa: {
      ...pair,
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
      ...(params.vc === undefined ? {} : { vc: params.vc }),
    },
    bornAt: at.now,
    softAt: at.now + lifeMs * soft,
    softPackets: BigInt(Math.floor(Number(lifePackets) * soft)),
    expiresAt: at.now + lifeMs,
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
