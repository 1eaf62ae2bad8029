// SPDX-License-Identifier: Apache-2.0

/** PSP without a plane: key derivation, sealing and opening by the shim's own code. */
import { BACKENDS, encoded, encodeKey, keyLength, versionBits } from "./codec.ts";
import { Key } from "./key.ts";
import { ENOENT, type Library, unwrap } from "./library.ts";
import { DataPlaneError, type PspVersionNumber, type SpiKey } from "./plane.ts";

/** A crypto library that the shim was built with; "auto" is the preferred one. */
export type Backend = keyof typeof BACKENDS;

/** enum psp_dp_verdict: what a receiver makes of a packet. */
const VERDICTS = [
  "ok",
  "icv",
  "malformed",
  "short",
  "discard",
  "reserved",
  "policy",
] as const;
export type Verdict = (typeof VERDICTS)[number];

/** What `unseal` found; `clear` is empty unless the verdict is "ok" or "policy". */
export interface Unsealed {
  readonly verdict: Verdict;
  /** PSP header and payload in clear, without the ICV. */
  readonly clear: Uint8Array<ArrayBuffer>;
}

/** The shim's offline functions with one backend. Every method throws `DataPlaneError`. */
export interface Offline {
  readonly backend: Backend;
  /** SP 800-108 counter mode, CMAC-AES-256; `length` in octets. */
  kbkdf(key: Key, fixed: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer>;
  /** The key of an SPI under the master key that its top bit selects. */
  derive(masterKeys: readonly [Key, Key], spi: number, version: PspVersionNumber): SpiKey;
  /** `packet`: PSP header with the IV in place, and payload. The same sealed, and the ICV. */
  seal(key: SpiKey, packet: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
  /** `packet`: PSP header to ICV. `versions`: those accepted; default 0 and 1. */
  unseal(
    key: SpiKey,
    packet: Uint8Array<ArrayBuffer>,
    versions?: readonly PspVersionNumber[],
  ): Unsealed;
}

/** The names of the backends that are usable on this machine, preferred first. */
export function backends({ symbols }: Library): readonly string[] {
  const names: string[] = [];
  for (let n = 0;; n++) {
    const id = new Uint32Array(1);
    const name = new Uint8Array(64);
    const status = symbols.psp_dp_backend_at(n, id, name, name.length);
    if (status === ENOENT) return names;
    unwrap(status, "Cannot list the crypto backends");
    names.push(new TextDecoder().decode(name.subarray(0, name.indexOf(0))));
  }
}

/** Throws `DataPlaneError` "ENOTSUP" when this machine cannot use the backend. */
export function offline(library: Library, backend: Backend = "auto"): Offline {
  const usable = backends(library);
  if (backend === "auto" ? usable.length === 0 : !usable.includes(backend)) {
    throw new DataPlaneError(
      `Cannot use the crypto backend "${backend}": usable here: ${usable.join(", ") || "none"}`,
      "ENOTSUP",
    );
  }
  const { symbols } = library;
  const id = BACKENDS[backend];
  return {
    backend,
    kbkdf(key, fixed, length) {
      const out = new Uint8Array(length);
      const what = "Cannot derive octets from a key";
      const octets = derivationKey(what, key);
      const status = symbols.psp_dp_kbkdf(id, octets, fixed, fixed.length, out, out.length);
      unwrap(status, what);
      return out;
    },
    derive([mk0, mk1], spi, version) {
      const out = new Uint8Array(32);
      const what = `Cannot derive the key of SPI ${spiText(spi)}`;
      const masters = [derivationKey(what, mk0), derivationKey(what, mk1)] as const;
      try {
        const status = symbols.psp_dp_derive(id, ...masters, spi, version, out);
        unwrap(status, what);
        return { spi: spi >>> 0, version, key: new Key(out.slice(0, keyLength(version))) };
      } finally {
        out.fill(0);
      }
    },
    seal(key, packet) {
      const out = new Uint8Array(packet.length + 16);
      const len = new Uint32Array(1);
      const what = `Cannot seal a packet with SPI ${spiText(key.spi)}`;
      const struct = encoded(what, () => encodeKey(key).bytes);
      try {
        const status = symbols.psp_dp_seal(id, struct, packet, packet.length, out, out.length, len);
        unwrap(status, what);
        return out.subarray(0, len[0]);
      } finally {
        struct.fill(0);
      }
    },
    unseal(key, packet, versions = [0, 1]) {
      const out = new Uint8Array(packet.length);
      const len = new Uint32Array(1);
      const verdict = new Uint32Array(1);
      const what = `Cannot open a packet with SPI ${spiText(key.spi)}`;
      const struct = encoded(what, () => encodeKey(key).bytes);
      try {
        const status = symbols.psp_dp_unseal(
          id,
          struct,
          versionBits(versions),
          packet,
          packet.length,
          out,
          out.length,
          len,
          verdict,
        );
        unwrap(status, what);
        const name = VERDICTS[verdict[0] ?? 0];
        if (name === undefined) {
          throw new DataPlaneError(
            `Cannot open a packet: verdict ${verdict[0]} is unknown`,
            "EINVAL",
          );
        }
        return { verdict: name, clear: out.subarray(0, len[0]) };
      } finally {
        struct.fill(0);
      }
    },
  };
}

/** The library reads 32 octets, and is told of no length. */
function derivationKey(what: string, key: Key): Uint8Array<ArrayBuffer> {
  if (key.length === 32) return key.reveal();
  throw new DataPlaneError(`${what}: keys are derived from 32 octets, not ${key.length}`, "EINVAL");
}

function spiText(spi: number): string {
  return (spi >>> 0).toString(16).padStart(8, "0");
}
