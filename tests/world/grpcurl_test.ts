// SPDX-License-Identifier: Apache-2.0

/** grpcurl against the status listener, which it knows by reflection alone. */
import assert from "node:assert/strict";
import { EVENTS, SAS, STATUS, TUNNELS, world } from "../rpc/status_lab.ts";

const GRPCURL = new URL("../../build/world/bin/grpcurl", import.meta.url).pathname;

async function grpcurl(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(GRPCURL, {
    args: ["-plaintext", ...args],
    stdin: "null",
  }).output();
  const text = (octets: Uint8Array) => new TextDecoder().decode(octets);
  return { code, out: text(stdout), err: text(stderr) };
}

/** Each message of a call's answer. */
async function call(address: string, method: string, request: unknown = {}): Promise<unknown[]> {
  const { code, out, err } = await grpcurl("-d", JSON.stringify(request), address, method);
  assert.equal(code, 0, err);
  // One after the other, with a line between them.
  return out.trim().split(/(?<=^})\n/m).filter((one) => one !== "").map((one) => JSON.parse(one));
}

Deno.test("grpcurl lists the services, and says how a message is spelled", async () => {
  await using w = await world();
  const services = await grpcurl(w.address, "list");
  assert.deepEqual([services.code, services.out.trim().split("\n")], [0, [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "psp.v1.StatusService",
  ]], services.err);
  const spelled = await grpcurl(w.address, "describe", "psp.v1.ListSasRequest");
  assert.match(spelled.out, /message ListSasRequest \{[^]*string page_token = 2;/, spelled.err);
});

Deno.test("grpcurl reads the state, a list in pages, and the health", async () => {
  await using w = await world();
  const [status] = await call(w.address, "psp.v1.StatusService/GetStatus") as { id?: string }[];
  assert.equal(status?.id, STATUS.id);
  const found: unknown[] = [];
  for (let pageToken = "";;) {
    const [page] = await call(w.address, "psp.v1.StatusService/ListTunnels", {
      pageSize: 2,
      pageToken,
    }) as { tunnels: { remoteVip: string }[]; nextPageToken?: string }[];
    found.push(...page?.tunnels.map(({ remoteVip }) => remoteVip) ?? []);
    pageToken = page?.nextPageToken ?? "";
    if (pageToken === "") break;
  }
  assert.deepEqual(found, TUNNELS.map(({ remoteVip }) => remoteVip));
  const [sas] = await call(w.address, "psp.v1.StatusService/ListSas") as { sas: unknown[] }[];
  assert.equal(sas?.sas.length, SAS.length);
  const [events] = await call(w.address, "psp.v1.StatusService/ListEvents") as {
    events: unknown[];
  }[];
  assert.equal(events?.events.length, EVENTS.length);
  assert.deepEqual(await call(w.address, "grpc.health.v1.Health/Check"), [{ status: "SERVING" }]);
});

Deno.test("grpcurl follows events as they come, until it has enough", async () => {
  await using w = await world();
  const child = new Deno.Command(GRPCURL, {
    args: ["-plaintext", w.address, "psp.v1.StatusService/WatchEvents"],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let said = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    said += text;
    if (said.includes('"tunnel-opened"')) break;
  }
  assert.match(said, /"agent-ready"[^]*"tunnel-opened"/);
  child.kill("SIGTERM");
  await child.status;
});

Deno.test("what is refused has its code and its field, and what needs a token says so", async () => {
  await using w = await world();
  const wrong = await grpcurl(
    "-d",
    '{"spi": 1, "direction": "up"}',
    w.address,
    "psp.v1.StatusService/ListSas",
  );
  assert.notEqual(wrong.code, 0);
  assert.match(wrong.err, /Code: InvalidArgument[^]*"direction"/);
  const locked = await grpcurl("-d", '{"dst": "10.2.0.1"}', w.address, "psp.v1.StatusService/Ping");
  assert.match(locked.err, /Code: Unauthenticated/);
});
