// SPDX-License-Identifier: Apache-2.0

/** SAs for tests of the machine. */
import type { Rx, Tx } from "../../src/sa/sa_state.ts";

const pair = { localVip: "10.1.0.1", remoteVip: "10.2.0.1" };

/** A receive SA; its serial is its SPI. */
export function rx(spi: number, change: Partial<Rx> = {}): Rx {
  return {
    sa: {
      ...pair,
      peer: "h2",
      spi,
      version: "aes-gcm-128",
      mode: "tunnel",
      serial: BigInt(spi),
      createdAtMs: 0,
    },
    generation: 0n,
    expiresAt: 1e9,
    given: false,
    confirmed: false,
    packets: 0n,
    bytes: 0n,
    seenAt: 0,
    supersededAt: undefined,
    ...change,
  };
}

/** A transmit SA of epoch 1; its SPI is its serial plus 100. */
export function tx(serial: number, change: Partial<Tx> = {}): Tx {
  return {
    sa: {
      ...pair,
      peer: "h2",
      spi: serial + 100,
      version: "aes-gcm-128",
      pip: "192.0.2.2",
      mac: "02:00:00:00:00:02",
      cryptOffset: 5,
      mode: "tunnel",
      epoch: 1n,
      serial: BigInt(serial),
      createdAtMs: 0,
      expiresAtMs: 0,
    },
    bornAt: 0,
    softAt: 1e6,
    softPackets: 1n << 30n,
    expiresAt: 1e7,
    expired: false,
    packets: 0n,
    bytes: 0n,
    ...change,
  };
}
