// SPDX-License-Identifier: Apache-2.0

/** Packets of the fake plane: where they go, and on which counter. */
import type { FakeHold } from "./fake_hold.ts";
import type { FakeKeys } from "./fake_keys.ts";
import { FAKE_PACKET_BYTES, type FakeEntry, type FakeTables } from "./fake_tables.ts";

export interface FakeTrafficOptions {
  readonly tables: FakeTables;
  readonly keys: FakeKeys;
  readonly hold: FakeHold;
  /** Milliseconds. */
  readonly now: () => number;
}

export class FakeTraffic {
  readonly counters: Record<string, bigint> = {};
  readonly #o: FakeTrafficOptions;

  constructor(options: FakeTrafficOptions) {
    this.#o = options;
    for (const name of KERNEL_COUNTERS) this.counters[name] = 0n;
  }

  /** A packet from a workload. Returns the handle of the flow that now holds it, 0 when it was not held. */
  miss(srcVip: string, dstVip: string): number {
    const entry = this.#egressEntry(srcVip, dstVip);
    if (entry !== undefined) {
      this.#transmit(entry);
      return 0;
    }
    const acl = this.#o.tables.named("EGR_ACL");
    if (acl !== undefined) {
      acl.misses++;
      if (acl.descriptor.fwd_miss.type !== "rss") {
        this.count("drop-pipe");
        return 0;
      }
    }
    return this.#o.hold.add(srcVip, dstVip);
  }

  /** A good PSP packet from the net. Returns whether INGR_ACL let it through to the workload. */
  receive(packet: { spi: number; srcVip: string; dstVip: string; vc?: bigint }): boolean {
    const acl = this.#o.tables.named("INGR_ACL");
    const entry = acl && [...acl.entries.values()].find(({ descriptor: { match } }) => {
      const addresses = match.inner ?? match.outer;
      return match.tun?.psp?.spi === packet.spi && addresses?.src_ip === packet.srcVip &&
        addresses.dst_ip === packet.dstVip && (match.tun.psp.vc ?? 0n) === (packet.vc ?? 0n);
    });
    if (entry === undefined) {
      if (acl !== undefined) acl.misses++;
      return false;
    }
    this.#use(entry);
    this.count("rx-packets");
    return true;
  }

  /** Adds traffic to an entry, as if it had passed. */
  add(entry: number, packets: bigint, lastUsedNs = packets): void {
    const e = this.#o.tables.entry("count on", entry);
    e.packets += packets;
    e.bytes += packets * FAKE_PACKET_BYTES;
    e.lastUsedNs = lastUsedNs;
  }

  count(name: string, n = 1n): void {
    this.counters[name] = (this.counters[name] ?? 0n) + n;
  }

  #egressEntry(srcVip: string, dstVip: string): FakeEntry | undefined {
    return [...this.#o.tables.named("EGR_ACL")?.entries.values() ?? []].find(({ descriptor }) =>
      descriptor.match.outer?.src_ip === srcVip && descriptor.match.outer.dst_ip === dstVip
    );
  }

  #transmit(entry: FakeEntry): void {
    const { crypto, meta } = entry.descriptor.actions ?? {};
    const id = crypto?.action === "encrypt" ? crypto.crypto_id : meta?.pkt_meta ?? 0;
    const slot = this.#o.keys.slots.get(id);
    if (slot === undefined) return this.count("tx-key-expired");
    this.#use(entry);
    slot.stats = {
      packets: slot.stats.packets + 1n,
      bytes: slot.stats.bytes + FAKE_PACKET_BYTES,
      lastUsedNs: entry.lastUsedNs,
    };
    this.count("tx-packets");
  }

  #use(entry: FakeEntry): void {
    entry.packets++;
    entry.bytes += FAKE_PACKET_BYTES;
    entry.lastUsedNs = BigInt(Math.floor(this.#o.now() * 1e6)) + 1n;
  }
}

const KERNEL_COUNTERS = [
  "key-rotations",
  "stale-events",
  "rx-packets",
  "rx-bytes",
  "rx-auth-fail",
  "rx-error",
  "rx-bad",
  "tx-packets",
  "tx-bytes",
  "tx-error",
] as const;
