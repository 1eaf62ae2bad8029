// SPDX-License-Identifier: Apache-2.0

/** SAs for tests, and how the machine holds them. */
import { Key } from "../../ffi/key.ts";
import type { PspParams, RxSa, TxSa } from "../../src/model/sa.ts";
import type { Rx, Tx } from "../../src/core/tunnel.ts";

/** Of SAs that say no other. */
export const PAIR = { localVip: "10.1.0.5", remoteVip: "10.2.0.7" };

/** Towards h2, but for `change`. */
export function txSa(change: Partial<TxSa> = {}): TxSa {
  return {
    ...PAIR,
    peer: "h2",
    spi: 0x12345678,
    version: "aes-gcm-128",
    pip: "192.0.2.2",
    mac: "02:00:00:00:00:02",
    cryptOffset: 5,
    mode: "tunnel",
    epoch: 1n,
    serial: 1n,
    createdAtMs: 0,
    expiresAtMs: 0,
    ...change,
  };
}

/** From h2, but for `change`. */
export function rxSa(change: Partial<RxSa> = {}): RxSa {
  return {
    ...PAIR,
    peer: "h2",
    spi: 7,
    version: "aes-gcm-128",
    cryptOffset: 5,
    mode: "tunnel",
    serial: 1n,
    createdAtMs: 0,
    ...change,
  };
}

const pair = { localVip: "10.1.0.1", remoteVip: "10.2.0.1" };

/** A receive SA; its serial is its SPI. */
export function rx(spi: number, change: Partial<Rx> = {}): Rx {
  return {
    sa: rxSa({ ...pair, spi, serial: BigInt(spi) }),
    generation: 0n,
    expiresAt: 1e9,
    given: false,
    confirmed: false,
    packets: 0n,
    bytes: 0n,
    seenAt: 0,
    supersededAt: undefined,
    maybeUntil: undefined,
    ...change,
  };
}

/** A transmit SA of epoch 1; its SPI is its serial plus 100. */
export function tx(serial: number, change: Partial<Tx> = {}): Tx {
  return {
    sa: txSa({ ...pair, spi: serial + 100, serial: BigInt(serial) }),
    bornAt: 0,
    softAt: 1e6,
    softPackets: 1n << 30n,
    expiresAt: 1e7,
    expired: false,
    packets: 0n,
    bytes: 0n,
    unconfirmed: undefined,
    ...change,
  };
}

/** What h2 offers: an SPI, and a key that is nobody's. */
export function params(spi: number): PspParams {
  return {
    spi,
    version: "aes-gcm-256",
    key: new Key(new Uint8Array(32).fill(1)),
    pip: "192.0.2.2",
    mac: "02:00:00:00:00:02",
    cryptOffset: 5,
    mode: "tunnel",
    serial: BigInt(spi),
    lifeS: 60,
  };
}
