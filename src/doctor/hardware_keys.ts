// SPDX-License-Identifier: Apache-2.0

/** Stages D, E and H of `doctor --hardware`: keys, entries that use them, and how fast both go. */
import type { Plane, PspVersionNumber, SpiKey } from "../../ffi/plane.ts";
import type { FlowTable } from "../plane/flow_table.ts";
import { isReservedSpi, PSP_VERSIONS, type RxSa, spiText, type TxSa } from "../model/sa.ts";
import { type Inquiry, No, NotAsked } from "./probe.ts";

/** SPIs that are asked for in one call. */
const BULK = 64;
/** Entries of the trial of speed. */
const MANY = 200;

/** Stage D. */
export async function askKeys(inquiry: Inquiry, plane: Plane): Promise<void> {
  for (const [i, version] of ([1, 0] as const).entries()) {
    await inquiry.ask({
      id: `D${i + 1}`,
      asks: `Does the device derive keys of ${version === 1 ? 256 : 128} bits?`,
      yes: `${PSP_VERSIONS[version]} can be used`,
      no: "the part has no crypto, the firmware no PSP; or this length is not there: psp.versions",
    }, () =>
      withSpis(plane, { version, n: 4 }, (keys) => {
        const spis = new Set(keys.map(({ spi }) => spi));
        if (spis.size !== keys.length || keys.some(({ spi }) => isReservedSpi(spi))) {
          throw new No(`SPIs that repeat or are reserved: ${[...spis].map(spiText).join(", ")}`);
        }
        if (keys.some(({ key }) => key.reveal().every((octet) => octet === 0))) {
          throw new No("a key of zeros");
        }
        return `${keys.length} SPIs, all different, and a key for each`;
      }));
  }
  await inquiry.ask({
    id: "D3",
    asks: "Does a crypto id take a key?",
    yes: "ids are bound, or handed out, before their keys, as the plane does it",
    no: "no packet can be sealed",
  }, () => withSpis(plane, { version: 1, n: 1 }, ([key]) => setKey(plane, key)));
  await inquiry.ask({
    id: "D4",
    asks: "Does an id that has a key take another one?",
    yes: "a rekey may use an id again",
    no: "ids cannot be used twice: what was one is to be two, and the plane must be told",
  }, () => withSpis(plane, { version: 1, n: 1 }, ([key]) => setKey(plane, key)));
  await inquiry.ask({
    id: "D5",
    asks: "Does a rotation of the master key change the top bit of the next SPIs?",
    yes: "rotations work as the specification has them",
    no:
      "rotation.interval must be longer than anything lives, or the report of a bug goes to NVIDIA",
  }, () => {
    const top = () => withSpis(plane, { version: 1, n: 1 }, ([key]) => (key?.spi ?? 0) >>> 31);
    const before = top();
    plane.rotateMasterKey();
    const after = top();
    if (before === after) throw new No(`it was ${before} before and is ${after}`);
    return `${before} before, ${after} after`;
  });
  await inquiry.ask({
    id: "D6",
    asks: `Do ${BULK} SPIs come in one call?`,
    yes: "a restart of a large host asks for so many at once",
    no: "they would have to be asked for one by one",
  }, () => {
    const begin = performance.now();
    return withSpis(plane, { version: 1, n: BULK }, () => {
      const ms = performance.now() - begin;
      return `${BULK} in ${ms.toFixed(2)} ms, ${rate(BULK, ms)} a second`;
    });
  });
}

function setKey(plane: Plane, key: SpiKey | undefined): string {
  if (key === undefined) throw new NotAsked("there is no key");
  plane.setCrypto(1, { spi: key.spi, version: key.version, key: key.key, ivLimit: 0n });
  return "id 1 has it";
}

/** The keys are wiped afterwards. */
function withSpis<T>(
  plane: Plane,
  { version, n }: { readonly version: PspVersionNumber; readonly n: number },
  use: (keys: readonly SpiKey[]) => T,
): T {
  const keys = plane.generateSpis(version, n);
  try {
    return use(keys);
  } finally {
    for (const { key } of keys) key.wipe();
  }
}

/** What a probe's SAs have in common: nobody's peer. */
const COMMON = {
  peer: "probe",
  version: "aes-gcm-256",
  mode: "tunnel",
  serial: 1n,
  createdAtMs: 0,
} as const;

/** A transmit SA between two addresses, to wherever `to` says. */
export function txSa(
  [localVip, remoteVip]: readonly [string, string],
  { spi, pip, mac }: { readonly spi: number; readonly pip: string; readonly mac: string },
): TxSa {
  const cryptOffset = localVip.includes(":") ? 10 : 5;
  return { ...COMMON, localVip, remoteVip, spi, pip, mac, cryptOffset, epoch: 1n, expiresAtMs: 0 };
}

/** A receive SA between two addresses. */
export function rxSa([localVip, remoteVip]: readonly [string, string], spi: number): RxSa {
  return { ...COMMON, localVip, remoteVip, spi, cryptOffset: localVip.includes(":") ? 10 : 5 };
}

/** Addresses of documentation, by family: local, remote. */
export const PAIRS = {
  ipv4: ["198.51.100.1", "203.0.113.1"],
  ipv6: ["2001:db8:1::1", "2001:db8:2::1"],
} as const;

const NOWHERE = { pip: "192.0.2.254", mac: "02:00:00:00:00:fe" };

/** Stage E: on installed pipes. */
export async function askEntries(
  inquiry: Inquiry,
  { plane, flows, pip }: {
    readonly plane: Plane;
    readonly flows: FlowTable;
    readonly pip: string;
  },
): Promise<void> {
  const to = { ...NOWHERE, ...pip.includes(":") ? { pip: "2001:db8::fe" } : {} };
  const send = (pair: readonly [string, string]) =>
    withSpis(plane, { version: 1, n: 1 }, ([key]) => {
      if (key === undefined) throw new NotAsked("there is no key");
      flows.setTx(txSa(pair, { ...to, spi: key.spi }), { ...key, ivLimit: 0n });
      return `SPI ${spiText(key.spi)}`;
    });
  for (const [i, family] of (["ipv4", "ipv6"] as const).entries()) {
    const pair = PAIRS[family];
    await inquiry.ask({
      id: `E${3 * i + 1}`,
      asks: `Does EGR_ACL take a tunnel between ${family} addresses?`,
      yes: "encapsulation and encryption in one entry are possible",
      no: "nothing of this family is sealed",
    }, () => send(pair));
    await inquiry.ask({
      id: `E${3 * i + 2}`,
      asks: `Is it changed in one step when the tunnel is rekeyed (${family})?`,
      yes: "no packet is lost at a rekey",
      no: "entries with crypto actions cannot be updated: tunnels must be set up anew",
    }, () => send(pair));
    await inquiry.ask({
      id: `E${3 * i + 3}`,
      asks: `Does INGR_ACL take an SPI between ${family} addresses?`,
      yes: "syndrome, SPI, addresses and crypt offset are matched together",
      no: "nothing of this family is let in",
    }, () =>
      withSpis(plane, { version: 1, n: 1 }, ([key]) => {
        if (key === undefined) throw new NotAsked("there is no key");
        flows.addRx(rxSa(pair, key.spi));
        const stats = flows.rxStats(key.spi);
        flows.removeRx(key.spi);
        return `SPI ${spiText(key.spi)}, counter ${stats?.packets}, and gone again`;
      }));
  }
  await inquiry.ask({
    id: "E7",
    asks: "Do the entries of EGR_ACL go again?",
    yes: "a tunnel that ends leaves nothing",
    no: "the table fills up",
  }, () => {
    for (const [localVip, remoteVip] of Object.values(PAIRS)) {
      flows.removeTx({ localVip, remoteVip });
    }
    return "both";
  });
}

/** Stage H. Slow is no error: the figures are what is wanted. */
export async function askRates(
  inquiry: Inquiry,
  { plane, flows }: { readonly plane: Plane; readonly flows: FlowTable },
): Promise<void> {
  const spis: number[] = [];
  await inquiry.ask({
    id: "H1",
    asks: `How fast are ${MANY} entries of INGR_ACL added, each awaited?`,
    yes: "see the figure",
    no: "so many do not go in",
  }, () => {
    withSpis(plane, { version: 1, n: MANY }, (keys) => spis.push(...keys.map(({ spi }) => spi)));
    const [localVip] = PAIRS.ipv4;
    const begin = performance.now();
    spis.forEach((spi, i) => flows.addRx(rxSa([localVip, `203.0.113.${i + 1}`], spi)));
    return perSecond(MANY, performance.now() - begin);
  });
  await inquiry.ask({
    id: "H2",
    asks: "How fast are their counters read?",
    yes: "see the figure: all tunnels are read every few seconds",
    no: "idle tunnels and keys at their end are not found",
  }, () => {
    const begin = performance.now();
    for (const spi of spis) flows.rxStats(spi);
    return perSecond(spis.length, performance.now() - begin);
  });
  await inquiry.ask({
    id: "H3",
    asks: "How fast do they go?",
    yes: "see the figure",
    no: "they do not",
  }, () => {
    const begin = performance.now();
    for (const spi of spis) flows.removeRx(spi);
    return perSecond(spis.length, performance.now() - begin);
  });
}

function perSecond(n: number, ms: number): string {
  return `${n} in ${ms.toFixed(1)} ms, ${rate(n, ms)} a second`;
}

function rate(n: number, ms: number): string {
  return (n * 1000 / Math.max(ms, 0.001)).toFixed(0);
}
