// SPDX-License-Identifier: Apache-2.0

/**
 * What the release before said on the wire and left on the disk, octet for octet: it is understood, and what is said to
 * it has nothing that it would need to know. With each release these are recorded anew, beside the old ones.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import {
  NewTunnelRequestSchema,
  NewTunnelResponseSchema,
  NotifyRequestSchema,
} from "../../src/rpc/gen/psp/v1/tunnel_pb.ts";
import {
  noticeFromProto,
  replyFromProto,
  replyToProto,
  requestFromProto,
  requestToProto,
} from "../../src/rpc/tunnel_codec.ts";
import { openSaStore } from "../../src/store/sa_store.ts";
import { NO_LOG } from "../support/no_log.ts";

const REQUEST =
  "09608a5118a20100001210090909090909090909090909090909091a02010222440a0831302e312e302e31" +
  "120831302e322e302e311a2e0d0100008010011a100707070707070707070707070707070722093139322e302e322e31" +
  "2a060200000000a14001";
const REPLY = "09618a5118a201000010011a300a2e0d0200000010011a100707070707070707070707070707070722" +
  "093139322e302e322e322a060200000000a14001";
const NOTICE =
  "09608a5118a201000012080500000006000000180122140a0831302e312e302e31120831302e322e302e312a0407000000";

/** The database of the release before, as SQLite tells it. */
const DATABASE = `
  CREATE TABLE high_water (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE peer (id TEXT PRIMARY KEY, pip TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE tunnel (
    local_vip TEXT NOT NULL, remote_vip TEXT NOT NULL, peer TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('up', 'lost')), opened_at_ms INTEGER NOT NULL,
    tx_spi INTEGER NOT NULL, tx_version TEXT NOT NULL, tx_epoch INTEGER NOT NULL,
    tx_serial INTEGER NOT NULL, tx_created_at_ms INTEGER NOT NULL, tx_expires_at_ms INTEGER NOT NULL,
    tx_packets INTEGER NOT NULL, tx_bytes INTEGER NOT NULL,
    rx_spi INTEGER NOT NULL, rx_version TEXT NOT NULL, rx_epoch INTEGER NOT NULL,
    rx_serial INTEGER NOT NULL, rx_created_at_ms INTEGER NOT NULL, rx_expires_at_ms INTEGER NOT NULL,
    rx_packets INTEGER NOT NULL, rx_bytes INTEGER NOT NULL,
    PRIMARY KEY (local_vip, remote_vip)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO high_water VALUES ('epoch', 1795704326752), ('spis', 65536);
  INSERT INTO peer VALUES ('h2', '192.0.2.2');
  INSERT INTO tunnel VALUES ('10.1.0.1', '10.2.0.1', 'h2', 'up', 1795704326752,
    2147483649, 'aes-gcm-128', 1795704326700, 1, 1795704326752, 1795707926752, 5, 500,
    7, 'aes-gcm-128', 1795704326752, 1, 1795704326752, 1795707926752, 6, 600);
  PRAGMA user_version = 1;`;

const EPOCH = 1795704326752n;

Deno.test("a request of the release before is understood", () => {
  const request = requestFromProto(fromBinary(NewTunnelRequestSchema, Uint8Array.fromHex(REQUEST)));
  assert.equal(request.bootEpoch, EPOCH);
  assert.deepEqual(request.versionsAccepted, ["aes-gcm-128", "aes-gcm-256"]);
  const [tunnel] = request.tunnels;
  assert.deepEqual([tunnel?.localVip, tunnel?.remoteVip], ["10.1.0.1", "10.2.0.1"]);
  assert.deepEqual([tunnel?.reverse.spi, tunnel?.reverse.pip], [0x80000001, "192.0.2.1"]);
  assert.equal(request.ivCounts, undefined, "it does not say that its IVs count");
});

Deno.test("an answer and a notice of the release before are understood", () => {
  const reply = replyFromProto(fromBinary(NewTunnelResponseSchema, Uint8Array.fromHex(REPLY)), 1);
  assert.equal(reply.bootEpoch, EPOCH + 1n);
  assert.equal(reply.outcomes[0]?.ok, true);
  assert.equal(reply.ivCounts, undefined);
  const notice = noticeFromProto(fromBinary(NotifyRequestSchema, Uint8Array.fromHex(NOTICE)));
  assert.deepEqual(notice.unknownSpis, [5, 6]);
  assert.deepEqual(notice.closed, [{ localVip: "10.1.0.1", remoteVip: "10.2.0.1" }]);
  assert.deepEqual(notice.confirmedSpis, [7]);
});

Deno.test("what is said to it has the same octets, and fields behind them that it passes over", () => {
  const request = requestFromProto(fromBinary(NewTunnelRequestSchema, Uint8Array.fromHex(REQUEST)));
  const said = toBinary(NewTunnelRequestSchema, requestToProto({ ...request, ivCounts: true }));
  // Field 5 as a number: true.
  assert.equal(said.toHex(), `${REQUEST}2801`);
  const reply = replyFromProto(fromBinary(NewTunnelResponseSchema, Uint8Array.fromHex(REPLY)), 1);
  const answered = toBinary(NewTunnelResponseSchema, replyToProto({ ...reply, ivCounts: true }));
  assert.equal(answered.toHex(), `${REPLY}2001`);
});

Deno.test("a database of the release before is taken over", () => {
  const dir = Deno.makeTempDirSync();
  try {
    const path = `${dir}/agent.db`;
    const old = new DatabaseSync(path);
    old.exec(DATABASE);
    old.close();
    using store = openSaStore({ path, log: NO_LOG, wallMs: () => 0 });
    const { count, tunnels } = store.lost();
    assert.equal(count, 1);
    assert.deepEqual([...Iterator.from(tunnels)], [{
      localVip: "10.1.0.1",
      remoteVip: "10.2.0.1",
      peer: "h2",
      endsAtMs: 1795707926752,
    }]);
    assert.deepEqual([...store.pips()], [["h2", "192.0.2.2"]]);
    assert.equal(store.reserveEpoch(0), EPOCH + 1n);
    assert.ok(store.spiHighWater >= 65_536n);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
