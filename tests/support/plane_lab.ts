// SPDX-License-Identifier: Apache-2.0

/**
 * Two real planes with the agent's own pipes and entries, and no agent: frames in at one host port, out at the
 * other, and everything on the wire between. For tests inside `inOwnNamespace`.
 *
 *     host1 -- host0 [plane a] up0 ====== up1 [plane b, in a namespace of its own] hostb0 -- hostb1
 */
import assert from "node:assert/strict";
import { DataPlane } from "../../ffi/data_plane.ts";
import { type Library, openLibrary } from "../../ffi/library.ts";
import type { Plane, PlaneEvent, PlaneOptions, PspVersionNumber } from "../../ffi/plane.ts";
import { systemClock } from "../../src/model/clock.ts";
import { FlowTable } from "../../src/plane/flow_table.ts";
import { type InstalledTopology, installTopology } from "../../src/pipes/install.ts";
import { buildTopology } from "../../src/pipes/topology.ts";
import type { TopologyOptions } from "../../src/pipes/types.ts";
import { PSP_VERSIONS, type RxSa, type TxSa } from "../../src/model/sa.ts";
import { libraryPath } from "./library.ts";
import { command, FarNamespace } from "./far_namespace.ts";
import { ip } from "./own_namespace.ts";
import { PacketSocket } from "./packet_socket.ts";
import { PlaneProcess } from "./plane_process.ts";
import { PLANE } from "./standin.ts";

export const GATEWAY_MAC = "02:50:53:50:00:01";
export const WORKLOAD_MAC = "02:00:00:00:00:11";
export const PIPS = { ipv4: ["192.0.2.1", "192.0.2.2"], ipv6: ["fd77::1", "fd77::2"] } as const;

/** What an SA from a to b looks like. */
export interface FlowForm {
  readonly srcVip: string;
  readonly dstVip: string;
  readonly outer: "ipv4" | "ipv6";
  readonly version: PspVersionNumber;
  readonly mode: "tunnel" | "transport";
  /** What the receiver asks for. */
  readonly cryptOffset: number;
  /** What the sender does instead; absent: what it was asked for. */
  readonly sentCryptOffset?: number;
  readonly vc?: bigint;
  /** What the sender puts there instead of `vc`: a wrong one. */
  readonly sentVc?: bigint;
  readonly copyDscp?: boolean;
  readonly ivLimit?: bigint;
}

export interface Side {
  readonly plane: Plane;
  /** The workload's end of the host port. */
  readonly host: PacketSocket;
  /** Events since the plane was opened, but for "source". */
  readonly events: PlaneEvent[];
}

export type LabOptions = Omit<Partial<PlaneOptions>, "ports"> & {
  readonly mtu?: number;
  readonly uplinkVlan?: number;
};

export class PlaneLab implements AsyncDisposable {
  readonly a: Side;
  readonly b: Side;
  /** The wire at a's end: what leaves a is `outgoing`. */
  readonly wire: PacketSocket;
  /** The wire at b's end: frames sent there arrive at a. */
  readonly far: PacketSocket;
  readonly library: Library;
  readonly #stack: AsyncDisposableStack;
  #installed: Record<"a" | "b", { topology: InstalledTopology; flows: FlowTable }> | undefined;
  /** What the flow being connected wants of its outer header. */
  #outer: { family: "ipv4" | "ipv6"; copyDscp: boolean } = { family: "ipv4", copyDscp: true };

  private constructor(
    parts: Pick<PlaneLab, "a" | "b" | "wire" | "far" | "library">,
    stack: AsyncDisposableStack,
  ) {
    this.library = parts.library;
    this.far = parts.far;
    this.a = parts.a;
    this.b = parts.b;
    this.wire = parts.wire;
    this.#stack = stack;
  }

  /** Makes the other namespace and opens both planes. */
  static async open(options: LabOptions = {}): Promise<PlaneLab> {
    await using stack = new AsyncDisposableStack();
    const far = stack.use(await FarNamespace.make());
    await wireUp(far, options.mtu ?? 1500);
    const library = stack.use(openLibrary(libraryPath()));
    const { mtu: _, uplinkVlan: vlan = 0, ...common } = options;
    const open = (uplink: string, host: string, within?: FarNamespace) =>
      openPlane(library, {
        mssClamp: true,
        ...PLANE === "doca" ? { inspect: "all" } : {},
        ...common,
        ports: [{ kind: "uplink", name: uplink, vlan }, { kind: "host", name: host }],
      }, within);
    const a = side(stack, await open("up0", "host0"), "host1");
    const b = side(stack, await open("up1", "hostb0", far), "hostb1");
    const wire = stack.use(new PacketSocket("up0"));
    const peer = stack.use(far.within(() => new PacketSocket("up1")));
    return new PlaneLab({ a, b, wire, far: peer, library }, stack.move());
  }

  /** Puts these pipes on both planes, instead of those that are there. */
  async install(options: TopologyOptions): Promise<void> {
    await this.#uninstall();
    const topology = buildTopology(options);
    const put = (which: "a" | "b") => {
      const installed = installTopology(this[which].plane, topology);
      return { topology: installed, flows: this.#flows(which, installed) };
    };
    this.#installed = { a: put("a"), b: put("b") };
  }

  /** The pipes of one side. */
  topology(which: "a" | "b"): InstalledTopology {
    assert.ok(this.#installed, "install() first");
    return this.#installed[which].topology;
  }

  flows(which: "a" | "b"): FlowTable {
    assert.ok(this.#installed, "install() first");
    return this.#installed[which].flows;
  }

  /** A transmit SA on a and its receive SA on b; disposal takes both away. */
  connect(form: FlowForm): Disposable & { readonly spi: number; readonly rx: RxSa } {
    this.#outer = { family: form.outer, copyDscp: form.copyDscp ?? true };
    const [spiKey] = this.b.plane.generateSpis(form.version, 1);
    assert.ok(spiKey);
    const version = PSP_VERSIONS[form.version];
    assert.ok(version);
    const common = { spi: spiKey.spi, version, mode: form.mode, serial: 1n, createdAtMs: 0 };
    const { cryptOffset } = form;
    const vc = form.vc === undefined ? {} : { vc: form.vc };
    const sent = form.sentVc === undefined ? vc : { vc: form.sentVc };
    const rx: RxSa = {
      ...common,
      ...vc,
      cryptOffset,
      peer: "a",
      localVip: form.dstVip,
      remoteVip: form.srcVip,
    };
    const tx: TxSa = {
      ...common,
      ...sent,
      peer: "b",
      localVip: form.srcVip,
      remoteVip: form.dstVip,
      pip: PIPS[form.outer][1],
      mac: this.b.plane.port("uplink").mac,
      cryptOffset: form.sentCryptOffset ?? cryptOffset,
      epoch: 1n,
      expiresAtMs: 0,
    };
    this.flows("b").addRx(rx);
    this.flows("a").setTx(tx, { ...spiKey, ivLimit: form.ivLimit ?? 0n });
    spiKey.key.wipe();
    return {
      spi: spiKey.spi,
      rx,
      [Symbol.dispose]: () => {
        this.flows("a").removeTx(tx);
        this.flows("b").removeRx(rx.spi);
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#uninstall();
    await this.#stack.disposeAsync();
  }

  async #uninstall(): Promise<void> {
    const installed = this.#installed;
    this.#installed = undefined;
    if (installed === undefined) return;
    for (const { topology, flows } of [installed.a, installed.b]) {
      await flows[Symbol.asyncDispose]();
      topology.remove();
    }
  }

  #flows(which: "a" | "b", installed: InstalledTopology): FlowTable {
    const outer = () => this.#outer;
    return new FlowTable({
      plane: this[which].plane,
      installed,
      clock: systemClock(),
      get localPip() {
        return PIPS[outer().family][which === "a" ? 0 : 1];
      },
      get copyDscp() {
        return outer().copyDscp;
      },
      ttl: 64,
      gatewayMac: GATEWAY_MAC,
      nextHopMac: (sa) => sa.mac,
      placeOf: () => ({ mac: WORKLOAD_MAC, port: this[which].plane.ports.host }),
    });
  }
}

/** A process has room for any number of soft planes, and for one DOCA plane. */
async function openPlane(
  library: Library,
  options: PlaneOptions,
  within?: FarNamespace,
): Promise<Plane> {
  if (PLANE === "doca") {
    const enter = within?.enter ?? [];
    return await PlaneProcess.open({ library: library.path, options, enter });
  }
  const open = () => DataPlane.open(library, options);
  return within === undefined ? open() : within.within(open);
}

function side(stack: AsyncDisposableStack, plane: Plane, end: string): Side {
  const events: PlaneEvent[] = [];
  const reading = (async () => {
    // Whether a packet is its entry's first, which shows its MAC, depends on those before it.
    for await (const batch of plane.events()) {
      events.push(...batch.filter(({ type }) => type !== "source"));
    }
  })();
  stack.defer(async () => {
    await plane.close();
    await reading;
  });
  plane.start();
  return { plane, host: stack.use(new PacketSocket(end)), events };
}

/** up0-up1 and host0-host1 are there (inOwnNamespace); up1 goes over, and hostb0-hostb1 is made. */
async function wireUp(far: FarNamespace, mtu: number): Promise<void> {
  const quiet = "for f in all default up0 up1 host0 host1 hostb0 hostb1; do " +
    "d=/proc/sys/net/ipv6/conf/$f; [ ! -d $d ] || echo 1 > $d/disable_ipv6; done";
  await command(["sh", "-c", quiet]);
  await command(["nsenter", "-t", `${far.pid}`, "-n", "sh", "-c", quiet]);
  // What an earlier lab of this process left has gone with its namespace.
  await command(["sh", "-c", "ip link show up0 >/dev/null 2>&1 && ip link del up0 || true"]);
  await ip(`link add up0 type veth peer name up1 netns ${far.pid}`);
  await ip(`link add hostb1 type veth peer name hostb0 netns ${far.pid}`);
  for (const device of ["up0", "hostb1", "host0", "host1"]) {
    await ip(`link set ${device} mtu ${mtu} up`);
  }
  for (const device of ["up1", "hostb0"]) await far.ip(`link set ${device} mtu ${mtu} up`);
  await command(["sh", "-c", quiet]);
  await command(["nsenter", "-t", `${far.pid}`, "-n", "sh", "-c", quiet]);
}
