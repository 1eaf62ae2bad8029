// SPDX-License-Identifier: Apache-2.0

/** Which packets are dropped: what is held and then dropped, what could not be opened, what was too big for a tunnel. */
import type { DropReason, Plane, PlaneEvent } from "../../ffi/plane.ts";
import { ipText } from "../exceptions/frame.ts";
import { spelled } from "../model/counters.ts";
import type { DropSink } from "../model/drop_log.ts";
import { inNetwork } from "../model/network.ts";
import { canonicalVip } from "../model/vip.ts";

/** Flows whose addresses are remembered: the oldest go. */
const MAX_FLOWS = 65_536;

/** The counter of what the plane could not open, or let in nowhere. */
const BY_SYNDROME = {
  ok: "rx-no-sa",
  icv_failed: "rx-auth-fail",
  bad_trailer: "rx-error",
} as const;

/** Of a packet without an entry. */
type Miss = Pick<Extract<PlaneEvent, { type: "miss" }>, "flow" | "srcVip" | "dstVip">;

/** What a watch is given. */
export interface DropWatchOptions {
  readonly drops: DropSink;
  /** The peer that owns an address, and those that send from an outer one. */
  readonly peers: {
    byVip(vip: string): { readonly id: string } | undefined;
    byPip(pip: string): readonly string[];
  };
}

/** Sees events of the plane, and what becomes of held packets. */
export class DropWatch {
  readonly #o: DropWatchOptions;
  readonly #flows = new Map<number, { readonly src: string; readonly dst: string }>();

  constructor(options: DropWatchOptions) {
    this.#o = options;
  }

  /** A packet is held, its addresses those of its network. */
  miss({ flow, srcVip, dstVip }: Miss): void {
    this.#flows.delete(flow);
    this.#flows.set(flow, {
      src: canonicalVip(srcVip) ?? srcVip,
      dst: canonicalVip(dstVip) ?? dstVip,
    });
    if (this.#flows.size <= MAX_FLOWS) return;
    for (const oldest of this.#flows.keys()) {
      this.#flows.delete(oldest);
      return;
    }
  }

  /** The calls of a plane that end what is held. */
  held(plane: Pick<Plane, "releaseHeld" | "dropHeld">): Pick<Plane, "releaseHeld" | "dropHeld"> {
    return {
      releaseHeld: (flow) => {
        this.#flows.delete(flow);
        return plane.releaseHeld(flow);
      },
      dropHeld: (flow, reason, holdOffMs) => {
        const packets = plane.dropHeld(flow, reason, holdOffMs);
        this.#dropped(flow, reason, packets);
        return packets;
      },
    };
  }

  /** A packet that nobody takes: its sender got an ICMP error, and so does who sends the next ones. */
  told({ srcVip, dstVip }: Pick<Miss, "srcVip" | "dstVip">, reason: string): void {
    const [src, dst] = [canonicalVip(srcVip) ?? srcVip, canonicalVip(dstVip) ?? dstVip];
    this.#o.drops.add({ reason, detail: "the sender was told", src, dst, packets: 1 });
  }

  #dropped(flow: number, reason: DropReason, packets: number): void {
    const pair = this.#flows.get(flow);
    this.#flows.delete(flow);
    if (pair === undefined || packets === 0) return;
    const peer = this.#o.peers.byVip(pair.dst)?.id;
    this.#o.drops.add({ reason: spelled(reason), peer, ...pair, packets });
  }

  /** A PSP packet that could not be opened, or that no entry lets in. */
  syndrome({ spi, syndrome, srcPip, dstPip }: Extract<PlaneEvent, { type: "syndrome" }>): void {
    const [peer] = this.#o.peers.byPip(srcPip);
    const reason = BY_SYNDROME[syndrome];
    this.#o.drops.add({ reason, peer, src: srcPip, dst: dstPip, outer: true, spi, packets: 1 });
  }

  /** A packet that no tunnel, or not the port of its workload, carries: from its IP header on. */
  tooBig({ data, mtu }: Extract<PlaneEvent, { type: "too_big" }>, network: string): void {
    const at = (data[0] ?? 0) >> 4 === 6 ? [8, 24, 40] as const : [12, 16, 20] as const;
    if (data.length < at[2]) return;
    const src = inNetwork(ipText(data.subarray(at[0], at[1])), network);
    const dst = inNetwork(ipText(data.subarray(at[1], at[2])), network);
    const peer = (this.#o.peers.byVip(dst) ?? this.#o.peers.byVip(src))?.id;
    const detail = `at most ${mtu} octets`;
    this.#o.drops.add({ reason: "too-big", detail, peer, src, dst, header: data, packets: 1 });
  }
}
