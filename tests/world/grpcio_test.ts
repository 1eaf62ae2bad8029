// SPDX-License-Identifier: Apache-2.0

/** Python's own gRPC against the status listener, which it knows by reflection alone. */
import assert from "node:assert/strict";
import { EVENTS, STATUS, TUNNELS, world } from "../rpc/status_lab.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

Deno.test("python's grpcio reads the state, pages, a stream and the health, without a schema", async () => {
  await using w = await world();
  const { code, stdout, stderr } = await new Deno.Command("python3", {
    args: ["-B", `${ROOT}tests/world/grpcio_client.py`, w.address],
    env: { PYTHONPATH: `${ROOT}build/world/python`, PYTHONUNBUFFERED: "1" },
    stdin: "null",
  }).output();
  const text = (octets: Uint8Array) => new TextDecoder().decode(octets);
  assert.equal(code, 0, text(stderr));
  const lines = text(stdout).trim().split("\n").map((line) =>
    JSON.parse(line) as { readonly what: string; readonly answer: Record<string, unknown> }
  );
  const of = (what: string) =>
    lines.filter((line) => line.what === what).map((line) => line.answer);
  assert.equal(of("status")[0]?.id, STATUS.id);
  const pages = of("tunnels") as { tunnels: { remoteVip: string }[] }[];
  assert.equal(pages.length, 3);
  assert.deepEqual(
    pages.flatMap(({ tunnels }) => tunnels.map(({ remoteVip }) => remoteVip)),
    TUNNELS.map(({ remoteVip }) => remoteVip),
  );
  assert.deepEqual(of("event").map(({ kind }) => kind), EVENTS.map(({ kind }) => kind));
  assert.deepEqual(of("health"), [{ status: "SERVING" }]);
  assert.deepEqual(of("refused") as unknown, ["UNAUTHENTICATED"]);
});
