// SPDX-License-Identifier: Apache-2.0

/** Keys of the fake plane: those it sends with, and the SPIs that it hands out. */
import type { MasterKeyInfo, PspVersionNumber, SpiKey, Stats, TxKey } from "../../ffi/plane.ts";
import { Key } from "../../ffi/key.ts";
import { refuse } from "./fake_checks.ts";

/** What a crypto id holds: the key as hex, to compare with. */
export interface FakeSlot {
  readonly spi: number;
  readonly version: PspVersionNumber;
  readonly key: string;
  readonly ivLimit: bigint;
  readonly ivStart: bigint;
  stats: Stats;
}

export interface FakeKeysOptions {
  /** Makes the keys of two planes differ. */
  readonly seed: number;
  readonly maxCryptoIds: number;
  /** SPIs that each master key has. */
  readonly spis: number;
  /** Whether keys may start at another IV than 1. */
  readonly ivStarts: boolean;
  /** Keys with one start that are remembered. */
  readonly remembered: number;
}

/** As those of `Plane`, without the record of calls. Each throws `DataPlaneError`. */
export class FakeKeys {
  readonly slots = new Map<number, FakeSlot>();
  readonly #o: FakeKeysOptions;
  readonly #used = new Set<string>();
  /** No IV of a key to come is below, and the highest that was given. */
  #floor = 0n;
  #top = 0n;
  #active: 0 | 1 = 0;
  #rotations = 0n;
  #generated: [number, number] = [0, 0];

  constructor(options: FakeKeysOptions) {
    this.#o = options;
  }

  setCrypto(cryptoId: number, key: TxKey): void {
    const what = `Cannot set crypto id ${cryptoId}`;
    if (cryptoId < 1 || cryptoId > this.#o.maxCryptoIds) {
      throw refuse(what, "it is out of range", "EINVAL");
    }
    const hex = key.key.reveal().toHex();
    if (/^0*$/.test(hex)) throw refuse(what, "the key was wiped", "EINVAL");
    if (hex.length !== (key.version % 2 === 1 ? 64 : 32)) {
      throw refuse(what, `the key has not the length of version ${key.version}`, "EINVAL");
    }
    const { spi, version, ivLimit } = key;
    const ivStart = key.ivStart || 1n;
    if (ivStart !== 1n && !this.#o.ivStarts) throw refuse(what, "no IV starts here", "ENOTSUP");
    this.#followStart(what, ivStart, ivLimit || 1n << 34n);
    if (this.#used.has(hex)) throw refuse(what, "the key was in use before", "EKEY");
    if (this.#o.ivStarts && this.#used.size >= this.#o.remembered) {
      throw refuse(what, "begin at a greater IV", "ENOSPC");
    }
    this.#used.add(hex);
    this.slots.set(cryptoId, { spi, version, key: hex, ivLimit, ivStart, stats: NO_STATS });
  }

  /** Behind a greater start no earlier key can meet one of its IVs again. */
  #followStart(what: string, start: bigint, limit: bigint): void {
    if (this.#floor !== 0n && start !== this.#floor && start <= this.#top) {
      throw refuse(what, "its IVs were given already", "EKEY");
    }
    if (start !== this.#floor) this.#used.clear();
    this.#floor = start;
    const last = start + limit - 1n;
    if (last > this.#top) this.#top = last;
  }

  clearCrypto(cryptoId: number): void {
    if (!this.slots.delete(cryptoId)) {
      throw refuse(`Cannot clear crypto id ${cryptoId}`, "it holds no key", "ENOENT");
    }
  }

  queryCrypto(cryptoId: number): Stats {
    const slot = this.slots.get(cryptoId);
    if (slot === undefined) {
      throw refuse(`Cannot query crypto id ${cryptoId}`, "it holds no key", "ENOENT");
    }
    return slot.stats;
  }

  generateSpis(version: PspVersionNumber, n: number): SpiKey[] {
    const used = this.#generated[this.#active];
    if (used + n > this.#o.spis) {
      throw refuse(`Cannot generate ${n} SPIs`, "the master key has none left: rotate", "EKEY");
    }
    this.#generated[this.#active] = used + n;
    return Array.from({ length: n }, (_, i) => this.#spiKey(version, used + i + 1));
  }

  rotateMasterKey(): void {
    this.#active = this.#active === 0 ? 1 : 0;
    this.#generated[this.#active] = 0;
    this.#rotations++;
  }

  masterKey(): MasterKeyInfo {
    const spisLeft = BigInt(this.#o.spis - this.#generated[this.#active]);
    return { active: this.#active, rotations: this.#rotations, spisLeft };
  }

  #spiKey(version: PspVersionNumber, index: number): SpiKey {
    const bytes = new Uint8Array(version % 2 === 1 ? 32 : 16);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, this.#o.seed);
    view.setUint32(4, Number(this.#rotations));
    view.setUint32(8, index);
    view.setUint32(12, 0x5eed0000 + version);
    return { spi: (this.#active * 0x80000000 + index) >>> 0, version, key: new Key(bytes) };
  }
}

const NO_STATS: Stats = { packets: 0n, bytes: 0n, lastUsedNs: 0n };
