// SPDX-License-Identifier: Apache-2.0

/** What an operator orders about tunnels, and which SAs and peers are listed. */
import assert from "node:assert/strict";
import { type World, world } from "../support/core_world.ts";

/** Tunnels from the first two workloads of h1 to those of h2, one each. */
async function twoTunnels(w: World): Promise<void> {
  for (const i of [1, 2]) w.host(1).send(w.host(2), { from: i, dst: i });
  await w.clock.advance(5_000);
  assert.equal(w.host(1).core.status().tunnels.up, 2);
}

function view(w: World, host: number, i = 1) {
  const [own, other] = [w.host(host), w.host(3 - host)];
  return own.core.tunnels({ limit: 10 }).find(({ localVip, remoteVip }) =>
    localVip === own.vip(i) && remoteVip === other.vip(i)
  );
}

Deno.test("a tunnel gets new SAs by order, however it is named, and no packet is lost", async () => {
  const names: readonly ((w: World) => Parameters<World["hosts"][0]["core"]["rekey"]>[0])[] = [
    (w) => ({ vips: [w.host(1).vip(), w.host(2).vip()] }),
    (w) => ({ vips: [w.host(2).vip(), w.host(1).vip()] }),
    (w) => ({ vips: [w.host(2).vip()] }),
    (w) => ({ vips: [], spi: view(w, 1)?.tx?.spi }),
    (w) => ({ peer: "h2", vips: [], spi: view(w, 1)?.rx?.spi }),
  ];
  for (const [i, name] of names.entries()) {
    await using w = world();
    await twoTunnels(w);
    const before = [view(w, 1), view(w, 1, 2)];
    const { tunnels, message } = w.host(1).core.rekey(name(w));
    assert.deepEqual([tunnels, message], [1, "Rekeying 1 tunnel"], `${i}`);
    let sent = 1;
    for (; sent < 40; sent++) {
      w.host(1).send(w.host(2));
      await w.clock.advance(100);
    }
    assert.equal(w.host(2).got(w.host(1)), sent);
    assert.notEqual(view(w, 1)?.tx?.spi, before[0]?.tx?.spi);
    assert.notEqual(view(w, 1)?.rx?.spi, before[0]?.rx?.spi);
    assert.equal(view(w, 1, 2)?.tx?.spi, before[1]?.tx?.spi, "the other one stays");
  }
});

Deno.test("a peer's tunnels all get new SAs", async () => {
  await using w = world();
  await twoTunnels(w);
  assert.equal(w.host(1).core.rekey({ peer: "h2", vips: [] }).tunnels, 2);
  await w.clock.advance(5_000);
  assert.equal(w.host(1).counter("rekeys"), 2n);
});

Deno.test("a closed tunnel is gone on both hosts, and the next packet opens a new one", async () => {
  await using w = world();
  await twoTunnels(w);
  const { tunnels, message } = w.host(1).core.closeTunnels({ vips: [w.host(1).vip()] });
  assert.deepEqual([tunnels, message], [1, "Closed 1 tunnel"]);
  assert.equal(view(w, 1), undefined);
  await w.clock.advance(2_000);
  assert.equal(view(w, 2), undefined, "the peer was told");
  assert.deepEqual(
    w.host(1).events.filter(({ kind }) => kind === "tunnel-closed").map(({ reason }) => reason),
    ["operator"],
  );
  assert.equal(w.host(1).core.status().tunnels.up, 1, "the other one stays");
  const got = w.host(2).got(w.host(1));
  w.host(1).send(w.host(2));
  await w.clock.advance(2_000);
  assert.equal(w.host(2).got(w.host(1)), got + 1);
});

Deno.test("a tunnel that is being opened is ended too, and what it holds is dropped", async () => {
  await using w = world();
  w.network.weather.requestLoss = 1;
  w.host(1).send(w.host(2));
  await w.clock.advance(100);
  assert.equal(w.host(1).core.rekey({ peer: "h2", vips: [] }).tunnels, 0);
  assert.equal(w.host(1).core.closeTunnels({ peer: "h2", vips: [] }).tunnels, 1);
  assert.equal(w.host(1).core.status().tunnels.opening, 0);
  w.network.weather.requestLoss = 0;
  await w.clock.advance(60_000);
  w.host(1).send(w.host(2));
  await w.clock.advance(5_000);
  assert.ok(w.host(2).got(w.host(1)) >= 1);
});

Deno.test("what nobody has is said so", async () => {
  await using w = world();
  await twoTunnels(w);
  for (
    const which of [{ peer: "h9", vips: [] }, { vips: ["10.9.0.1"] }, {
      vips: [],
      spi: 0x7fff_0001,
    }]
  ) {
    const { tunnels, message } = w.host(1).core.closeTunnels(which);
    assert.deepEqual([tunnels, message], [0, "No such tunnel"]);
  }
});

Deno.test("what a tunnel has carried goes on across rekeys, and its SA's own counts begin anew", async () => {
  await using w = world();
  await twoTunnels(w);
  const sent = async (n: number) => {
    for (let i = 0; i < n; i++) w.host(1).send(w.host(2));
    await w.clock.advance(100);
  };
  await sent(9);
  assert.deepEqual([view(w, 1)?.tx?.packets, view(w, 1)?.sent?.packets], [10n, 10n]);
  w.host(1).core.rekey({ peer: "h2", vips: [] });
  await w.clock.advance(10_000);
  await sent(5);
  assert.deepEqual([view(w, 1)?.tx?.packets, view(w, 1)?.sent?.packets], [5n, 15n]);
  assert.equal(view(w, 2)?.received?.packets, 15n);
});

Deno.test("SAs are listed with what each is good for, in pages that end with a tunnel", async () => {
  await using w = world();
  await twoTunnels(w);
  const { core } = w.host(1);
  const states = () =>
    core.sas({ limit: 100 }).sas.map(({ localVip, direction, state }) =>
      `${localVip} ${direction} ${state}`
    );
  const [one, two] = [w.host(1).vip(1), w.host(1).vip(2)];
  assert.deepEqual(states(), [
    `${one} tx current`,
    `${one} rx current`,
    `${two} tx current`,
    `${two} rx current`,
  ]);
  core.rekey({ vips: [one] });
  await w.clock.advance(2_000);
  assert.ok(states().includes(`${one} rx superseded`), states().join());
  const first = core.sas({ limit: 1 });
  assert.equal(first.sas.length, 3);
  const second = core.sas({ limit: 10, after: first.next });
  assert.deepEqual([second.sas.length, second.next], [2, undefined]);
  assert.equal(core.sas({ limit: 10, direction: "tx" }).sas.length, 2);
  const spi = second.sas[1]?.sa.spi;
  assert.deepEqual(core.sas({ limit: 10, spi, direction: "rx" }).sas, [second.sas[1]]);
  assert.equal(core.sas({ limit: 10, peer: "h9" }).sas.length, 0);
  // By SPI the others are not looked through, and an SPI that is gone finds nothing.
  const sending = () => core.sas({ limit: 10, contains: two, direction: "tx" }).sas;
  const of = (spi: number | undefined) => core.sas({ limit: 10, spi, direction: "tx" }).sas;
  const [before] = sending();
  assert.deepEqual(of(before?.sa.spi), [before]);
  assert.deepEqual(core.sas({ limit: 10, spi, peer: "h9" }).sas, []);
  assert.deepEqual(core.sas({ limit: 10, spi, contains: one }).sas, []);
  assert.deepEqual(core.sas({ limit: 10, spi, after: first.next, direction: "rx" }).sas.length, 1);
  core.rekey({ vips: [two] });
  await w.clock.advance(2_000);
  assert.deepEqual([of(before?.sa.spi), of(sending()[0]?.sa.spi)], [[], sending()]);
  assert.equal(core.tunnelsOf(""), 2);
  assert.equal(core.tunnelsOf("blue"), 0);
});

Deno.test("a peer that was never heard is not up for a tunnel that is only wanted", async () => {
  await using w = world();
  w.network.weather.requestLoss = 1;
  w.host(1).send(w.host(2));
  const peers = () => w.host(1).core.peers({ limit: 10 });
  assert.deepEqual(peers().peers.map(({ id, state }) => [id, state]), [["h2", "unknown"]]);
  w.network.weather.requestLoss = 0;
  await w.clock.advance(60_000);
  w.host(1).send(w.host(2));
  await w.clock.advance(1_000);
  assert.equal(peers().peers[0]?.state, "up");
  assert.equal(peers().total, 1);
  assert.deepEqual(w.host(1).core.peers({ limit: 10, states: ["failing"] }).peers, []);
  assert.deepEqual(w.host(1).core.peers({ limit: 10, after: "h2" }).peers, []);
  assert.equal(w.host(1).core.peers({ limit: 10, contains: "10.2." }).peers.length, 1);
});
