// SPDX-License-Identifier: Apache-2.0

/** A table of flows over a fake plane, keys for it, and a clock. */
import { Key } from "../../ffi/key.ts";
import type { TxKey } from "../../ffi/plane.ts";
import { installTopology } from "../../src/pipes/install.ts";
import { buildTopology } from "../../src/pipes/topology.ts";
import { FlowTable, type FlowTableOptions } from "../../src/plane/flow_table.ts";
import type { Clock } from "../../src/model/clock.ts";
import { FakePlane, type FakePlaneOptions } from "./fake_plane.ts";

/** `totals` of an empty table. */
export const NOTHING = { tx: 0, rx: 0, cryptoIds: 0, retiring: 0, pspEncrypt: 0 };

/** Of octets that are all `fill`. */
export function key(fill: number): TxKey {
  return {
    spi: 0x12345678,
    version: 0,
    key: new Key(new Uint8Array(16).fill(fill)),
    ivLimit: 0n,
  };
}

/** Time passes when `pass` says so. */
export class StepClock implements Clock {
  #now = 0;
  readonly #sleepers = new Set<{ at: number; wake: () => void }>();

  now(): number {
    return this.#now;
  }

  wallMs(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper = { at: this.#now + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason);
      });
      if (signal?.aborted) reject(signal.reason);
    });
  }

  async pass(ms: number): Promise<void> {
    this.#now += ms;
    for (const sleeper of this.#sleepers) {
      if (sleeper.at > this.#now) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
    for (let i = 0; i < 10; i++) await Promise.resolve();
  }
}

/** A table over a plane in memory, with its pipes installed. */
export function setUp(
  options: Partial<FlowTableOptions> & {
    sampling?: boolean;
    vc?: boolean;
    ports?: boolean;
    fake?: FakePlaneOptions;
  } = {},
): { readonly plane: FakePlane; readonly clock: StepClock; readonly flows: FlowTable } {
  const { sampling = false, vc = false, ports = false, fake = {}, ...rest } = options;
  const plane = new FakePlane(fake);
  const topology = buildTopology({
    sampling,
    sampleRateLog2: 8,
    mode: "tunnel",
    onDemand: true,
    exceptions: false,
    vc,
    ports,
  });
  const clock = new StepClock();
  const flows = new FlowTable({
    plane,
    installed: installTopology(plane, topology, { hosts: ports ? "many" : "one" }),
    clock,
    localPip: "192.0.2.1",
    ttl: 64,
    copyDscp: false,
    gatewayMac: "02:00:00:00:00:0b",
    nextHopMac: (sa) => sa.mac,
    placeOf: () => undefined,
    ...rest,
  });
  plane.calls.length = 0;
  return { plane, clock, flows };
}

/** The calls that the plane got, with the pipe where one is named. */
export function methods(plane: FakePlane): string[] {
  return plane.calls.map(({ method, args }) => {
    const pipe = typeof args[0] === "string" ? ` ${args[0]}` : "";
    return `${String(method)}${pipe}`;
  });
}

/** Destination of the frames that the first receive SA lets in. */
export function decapMac(plane: FakePlane): string | undefined {
  const encap = plane.entriesOf("INGR_ACL")[0]?.actions?.crypto_encap;
  return encap?.action === "decap" ? encap.eth_dst : undefined;
}
