// SPDX-License-Identifier: Apache-2.0

/** Held packets of the fake plane: flows, their bounds, and hold-off. */
import type { DropReason, HoldLimits, PlaneEvent } from "../../ffi/plane.ts";
import { spelled } from "../../src/model/counters.ts";
import { refuse } from "./fake_checks.ts";

/** A flow whose packets are held. */
export interface HeldFlow {
  readonly id: number;
  readonly srcVip: string;
  readonly dstVip: string;
  packets: number;
}

interface OffFlow extends Omit<HeldFlow, "packets"> {
  readonly until: number;
  readonly reason: DropReason;
}

export interface FakeHoldOptions {
  readonly packetsPerFlow: number;
  readonly flows: number;
  readonly now: () => number;
  readonly nextId: () => number;
  readonly count: (name: string) => void;
  readonly push: (event: PlaneEvent) => void;
}

/** Name of the counter of a drop. */
export function dropCounter(reason: DropReason): string {
  return `drop-${spelled(reason)}`;
}

export class FakeHold {
  readonly #o: FakeHoldOptions;
  readonly #held = new Map<string, HeldFlow>();
  readonly #off = new Map<string, OffFlow>();

  #limits: Pick<FakeHoldOptions, "packetsPerFlow" | "flows">;

  constructor(options: FakeHoldOptions) {
    this.#o = options;
    this.#limits = options;
  }

  /** Other limits; what is absent is as it was opened. */
  limit({ packetsPerFlow, flows }: HoldLimits): void {
    this.#limits = {
      packetsPerFlow: packetsPerFlow ?? this.#o.packetsPerFlow,
      flows: flows ?? this.#o.flows,
    };
  }

  /** Holds a packet; the first of its flow is reported. Returns the flow's handle, 0: dropped. */
  add(srcVip: string, dstVip: string): number {
    const key = `${srcVip} ${dstVip}`;
    const off = this.#off.get(key);
    if (off !== undefined && this.#o.now() < off.until) {
      this.#o.count(dropCounter(off.reason));
      return 0;
    }
    this.#off.delete(key);
    const flow = this.#held.get(key);
    if (flow !== undefined) {
      if (flow.packets < this.#limits.packetsPerFlow) flow.packets++;
      else this.#o.count("drop-hold-flow-full");
      return flow.id;
    }
    if (this.#held.size >= this.#limits.flows) {
      this.#o.count("drop-hold-flows");
      return 0;
    }
    const id = this.#o.nextId();
    this.#held.set(key, { id, srcVip, dstVip, packets: 1 });
    const ethSrc = "02:00:00:00:00:0a";
    this.#o.push({ type: "miss", flow: id, port: 2, network: 0, srcVip, dstVip, ethSrc });
    return id;
  }

  packets(flow: number): number {
    return this.#byId(flow)?.packets ?? 0;
  }

  /** Takes a flow out. Throws `DataPlaneError` "ENOENT" when nothing is held for it. */
  take(verb: string, flow: number): HeldFlow {
    const held = this.#byId(flow);
    if (held === undefined) {
      throw refuse(`Cannot ${verb} flow ${flow}`, "nothing is held for it", "ENOENT");
    }
    this.#held.delete(`${held.srcVip} ${held.dstVip}`);
    return held;
  }

  holdOff(
    flow: Omit<HeldFlow, "packets">,
    { reason, ms }: { readonly reason: DropReason; readonly ms: number },
  ): void {
    const until = this.#o.now() + ms;
    this.#off.set(`${flow.srcVip} ${flow.dstVip}`, { ...flow, until, reason });
  }

  clearHoldOff(): void {
    this.#off.clear();
  }

  #byId(flow: number): HeldFlow | undefined {
    return [...this.#held.values()].find(({ id }) => id === flow);
  }
}
