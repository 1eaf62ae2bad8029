// SPDX-License-Identifier: Apache-2.0

/**
 * An agent asks, and who answers is a second implementation, written from docs/protocol.md: packets, keys that change,
 * answers that are lost, a new start, notices, and refusals of each kind.
 */
import assert from "node:assert/strict";
import { DOMAIN, tlsOf } from "../support/agent_config.ts";
import { kill, spawnHelper } from "../support/netns.ts";
import { lines } from "../support/ns_worker.ts";
import { hostPort } from "../support/plan.ts";
import type { Order, Said, Task } from "../support/stranger_host.ts";
import { type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually, within } from "../support/wait.ts";
import type { World } from "../support/world.ts";

type SaidOf<W extends Said["what"]> = Extract<Said, { what: W }>;

/** The stranger in the place of h2. */
class Stranger implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #orders: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reading: Promise<void>;
  readonly said: Said[] = [];

  private constructor(world: World) {
    const { pip, uplinkMac } = world.host("h2");
    const task: Task = {
      pip,
      mac: uplinkMac,
      port: 7443,
      tls: tlsOf(world, "h2"),
      peer: {
        url: `https://${hostPort(world.host("h1").pip, 7443)}`,
        san: `spiffe://${DOMAIN}/psp/h1`,
      },
    };
    const file = new URL("../support/stranger_host.ts", import.meta.url).pathname;
    this.#child = spawnHelper(file, { ns: world.ns("h2"), args: [JSON.stringify(task)] });
    this.#orders = this.#child.stdin.getWriter();
    this.#reading = this.#read();
  }

  static async start(world: World): Promise<Stranger> {
    const stranger = new Stranger(world);
    await stranger.next("ready", 0);
    return stranger;
  }

  /** How much it has said so far. */
  get now(): number {
    return this.said.length;
  }

  async order(order: Order): Promise<void> {
    await this.#orders.write(new TextEncoder().encode(`${JSON.stringify(order)}\n`));
  }

  of<W extends Said["what"]>(what: W, since: number): SaidOf<W>[] {
    return this.said.slice(since).filter((said): said is SaidOf<W> => said.what === what);
  }

  /** The first of a kind since then that is as wanted. */
  next<W extends Said["what"]>(
    what: W,
    since: number,
    is: (said: SaidOf<W>) => boolean = () => true,
  ): Promise<SaidOf<W>> {
    return eventually(() => this.of(what, since).find(is), {
      what: `"${what}" of the stranger`,
      describe: () => this.said.slice(-20).map((said) => JSON.stringify(said)).join("\n"),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#orders.close().catch(() => {});
    kill(this.#child.pid, "SIGKILL");
    await within(this.#child.status, "the end of the stranger");
    await this.#reading;
  }

  async #read(): Promise<void> {
    const errors = new Response(this.#child.stderr).text();
    for await (const line of lines(this.#child.stdout)) this.said.push(JSON.parse(line) as Said);
    const text = await errors;
    if (text !== "") this.said.push({ what: "wrong", why: text });
  }
}

/** Pings until one is answered. */
async function reached({ world }: Stage): Promise<void> {
  const route = { in: "v1", to: world.vip("h2") };
  await eventually(async () => (await ping(world, route, { wait: 1 })).received === 1, {
    what: "an answer of the stranger's workload",
  });
}

function assertNothingWrong(stranger: Stranger): void {
  assert.deepEqual(stranger.of("wrong", 0), []);
}

story("a stranger answers, and keys change under traffic", {}, async (stage) => {
  const { world, start } = stage;
  await using stranger = await Stranger.start(world);
  const h1 = await start("h1", {
    change: (config) => {
      config.rotation = { interval: "3s" };
      config.tunnel.grace = "1s";
    },
  });
  const route = { in: "v1", to: world.vip("h2") };
  const { received, text } = await ping(world, route, { count: 3, interval: 0.05 });
  assert.equal(received, 3, text);
  const [first] = stranger.of("request", 0);
  assert.deepEqual([first?.fate, first?.tunnels, first?.versions], ["granted", 1, [2, 1]]);
  // Each rotation brings a request; what sends nothing confirms with a message.
  for (let rotation = 1; rotation <= 2; rotation++) {
    const since = stranger.now;
    const { spis } = await stranger.next("request", since, ({ fate }) => fate === "granted");
    const confirmed = await stranger.next("notice", since, (said) => said.confirmed.length > 0);
    assert.deepEqual(confirmed.confirmed, spis);
    const before = stranger.now;
    assert.equal((await ping(world, route)).received, 1);
    assert.ok(spis.includes((await stranger.next("packet", before)).spi));
  }
  const [tunnel] = await h1.tunnels();
  assert.equal(tunnel?.state, "up");
  for (const name of ["rx-auth-fail", "rx-bad", "rx-no-sa"]) {
    assert.equal(await h1.counter(name), 0, name);
  }
  const since = stranger.now;
  await h1.end("SIGTERM");
  await stranger.next("notice", since, ({ draining }) => draining);
  assertNothingWrong(stranger);
});

story("a stranger's answer is lost, it starts anew, closes, and stops", {}, async (stage) => {
  const { world, start } = stage;
  await using stranger = await Stranger.start(world);
  const h1 = await start("h1", { change: (config) => config.rpc.timeout = "1s" });
  await stranger.order({ do: "swallow" });
  await reached(stage);
  const [asked, again] = stranger.of("request", 0);
  assert.deepEqual([asked?.fate, again?.fate, again?.id], ["swallow", "again", asked?.id]);

  // It knows nothing of what it granted: who sends with it is told, and asks anew.
  await stranger.order({ do: "restart" });
  let since = stranger.now;
  await ping(world, { in: "v1", to: world.vip("h2") }, { wait: 1 });
  const { spi } = await stranger.next("unknown", since);
  await stranger.order({ do: "notify", unknown: [spi] });
  assert.equal((await stranger.next("told", since)).status, 200);
  await reached(stage);
  assert.equal((await stranger.next("request", since)).fate, "granted");

  // It cannot open what comes, in the same start: that SPI alone is asked for anew.
  since = stranger.now;
  const [{ txSpi = 0 } = {}] = await h1.tunnels();
  await stranger.order({ do: "notify", unknown: [txSpi] });
  assert.equal((await stranger.next("request", since)).fate, "granted");
  await reached(stage);

  // It closed: packets are held from then on, and the next one asks.
  since = stranger.now;
  await stranger.order({ do: "notify", close: true });
  await stranger.next("told", since);
  await eventually(async () => (await h1.tunnels()).every(({ state }) => state !== "up"), {
    what: "the tunnel to close",
  });
  await reached(stage);
  assert.equal((await stranger.next("request", since)).fate, "granted");

  // It stops, and is there again: what is held meanwhile arrives.
  since = stranger.now;
  await stranger.order({ do: "notify", draining: true });
  assert.equal((await stranger.next("told", since)).status, 200);
  await reached(stage);
  assertNothingWrong(stranger);
});

/** Refusals, and whether the same request is sent again. */
const REFUSALS: readonly { readonly order: Order; readonly isRepeated: boolean }[] = [
  ...[
    "invalid_argument",
    "permission_denied",
    "resource_exhausted",
    "crypt_offset",
    "network",
    "of another day",
  ].map((code) => ({ order: { do: "refuse", code } as const, isRepeated: false })),
  { order: failure(400, "invalid_argument", "the id of another request"), isRepeated: false },
  { order: failure(403, "permission_denied", "denied"), isRepeated: false },
  { order: failure(400, "failed_precondition", "no version in common"), isRepeated: false },
  { order: failure(429, "resource_exhausted", "too many requests"), isRepeated: true },
  { order: failure(429, "resource_exhausted", "the message is too long"), isRepeated: true },
  { order: failure(503, "unavailable", "stopping"), isRepeated: true },
];

function failure(status: number, code: string, message: string): Order {
  return { do: "fail", status, code, message };
}

story("a stranger refuses in each way, and is asked again", {}, async (stage) => {
  const { world, start } = stage;
  await using stranger = await Stranger.start(world);
  await start("h1");
  await reached(stage);
  for (const { order, isRepeated } of REFUSALS) {
    const what = JSON.stringify(order);
    let since = stranger.now;
    await stranger.order({ do: "notify", close: true });
    await stranger.next("told", since);
    since = stranger.now;
    await stranger.order(order);
    await reached(stage);
    const [refused, granted] = stranger.of("request", since);
    assert.notEqual(refused?.fate, "granted", what);
    assert.equal(granted?.fate, "granted", what);
    assert.equal(refused?.id === granted?.id, isRepeated, what);
  }
  // Another version than the offered one: it is asked for with new keys, and packets have it.
  let since = stranger.now;
  await stranger.order({ do: "notify", close: true });
  await stranger.next("told", since);
  since = stranger.now;
  await stranger.order({ do: "version", version: 1 });
  await reached(stage);
  const requests = stranger.of("request", since);
  assert.equal(requests[0]?.fate, "version");
  assertNothingWrong(stranger);
  assert.ok(stranger.of("packet", since).every(({ version }) => version === 1));
});

Deno.test("the stranger shares nothing with this program", async () => {
  const file = new URL("../support/stranger_host.ts", import.meta.url);
  const imports = (await Deno.readTextFile(file)).matchAll(/from "([^"]+)"/g);
  for (const [, from = ""] of imports) assert.match(from, /^node:/);
});
