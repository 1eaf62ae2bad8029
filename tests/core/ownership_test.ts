// SPDX-License-Identifier: Apache-2.0

/** Who may speak for which address, as a table: h2 asks h1 for a tunnel, and h3 has a part of h2's prefix. */
import assert from "node:assert/strict";
import { Key } from "../../ffi/key.ts";
import { Host, type World, world } from "../support/core_world.ts";

/** h1: 10.1/16, h2: 10.2/16 and fd02::/16, h3: 10.2.5/24 out of it, and everything that nobody else has. */
function hostWithOverlaps(w: World): Host {
  const { config } = w.host(1);
  const peers = config.peers.map((peer) => ({
    ...peer,
    vips: peer.id === "h2" ? ["10.2.0.0/16", "fd02::/16"] : ["10.2.5.0/24", "0.0.0.0/0"],
  }));
  const vips = [...config.vips, { vip: "fd01::/16", dns: [] }];
  return new Host(w, 1, { config: { ...config, vips, peers }, features: undefined });
}

interface Row {
  readonly what: string;
  readonly from: string;
  readonly to: string;
  /** Code and reason; absent: it is granted. */
  readonly refused?: readonly [code: string, why: RegExp];
}

const PERMISSION = "permission_denied";
const INVALID = "invalid_argument";
const ROWS: readonly Row[] = [
  { what: "its own address", from: "10.2.0.1", to: "10.1.0.1" },
  { what: "its own, v4-mapped", from: "::ffff:10.2.0.2", to: "::ffff:10.1.0.1" },
  { what: "its own IPv6", from: "fd02::1", to: "fd01::1" },
  {
    what: "exactly somebody else's",
    from: "10.1.0.9",
    to: "10.1.0.1",
    refused: [PERMISSION, /h2 does not own 10\.1\.0\.9/],
  },
  {
    what: "in its prefix, but somebody else's longer one",
    from: "10.2.5.1",
    to: "10.1.0.1",
    refused: [PERMISSION, /h2 does not own 10\.2\.5\.1/],
  },
  {
    what: "what falls to the owner of /0",
    from: "192.0.2.77",
    to: "10.1.0.1",
    refused: [PERMISSION, /h2 does not own 192\.0\.2\.77/],
  },
  {
    what: "somebody else's, v4-mapped",
    from: "::ffff:10.2.5.1",
    to: "10.1.0.1",
    refused: [PERMISSION, /h2 does not own 10\.2\.5\.1/],
  },
  {
    what: "somebody else's, v4-mapped in hex",
    from: "::ffff:a01:9",
    to: "10.1.0.1",
    refused: [PERMISSION, /h2 does not own 10\.1\.0\.9/],
  },
  {
    what: "an IPv6 address of nobody",
    from: "fd03::1",
    to: "fd01::1",
    refused: [PERMISSION, /h2 does not own fd03::1/],
  },
  { what: "/0 itself", from: "0.0.0.0/0", to: "10.1.0.1", refused: [INVALID, /not two addresses/] },
  { what: "::/0 itself", from: "::/0", to: "fd01::1", refused: [INVALID, /not two addresses/] },
  {
    what: "its prefix",
    from: "10.2.0.0/16",
    to: "10.1.0.1",
    refused: [INVALID, /not two addresses/],
  },
  { what: "an octal spelling", from: "10.02.0.1", to: "10.1.0.1", refused: [INVALID, /not two/] },
  { what: "the number of it", from: "167903233", to: "10.1.0.1", refused: [INVALID, /not two/] },
  { what: "with a zone", from: "fd02::1%lo", to: "fd01::1", refused: [INVALID, /not two/] },
  { what: "to itself", from: "10.2.0.1", to: "10.2.0.2", refused: [PERMISSION, /h1 does not own/] },
  { what: "to h3", from: "10.2.0.1", to: "10.2.5.1", refused: [PERMISSION, /h1 does not own/] },
  {
    what: "to nobody",
    from: "10.2.0.1",
    to: "192.0.2.9",
    refused: [PERMISSION, /h1 does not own/],
  },
  { what: "across families", from: "10.2.0.1", to: "fd01::1", refused: [INVALID, /one family/] },
];

for (const [i, { what, from, to, refused }] of ROWS.entries()) {
  Deno.test(`h2 asks for ${what}: ${refused?.[0] ?? "granted"}`, async () => {
    await using w = world({ hosts: 3, files: false });
    const h1 = hostWithOverlaps(w);
    const { outcomes: [outcome] } = await h1.core.handler.newTunnel("h2", {
      bootEpoch: 5n,
      requestId: i.toString(16).padStart(32, "0"),
      versionsAccepted: ["aes-gcm-256"],
      tunnels: [{
        localVip: from,
        remoteVip: to,
        reverse: {
          spi: 7,
          version: "aes-gcm-256",
          key: new Key(new Uint8Array(32).fill(7)),
          pip: "192.0.2.2",
          mac: "02:00:00:00:00:02",
          cryptOffset: 5,
          mode: "tunnel",
          serial: 1n,
          lifeS: 3600,
        },
      }],
    });
    assert.ok(outcome);
    if (refused === undefined) {
      assert.ok(outcome.ok, outcome.ok ? "" : outcome.message);
    } else {
      assert.ok(!outcome.ok, "granted");
      assert.equal(outcome.code, refused[0]);
      assert.match(outcome.message, refused[1]);
      assert.deepEqual([h1.flows.rx.size, h1.flows.tx.size, h1.flows.calls.length], [0, 0, 0]);
    }
    await w.clock.run(h1.core.stop());
  });
}
