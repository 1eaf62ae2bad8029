// SPDX-License-Identifier: Apache-2.0

/** When parameters of a peer can be used at all. */
import type { Config } from "../config/config.ts";
import { maxCryptOffset } from "./sa_params.ts";
import {
  isReservedSpi,
  keyLength,
  type PspMode,
  type PspParams,
  type PspVersion,
} from "../model/sa.ts";
import { canonicalVip, familyOf } from "../model/vip.ts";

/** What is wrong with them, as half a sentence; undefined: nothing. */
export function paramsProblem(
  params: PspParams,
  wanted: {
    readonly version: PspVersion;
    readonly mode: PspMode;
    /** This host's outer address: sealed packets to it would come back. */
    readonly ownPip: string;
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
  const pip = canonicalVip(params.pip);
  if (pip === undefined) return `outer address "${params.pip}" is none`;
  if (pip === wanted.ownPip || pip.startsWith("127.") || pip === "::1") {
    return `outer address ${pip} is this host's own`;
  }
  // In transport mode the vips are the outer addresses.
  const outer = mode === "tunnel" && wanted.peerPip === undefined;
  if (outer && familyOf(pip) !== familyOf(wanted.ownPip)) {
    return `outer address ${pip} is not of this host's family, that of ${wanted.ownPip}`;
  }
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(params.mac)) return `MAC "${params.mac}" is none`;
  return undefined;
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
