// SPDX-License-Identifier: Apache-2.0

/**
 * Two complete cores in one process: real planes with their pipes, databases on disk, mutual TLS between them
 * on loopback. Misses come from whoever asks, so that an exchange can be counted and timed without a packet.
 * Runs inside `inOwnNamespace`.
 */
import type { DropReason } from "../../ffi/plane.ts";
import { systemClock } from "../../src/model/clock.ts";
import type { Config } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/load.ts";
import { type Core, createCore } from "../../src/core/core.ts";
import type { TunnelHandler } from "../../src/model/exchange.ts";
import type { FlowTable } from "../../src/plane/flow_table.ts";
import type { Log } from "../../src/model/log.ts";
import type { CorePlane } from "../../src/core/core.ts";
import { Peers } from "../../src/core/directory.ts";
import { pkiInit, pkiIssue } from "../../src/pki/pki.ts";
import { systemRandom } from "../../src/model/random.ts";
import { createRpcClient, type RpcClient } from "../../src/rpc/client.ts";
import { peerAddresses } from "./peer_addresses.ts";
import { peerIds, type Trust } from "../../src/rpc/identity.ts";
import { type RpcServer, startRpcServer } from "../../src/rpc/server.ts";
import { TlsStore } from "../../src/rpc/tls_store.ts";
import { openSaStore, type SaStore } from "../../src/store/sa_store.ts";
import { PlaneLab } from "./plane_lab.ts";

export const DOMAIN = "example.org";
const IDS = ["h1", "h2"];
const TRUST: Trust = { domain: DOMAIN, peers: peerIds(IDS), deny: [] };
const NEVER = { pending: 256, pendingPerAddress: 256, ratePerS: 1e9, burst: 1e9 };

/** What a test may have otherwise. */
export interface LabOptions {
  /** Changes `peers.json` of both hosts. */
  readonly change?: (config: Record<string, unknown>) => void;
  /** As it is for agents; absent: nothing holds the bench back. */
  readonly realLimits?: boolean;
  /** Another lab's certificates, so that this one's h2 and that one's h1 trust each other. */
  readonly pki?: string;
  /** Where the servers listen; default: 127.0.0.1. */
  readonly listen?: string;
  /** "host:port" of the h2 that h1 asks; default: the lab's own. */
  readonly h2?: string;
}

/** One host. */
export interface LabHost {
  readonly id: "h1" | "h2";
  readonly config: Config;
  readonly core: Core;
  readonly flows: FlowTable;
  readonly store: SaStore;
  readonly server: RpcServer;
  readonly client: RpcClient;
}

export class ExchangeLab implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  #flow = 0;

  private constructor(
    /** Where the certificates are. */
    readonly pki: string,
    readonly planes: PlaneLab,
    readonly h1: LabHost,
    readonly h2: LabHost,
    readonly options: LabOptions,
  ) {}

  static async open(options: LabOptions = {}): Promise<ExchangeLab> {
    await using stack = new AsyncDisposableStack();
    const dir = stack.adopt(
      Deno.makeTempDirSync({ prefix: "psp-lab-" }),
      (path) => Deno.removeSync(path, { recursive: true }),
    );
    const pki = options.pki ?? `${dir}/pki`;
    if (options.pki === undefined) {
      await pkiInit({ dir: pki });
      for (const id of IDS) await pkiIssue({ dir: pki, id, domain: DOMAIN });
    }
    const planes = stack.use(await PlaneLab.open());
    await planes.install({
      sampling: false,
      sampleRateLog2: 0,
      mode: "tunnel",
      onDemand: true,
      exceptions: true,
      vc: false,
    });
    const settled = { done: (_flow: number, _why?: DropReason) => {} };
    // Either needs the other's port, which is only known once it listens.
    const handlers = new Map<string, TunnelHandler>();
    const servers = new Map<string, RpcServer>();
    for (const id of IDS) {
      const handler: TunnelHandler = {
        newTunnel: (...args) => required(handlers, id).newTunnel(...args),
        notify: (...args) => required(handlers, id).notify(...args),
      };
      servers.set(id, stack.use(await serve({ pki, id, handler, options })));
    }
    const hosts = (["h1", "h2"] as const).map((id): LabHost => {
      const side = id === "h1" ? "a" : "b";
      const { port } = required(servers, id === "h1" ? "h2" : "h1").address;
      const other = id === "h1" && options.h2 !== undefined ? options.h2 : `127.0.0.1:${port}`;
      const config = configOf(dir, { id, pki, other, options });
      const store = stack.use(
        openSaStore({ path: `${dir}/${id}.db`, log: QUIET, wallMs: Date.now }),
      );
      const tls = new TlsStore(tlsOf(pki, id), { pollMs: 0 });
      const client = stack.use(createRpcClient({
        id,
        peers: peerAddresses(...config.peers),
        trust: TRUST,
        tls,
        maxMessageBytes: config.rpc.maxMessageBytes,
      }));
      const flows = planes.flows(side);
      const core = createCore({
        config,
        peers: new Peers(config),
        clock: systemClock(),
        log: QUIET,
        store,
        client,
        flows,
        plane: planeFor(planes[side].plane, settled),
        random: systemRandom(),
        events: { add() {} },
      });
      handlers.set(id, core.handler);
      stack.defer(() => core.stop());
      core.start();
      return { id, config, core, flows, store, server: required(servers, id), client };
    });
    const [h1, h2] = hosts;
    if (h1 === undefined || h2 === undefined) throw new Error("Two hosts make a lab");
    const lab = new ExchangeLab(pki, planes, h1, h2, options);
    settled.done = (flow, why) => lab.#settle(flow, why);
    lab.#stack.use(stack.move());
    return lab;
  }

  /** Opens the tunnels from h1's workloads `from` on, `n` of them; rejects when one is refused. */
  async exchange({ from, n = 1 }: { readonly from: number; readonly n?: number }): Promise<void> {
    const all = Array.from({ length: n }, (_, i) => {
      const flow = ++this.#flow;
      const up = Promise.withResolvers<void>();
      this.#waiting.set(flow, up);
      const { localVip, remoteVip } = pairOf(from + i);
      this.h1.core.onEvent({
        type: "miss",
        flow,
        port: 2,
        network: 0,
        srcVip: localVip,
        dstVip: remoteVip,
        ethSrc: "02:00:00:00:00:11",
      });
      return up.promise;
    });
    await Promise.all(all);
  }

  /** A server with h2's certificate and a handler of the caller's. */
  serveBare(handler: TunnelHandler): Promise<RpcServer> {
    return serve({ pki: this.pki, id: "h2", handler, options: this.options });
  }

  /** A client of h1, without a connection yet, whose "h2" is at "host:port". */
  clientOf(svcAddress: string): RpcClient {
    return createRpcClient({
      id: "h1",
      peers: peerAddresses({ id: "h2", svcAddress }),
      trust: TRUST,
      tls: new TlsStore(tlsOf(this.pki, "h1"), { pollMs: 0 }),
      maxMessageBytes: 65_536,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #settle(flow: number, why: DropReason | undefined): void {
    const waiting = this.#waiting.get(flow);
    this.#waiting.delete(flow);
    if (why === undefined) waiting?.resolve();
    else waiting?.reject(new Error(`The tunnel of flow ${flow} was not made: ${why}`));
  }
}

/** The vips of the i-th tunnel; i is below 16,000,000. */
export function pairOf(i: number): { readonly localVip: string; readonly remoteVip: string } {
  const tail = `${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
  return { localVip: `10.${tail}`, remoteVip: `11.${tail}` };
}

/** The plane, but for flows that no packet made. */
function planeFor(
  plane: CorePlane,
  settled: { done(flow: number, why?: DropReason): void },
): CorePlane {
  return {
    port: (which) => plane.port(which),
    generateSpis: (version, n) => plane.generateSpis(version, n),
    rotateMasterKey: () => plane.rotateMasterKey(),
    masterKey: () => plane.masterKey(),
    granted: () => plane.granted(),
    clearHoldOff: () => plane.clearHoldOff(),
    releaseHeld: (flow) => {
      settled.done(flow);
      return 0;
    },
    dropHeld: (flow, reason) => {
      settled.done(flow, reason);
      return 0;
    },
  };
}

function serve(
  given: {
    readonly pki: string;
    readonly id: string;
    readonly handler: TunnelHandler;
    readonly options: LabOptions;
  },
): Promise<RpcServer> {
  const { pki, id, handler, options } = given;
  return startRpcServer({
    listen: `${options.listen ?? "127.0.0.1"}:0`,
    handler,
    trust: TRUST,
    tls: new TlsStore(tlsOf(pki, id), { pollMs: 0 }),
    maxConnections: 256,
    handshakeTimeoutMs: 5000,
    maxMessageBytes: 65_536,
    ...(options.realLimits ? {} : { admission: NEVER }),
  });
}

function configOf(
  dir: string,
  { id, pki, other: svcAddress, options }: {
    readonly id: "h1" | "h2";
    readonly pki: string;
    readonly other: string;
    readonly options: LabOptions;
  },
): Config {
  const [own, others] = id === "h1" ? ["10.0.0.0/8", "11.0.0.0/8"] : ["11.0.0.0/8", "10.0.0.0/8"];
  const other = id === "h1" ? "h2" : "h1";
  const file: Record<string, unknown> = {
    id,
    domain: DOMAIN,
    state_dir: dir,
    pip: id === "h1" ? "192.0.2.1" : "192.0.2.2",
    vips: [own],
    peers: [{ id: other, svc_address: svcAddress, vips: [others] }],
    plane: { uplink: "up0", host: "host0" },
    rpc: {
      tls: tlsOf(pki, id),
      ...(options.realLimits ? {} : { peer_rate: 1_000_000, peer_burst: 1_000_000 }),
    },
  };
  options.change?.(file);
  return parseConfig(JSON.stringify(file), `${dir}/${id}.json`).config;
}

function tlsOf(pki: string, id: string) {
  return {
    cert: `${pki}/${id}/${id}.crt`,
    key: `${pki}/${id}/${id}.key`,
    ca: `${pki}/${id}/ca.crt`,
  };
}

function required<T>(map: ReadonlyMap<string, T>, id: string): T {
  const found = map.get(id);
  if (found === undefined) throw new Error(`There is no ${id} yet`);
  return found;
}

const QUIET: Log = { debug() {}, info() {}, warn() {}, error() {} };
