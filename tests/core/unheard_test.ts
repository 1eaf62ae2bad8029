// SPDX-License-Identifier: Apache-2.0

/**
 * Nobody knows whether the other side got it: a request whose reply is lost until the initiator gives up, and a
 * tunnel whose initiator was not heard since. Neither side may send into nothing for longer than about two seconds
 * once messages pass, and whatever is kept in the meantime is bounded.
 */
import assert from "node:assert/strict";
import { ExchangeError } from "../../src/model/exchange.ts";
import { Key } from "../../ffi/key.ts";
import type { NewTunnelRequest } from "../../src/model/exchange.ts";
import type { PspParams } from "../../src/model/sa.ts";
import { type Host, joined, type World, world } from "../support/core_world.ts";

/** Silence after messages pass again: a tick and a round trip are in it. */
const SILENT_MS = 2000;
/** Four tries of a second each, and the pauses between them. */
const GIVE_UP_MS = 4400;

const pairOf = (w: World) => ({ localVip: w.host(1).vip(), remoteVip: w.host(2).vip() });

/** The replies to h1 are lost, and nothing of h2's own gets through: only h1's requests arrive. */
function loseReplies(w: World): void {
  w.network.fate = ({ kind, from, to }) =>
    from === "h2" && to === "h1" || kind === "reply" ? "lose" : "pass";
}

function heal(w: World): void {
  w.network.fate = () => "pass";
}

/** Both send every 100 ms until each was heard by the other; returns how long the slower one was silent. */
async function silence(w: World): Promise<number> {
  const [h1, h2] = [w.host(1), w.host(2)];
  const before = [h1.got(h2), h2.got(h1)] as const;
  return await w.clock.until(() => {
    h1.send(h2);
    h2.send(h1);
    return h1.got(h2) > before[0] && h2.got(h1) > before[1];
  });
}

/** Every packet from now on arrives. */
async function nothingIsLost(w: World): Promise<void> {
  const [h1, h2] = [w.host(1), w.host(2)];
  const before = [h1.got(h2), h2.got(h1)] as const;
  for (let i = 0; i < 100; i++) {
    h1.send(h2);
    h2.send(h1);
    await w.clock.advance(100);
  }
  assert.deepEqual([h1.got(h2) - before[0], h2.got(h1) - before[1]], [100, 100]);
  for (const host of [h1, h2]) assert.equal(host.flows.rx.size, 1, "one SA per direction");
  assert.ok(joined(h1, h2, pairOf(w)));
}

const sendsWith = (host: Host, to: Host) =>
  host.flows.tx.get(`${host.vip()} ${to.vip()}`)?.sa.spi ?? 0;

const state = (host: Host) => host.core.tunnels({ limit: 1 })[0]?.state;

Deno.test("replies lost until the initiator gives up: the responder's packets arrive all the time", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  loseReplies(w);
  h1.send(h2);
  await w.clock.advance(100);
  let sent = 0;
  for (let t = 0; t < 60_000; t += 100) {
    h2.send(h1);
    sent++;
    await w.clock.advance(100);
  }
  assert.equal(h1.got(h2), sent, "the initiator took back what the responder sends with");
  assert.equal(h1.flows.drops["rx-no-sa"], undefined);
  heal(w);
  const ms = await silence(w);
  assert.ok(ms <= SILENT_MS, `${ms} ms`);
  await nothingIsLost(w);
});

for (const cutMs of [0, 5000, 30_000, 119_000, 300_000]) {
  Deno.test(`replies lost until the initiator gives up, and ${cutMs} ms more: then either side is back`, async () => {
    await using w = world();
    const [h1, h2] = [w.host(1), w.host(2)];
    loseReplies(w);
    h1.send(h2);
    await w.clock.advance(GIVE_UP_MS);
    assert.equal(h1.counter("exchanges-failed"), 1n);
    assert.equal(state(h2), "unconfirmed");
    assert.deepEqual(h2.core.status().tunnels.unconfirmed, 1);
    for (let t = 0; t < cutMs; t += 500) {
      h1.send(h2);
      h2.send(h1);
      await w.clock.advance(500);
    }
    assert.equal(state(h2), "unconfirmed");
    heal(w);
    const ms = await silence(w);
    assert.ok(ms <= SILENT_MS, `${ms} ms`);
    await nothingIsLost(w);
    assert.deepEqual([state(h1), state(h2)], ["up", "up"]);
  });
}

Deno.test("replies lost until the initiator gives up: it asks again with the same id, SPI and key", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  loseReplies(w);
  h1.send(h2);
  await w.clock.advance(GIVE_UP_MS);
  heal(w);
  w.network.fate = ({ kind, from }) => kind === "request" && from === "h2" ? "lose" : "pass";
  await w.clock.advance(1000);
  h1.send(h2);
  await w.clock.advance(100);
  assert.equal(h2.got(h1), 1);
  const asked = w.network.requests.filter(({ from }) => from === "h1");
  assert.equal(asked.length, 5);
  assert.equal(new Set(asked.map(({ content }) => content)).size, 1);
  assert.equal(h1.counter("requests-repeated"), 1n);
  assert.equal(h2.counter("responder-repeats"), 4n);
  assert.equal(h1.flows.calls.filter(({ call }) => call === "generateSpis").length, 1);
});

Deno.test("the reply lost and the initiator killed: it is told of SPIs that it does not know", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  loseReplies(w);
  h1.send(h2);
  await w.clock.advance(500);
  h1.kill();
  heal(w);
  h1.restart();
  const ms = await silence(w);
  assert.ok(ms <= SILENT_MS, `${ms} ms`);
  assert.equal(h2.counter("peer-restarts"), 1n);
  assert.ok(h1.counter("unknown-spis") >= 1n);
  await nothingIsLost(w);
});

Deno.test("the reply lost and the initiator killed for good: the responder says so, and asks on", async () => {
  await using w = world({ changes: { tunnel: { idleMs: 60_000 } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  loseReplies(w);
  h1.send(h2);
  await w.clock.advance(500);
  h1.kill();
  heal(w);
  await w.clock.advance(30_000);
  assert.equal(state(h2), "unconfirmed");
  assert.ok(h2.counter("unconfirmed-asks") > 5n);
  await w.clock.advance(60_000);
  assert.equal(state(h2), undefined, "and ends it when nobody uses it");
});

Deno.test("the reply to a rekey is lost until the initiator gives up: no packet is", async () => {
  await using w = world({ changes: { tunnel: { lifeMs: 60_000 } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  h2.send(h1);
  await w.clock.advance(1000);
  const before = [h1.got(h2), h2.got(h1)] as const;
  loseReplies(w);
  let sent = 0;
  const talk = async (ms: number) => {
    for (let t = 0; t < ms; t += 100) {
      h1.send(h2);
      h2.send(h1);
      sent++;
      await w.clock.advance(100);
    }
  };
  await talk(57_000);
  assert.ok(h1.counter("rekeys-failed") + h2.counter("rekeys-failed") > 0n);
  heal(w);
  await talk(10_000);
  assert.deepEqual([h1.got(h2) - before[0], h2.got(h1) - before[1]], [sent, sent]);
});

Deno.test("a lost reply while the master key is rotated: the SA on the key before is replaced, not waited for", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  loseReplies(w);
  h1.send(h2);
  await w.clock.advance(GIVE_UP_MS);
  assert.equal(h1.core.rotate({ plan: false }).started, true);
  assert.equal(h1.core.status().rotation.sasOnOldKey, 1);
  assert.equal(h1.core.rotate({ plan: false }).started, false, "the peer may send with it");
  h2.send(h1);
  assert.equal(h1.got(h2), 1, "one rotation kills nothing");
  await w.clock.advance(10_000);
  heal(w);
  await w.clock.advance(SILENT_MS + 6000);
  assert.equal(h1.core.status().rotation.sasOnOldKey, 0);
  assert.equal(h1.core.rotate({ plan: false }).started, true);
  await w.clock.advance(1000);
  await nothingIsLost(w);
});

Deno.test("a responder that rotates twice while its reply is lost loses nothing that lives", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  loseReplies(w);
  h1.send(h2);
  await w.clock.advance(GIVE_UP_MS);
  h2.flows.rotateMasterKey();
  h2.flows.rotateMasterKey();
  await w.clock.advance(2000);
  heal(w);
  const ms = await silence(w);
  assert.ok(ms <= SILENT_MS, `${ms} ms`);
  await w.clock.advance(6000);
  await nothingIsLost(w);
});

Deno.test("a peer that says that it stops, and may have got the request before: it is repeated", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  await h1.core.handler.notify("h2", {
    bootEpoch: h2.core.bootEpoch,
    unknownSpis: [],
    closed: [],
    draining: true,
  });
  loseReplies(w);
  h1.send(h2);
  await w.clock.advance(GIVE_UP_MS + 100);
  h2.send(h1);
  assert.equal(h1.got(h2), 1, "what the peer may have is received");
  heal(w);
  await w.clock.advance(SILENT_MS);
  assert.equal(h2.got(h1), 1, "the held packet waited for it");
  await w.clock.advance(8000);
  await nothingIsLost(w);
});

Deno.test("a request that never left is taken back at once", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  w.network.attach("h2", undefined);
  h1.send(h2);
  await w.clock.advance(1000);
  assert.equal(h1.counter("exchanges-failed"), 1n);
  assert.deepEqual([h1.flows.rx.size, h1.counter("maybe-sas-kept")], [0, 0n]);
});

const fates = {
  "replies are lost": loseReplies,
  "the peer fails inside": ({ network }: World) => {
    network.attach("h2", {
      newTunnel: () => Promise.reject(new ExchangeError("internal", "internal error")),
      notify: () => Promise.resolve({ bootEpoch: 5n }),
    });
  },
};

for (const [name, befalls] of Object.entries(fates)) {
  Deno.test(`1,000 give-ups to one peer because ${name}: what is kept for it is bounded`, async () => {
    await using w = world({
      files: false,
      changes: { rpc: { timeoutMs: 200, attempts: 1 }, tunnel: { lifeMs: 0, idleMs: 0 } },
    });
    const [h1, h2] = [w.host(1), w.host(2)];
    befalls(w);
    let living: Key[] = [];
    const generate = h1.flows.generateSpis.bind(h1.flows);
    h1.flows.generateSpis = (version, n) => {
      const keys = generate(version, n);
      living.push(...keys.map(({ key }) => key));
      return keys;
    };
    let most = 0;
    for (let i = 0; h1.counter("exchanges-failed") < 1000n; i++) {
      for (let k = 0; k < 10; k++) h1.send(h2, { from: 1 + (10 * i + k) % 60_000 });
      await w.clock.advance(250);
      most = Math.max(most, h1.flows.rx.size);
      living = living.filter((key) => key.reveal().some((octet) => octet !== 0));
      assert.ok(living.length <= 256, `${living.length} keys`);
    }
    assert.ok(most > 60, `${most} SAs say nothing`);
    assert.ok(most <= 1024 + 256, `${most} SAs for one peer`);
    h2.kill();
    await w.clock.advance(3_600_000);
    assert.deepEqual([h1.flows.rx.size, h1.core.tunnels({ limit: 10 }).length], [0, 0]);
  });
}

Deno.test("1,000 give-ups of one tunnel: the same SA is offered as long as an answer is remembered", async () => {
  await using w = world({ files: false, changes: { rpc: { timeoutMs: 250, attempts: 1 } } });
  const [h1, h2] = [w.host(1), w.host(2)];
  loseReplies(w);
  let most = 0;
  while (h1.counter("exchanges-failed") < 1000n) {
    h1.send(h2);
    await w.clock.advance(250);
    most = Math.max(most, h1.flows.rx.size);
  }
  assert.ok(most <= 7, `${most} SAs for one tunnel`);
  const asked = w.network.requests.filter(({ from }) => from === "h1");
  const ids = new Set(asked.map(({ requestId }) => requestId));
  assert.ok(ids.size * 100_000 <= w.clock.now() + 200_000, `${ids.size} requests`);
  heal(w);
  assert.ok(await silence(w) <= SILENT_MS);
  await w.clock.advance(6000);
  await nothingIsLost(w);
});

Deno.test("status calls a tunnel up as soon as a packet came", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.until(() => h2.got(h1) === 1);
  assert.deepEqual([state(h1), state(h2)], ["up", "up"]);
  assert.equal(h2.core.status().tunnels.up, 1);
});

Deno.test("a silent tunnel is confirmed by a message, and nobody asks again", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(1000);
  h1.kill();
  h1.restart();
  await w.clock.advance(60_000);
  assert.deepEqual([state(h1), state(h2)], ["up", "up"]);
  assert.equal(h2.counter("confirmations-received"), 1n);
  assert.equal(h1.counter("unconfirmed-asks") + h2.counter("unconfirmed-asks"), 0n);
  assert.equal(w.network.requests.length, 2);
});

Deno.test("confirmations that are lost: an exchange or two takes their place, and then there is silence", async () => {
  await using w = world();
  const [h1, h2] = [w.host(1), w.host(2)];
  h1.send(h2);
  await w.clock.advance(1000);
  h1.kill();
  h1.restart();
  let n = 0;
  const { handler } = h2.core;
  w.network.attach("h2", {
    newTunnel: (...asked) => handler.newTunnel(...asked),
    notify: (peer, notice) => {
      const isFirst = n++ === 0;
      return handler.notify(peer, isFirst ? { ...notice, confirmedSpis: [] } : notice);
    },
  });
  await w.clock.advance(60_000);
  assert.deepEqual([state(h1), state(h2)], ["up", "up"]);
  assert.equal(h2.counter("unconfirmed-asks"), 1n);
  assert.equal(w.network.requests.length, 3);
});

/** h2 as an agent of the release before: it takes back what it gave up, confirms nothing, and asks nobody again. */
class OldPeer {
  /** SPIs that it receives with. */
  readonly receives = new Set<number>();
  /** Requests that it answered. */
  asked = 0;
  #spi = 5000;

  constructor(readonly w: World) {
    w.host(2).kill();
    w.network.attach("h2", {
      newTunnel: (_, request) => {
        this.asked++;
        const outcomes = request.tunnels.map((offer) => {
          offer.reverse.key.wipe();
          return { ok: true as const, params: this.#params() };
        });
        return Promise.resolve({ bootEpoch: 5n, version: "aes-gcm-256" as const, outcomes });
      },
      notify: () => Promise.resolve({ bootEpoch: 5n }),
    });
  }

  /** Asks h1 for a tunnel. */
  async ask(): Promise<void> {
    await this.w.host(1).core.handler.newTunnel("h2", this.#request());
  }

  /** Asks h1, hears no answer and gives up. */
  async askInVain(): Promise<void> {
    await this.ask();
    this.receives.clear();
  }

  #request(): NewTunnelRequest {
    const [h1, h2] = [this.w.host(1), this.w.host(2)];
    const reverse = this.#params();
    return {
      bootEpoch: 5n,
      requestId: reverse.spi.toString(16).padStart(32, "0"),
      versionsAccepted: ["aes-gcm-256"],
      tunnels: [{ localVip: h2.vip(), remoteVip: h1.vip(), reverse }],
    };
  }

  #params(): PspParams {
    const spi = ++this.#spi;
    this.receives.add(spi);
    return {
      spi,
      version: "aes-gcm-256",
      key: new Key(new Uint8Array(32).fill(spi & 0xff)),
      pip: "192.0.2.2",
      mac: "02:00:00:00:00:02",
      cryptOffset: 5,
      mode: "tunnel",
      serial: BigInt(spi),
      lifeS: 3600,
    };
  }
}

Deno.test("an old agent that gave up: this host asks it, and sends with what it has", async () => {
  await using w = world();
  const h1 = w.host(1);
  const old = new OldPeer(w);
  await old.askInVain();
  assert.equal(state(h1), "unconfirmed");
  const isReceived = () => old.receives.has(sendsWith(h1, w.host(2)));
  assert.ok(!isReceived(), "into nothing");
  const ms = await w.clock.until(isReceived);
  assert.ok(ms <= SILENT_MS, `${ms} ms`);
  assert.equal(state(h1), "up");
  await w.clock.advance(120_000);
  assert.equal(old.asked, 1, "and once is enough");
});

Deno.test("an old agent that got its answer and is silent: it is asked once, and works", async () => {
  await using w = world();
  const h1 = w.host(1);
  const old = new OldPeer(w);
  await old.ask();
  assert.equal(state(h1), "unconfirmed");
  await w.clock.advance(60_000);
  assert.equal(old.asked, 1);
  assert.equal(state(h1), "up");
  assert.ok(old.receives.has(sendsWith(h1, w.host(2))));
});

Deno.test("an SPI of nobody is counted", async () => {
  await using w = world();
  const h1 = w.host(1);
  h1.core.onEvent({
    type: "syndrome",
    spi: 4711,
    syndrome: "icv_failed",
    srcPip: "198.51.100.9",
    dstPip: "192.0.2.1",
  });
  assert.deepEqual([h1.counter("untraced-spis"), h1.counter("unknown-spis")], [1n, 0n]);
});
