// SPDX-License-Identifier: Apache-2.0

/**
 * Fixtures in Katran's manner: a description, a packet in, the verdict, the packets out. They run on a real
 * plane that has the agent's pipes, one tunnel for each family, and the agent's answers to workloads.
 */
import assert from "node:assert/strict";
import { type Offline, offline } from "../../ffi/offline.ts";
import type { PlaneEvent, SpiKey } from "../../ffi/plane.ts";
import { systemClock } from "../../src/model/clock.ts";
import type { Config } from "../../src/config/config.ts";
import { Peers } from "../../src/core/directory.ts";
import type { TxSa } from "../../src/model/sa.ts";
import { fixedPorts } from "./fixed_ports.ts";
import { Workloads } from "../../src/plane/workloads.ts";
import type { Frame } from "./packet_socket.ts";
import { GATEWAY_MAC, PIPS, PlaneLab } from "./plane_lab.ts";
import { type PspOnWire, readPsp } from "./psp_wire.ts";
import { PLANE } from "./standin.ts";
import { eventually } from "./wait.ts";

export interface Fixture {
  readonly description: string;
  readonly port: "host" | "uplink";
  readonly packet: (stage: FixtureStage) => Frame;
  /** Counters of the plane that move, and by how much; all others stand still. */
  readonly verdict: Readonly<Record<string, number>>;
  /** What leaves, in order; absent: nothing. */
  readonly out?: readonly Out[];
  /** What the agent is told, in order; absent: nothing. */
  readonly told?: readonly Told[];
  /** What the DOCA plane answers instead: docs/doca.md says why. */
  readonly onDoca?: Partial<Pick<Fixture, "verdict" | "out" | "told">>;
}

/** A frame out of the host port: octet by octet, or these pieces of it in hex. */
type Out =
  | { readonly port: "host"; readonly frame: (stage: FixtureStage) => Frame }
  | { readonly port: "host"; readonly has: readonly string[]; readonly hasNot?: readonly string[] }
  | {
    readonly port: "uplink";
    readonly psp: Partial<PspOnWire>;
    /** From the inner IP header on. */
    readonly inner: (stage: FixtureStage) => Frame;
  };

type Told = { readonly type: PlaneEvent["type"] } & Readonly<Record<string, unknown>>;

/** vips of this host and of the peer, by family. */
export const LOCAL = { ipv4: "10.1.0.5", ipv6: "fd01::5" } as const;
export const REMOTE = { ipv4: "10.2.0.7", ipv6: "fd02::7" } as const;
export const COOKIE = 0x0123_4567_89ab_cdefn;
export const MTU = 1440;

const CONFIG: Pick<Config, "domain" | "gatewayMac" | "vips" | "peers" | "security"> = {
  domain: "psp-agent.local",
  gatewayMac: GATEWAY_MAC,
  vips: [
    { vip: "10.1.0.0/24", gateway: "10.1.0.1", dns: ["10.9.9.9"] },
    { vip: "fd01::/64", dns: ["fd09::9"] },
  ],
  peers: [{ id: "h2", svcAddress: "192.0.2.2:7443", vips: ["10.2.0.0/24", "fd02::/64"] }],
  security: { deny: [] },
};

/** The keys of the tunnel: what is sealed with `rx` is for us, `tx` opens what we sent. */
export class FixtureStage implements AsyncDisposable {
  readonly lab: PlaneLab;
  readonly psp: Offline;
  readonly rx: SpiKey;
  /** As `rx`, but asked for without any octet in clear. */
  readonly covered: SpiKey;
  readonly tx: SpiKey;
  readonly #stop = new AbortController();

  private constructor(lab: PlaneLab, keys: { rx: SpiKey; covered: SpiKey; tx: SpiKey }) {
    this.lab = lab;
    this.psp = offline(lab.library);
    this.rx = keys.rx;
    this.covered = keys.covered;
    this.tx = keys.tx;
  }

  /** With sampling every packet is a sample. */
  static async make(options: { readonly sampling: boolean }): Promise<FixtureStage> {
    const lab = await PlaneLab.open();
    const common = { mode: "tunnel", onDemand: true, exceptions: true, vc: true } as const;
    await lab.install({ ...common, sampling: options.sampling, sampleRateLog2: 0 });
    const [rx, covered, tx4] = lab.a.plane.generateSpis(1, 3);
    assert.ok(rx && covered && tx4);
    const stage = new FixtureStage(lab, { rx, covered, tx: tx4 });
    stage.#addTunnel("ipv4", tx4);
    stage.#answer();
    return stage;
  }

  /** Runs one fixture; throws with its description. */
  async run(given: Fixture): Promise<void> {
    const { lab } = this;
    const fixture = PLANE === "doca" ? { ...given, ...given.onDoca } : given;
    const before = lab.a.plane.counters();
    const events = lab.a.events.length;
    lab.a.host.drain();
    lab.wire.drain();
    const from = fixture.port === "host" ? lab.a.host : lab.far;
    from.send(fixture.packet(this));
    const want = { [`${fixture.port}-rx-packets`]: 1, ...fixture.verdict };
    const moved = () => this.#moved(before);
    await eventually(() => same(moved(), want), {
      what: `the verdict ${JSON.stringify(want)} on "${fixture.description}"`,
      everyMs: 1,
      describe: () => JSON.stringify(moved()),
    });
    await this.#out(fixture);
    const told = fixture.told ?? [];
    const heard = () => lab.a.events.slice(events);
    await eventually(() => heard().length >= told.length, {
      what: `${told.length} events on "${fixture.description}"`,
      everyMs: 1,
      describe: () => heard().map((event) => event.type).join(),
    });
    assert.deepEqual(
      heard().map((event, i) => picked(event, told[i] ?? { type: event.type })),
      told,
      fixture.description,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    for (const { key } of [this.rx, this.covered, this.tx]) key.wipe();
    await this.lab[Symbol.asyncDispose]();
  }

  async #out({ description, out = [] }: Fixture): Promise<void> {
    const { lab } = this;
    for (const expected of out) {
      if (expected.port === "host") {
        const [frame] = await lab.a.host.take(1, description, (p) => !p.outgoing);
        assert.ok(frame);
        if ("frame" in expected) {
          assert.equal(frame.toHex(), expected.frame(this).toHex(), description);
          continue;
        }
        const hex = frame.toHex();
        for (const part of expected.has) assert.ok(hex.includes(part), `${description}: ${hex}`);
        for (const part of expected.hasNot ?? []) assert.ok(!hex.includes(part), description);
      } else {
        const [frame] = await lab.wire.take(1, description, (p) => p.outgoing);
        const psp = frame && readPsp(frame);
        assert.ok(psp, description);
        assert.deepEqual(picked(psp, expected.psp), expected.psp, description);
        const { verdict, clear } = this.psp.unseal(this.tx, psp.psp);
        assert.equal(verdict, "ok", description);
        const inner = clear.subarray(8 + 8 * psp.extLength).toHex();
        assert.equal(inner, expected.inner(this).subarray(14).toHex(), description);
      }
    }
    const left = [...lab.a.host.drain(), ...lab.far.drain()].filter((p) => !p.outgoing);
    const more = left.filter((p) => readPsp(p.frame) === undefined || out.length === 0);
    assert.deepEqual(more.map((p) => p.frame.toHex()), [], `${description}: more than expected`);
  }

  #moved(before: Readonly<Record<string, bigint>>): Record<string, number> {
    const now = Object.entries(this.lab.a.plane.counters());
    return Object.fromEntries(
      now.map(([name, value]) => [name, Number(value - (before[name] ?? 0n))] as const)
        .filter(([name, n]) => n !== 0 && !name.endsWith("-bytes")),
    );
  }

  #addTunnel(family: "ipv4" | "ipv6", tx: SpiKey): void {
    const pair = { localVip: LOCAL[family], remoteVip: REMOTE[family] };
    const common = { ...pair, peer: "h2", mode: "tunnel", serial: 1n, createdAtMs: 0 } as const;
    const rxSa = { ...common, spi: this.rx.spi, version: "aes-gcm-256", vc: COOKIE } as const;
    const txSa: TxSa = {
      ...common,
      spi: tx.spi,
      version: "aes-gcm-256",
      pip: PIPS.ipv4[1],
      mac: "02:00:00:00:77:02",
      cryptOffset: 5,
      epoch: 1n,
      expiresAtMs: 0,
    };
    this.lab.flows("a").addRx({ ...rxSa, cryptOffset: 7 });
    this.lab.flows("a").addRx({ ...rxSa, spi: this.covered.spi, cryptOffset: 0 });
    this.lab.flows("a").setTx(txSa, { ...tx, ivLimit: 0n });
  }

  /** The agent's part: exceptions are answered. */
  #answer(): void {
    const { plane, events } = this.lab.a;
    const none = () => {};
    const workloads = new Workloads({
      config: CONFIG,
      peers: new Peers(CONFIG),
      plane,
      clock: systemClock(),
      log: { debug: none, info: none, warn: none, error: none },
      mtu: MTU,
      ports: fixedPorts(plane.ports.host),
      moved: none,
    });
    const push = events.push.bind(events);
    events.push = (...batch) => {
      for (const event of batch) {
        if (event.type === "exception") workloads.onException(event.frame, event.port);
        if (event.type === "too_big") workloads.onTooBig(event);
      }
      return push(...batch);
    };
  }
}

function same(a: Record<string, number>, b: Record<string, number>): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => (a[key] ?? 0) === (b[key] ?? 0));
}

/** The fields of `from` that `like` has. */
function picked(from: object, like: object): Record<string, unknown> {
  const values = from as Record<string, unknown>;
  return Object.fromEntries(Object.keys(like).map((key) => [key, values[key]]));
}
