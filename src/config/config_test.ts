// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { fromFile, toFile } from "./config.ts";
import { differences } from "./changes.ts";
import { FilePath, Span } from "./schema.ts";

Deno.test("names, spans, paths and absent keys are mapped at every depth", () => {
  const form = {
    state_dir: new FilePath("state"),
    psp: { sample_rate_log2: 3, ttl: undefined },
    peers: [{ svc_address: "a:1", vc: 2n ** 63n, back_off_max: new Span(90_000) }],
  };
  const config = fromFile(form, "/etc/psp");
  assert.deepEqual(config, {
    stateDir: "/etc/psp/state",
    psp: { sampleRateLog2: 3 },
    peers: [{ svcAddress: "a:1", vc: 2n ** 63n, backOffMaxMs: 90_000 }],
  });
  assert.deepEqual(toFile(config), {
    state_dir: "/etc/psp/state",
    psp: { sample_rate_log2: 3 },
    peers: [{ svc_address: "a:1", vc: "0x8000000000000000", back_off_max: "1m30s" }],
  });
});

Deno.test("a difference is named by its key in the file, a peer by its id", () => {
  const before = {
    psp: { ttl: 64, versions: ["a", "b"] },
    peers: [{ id: "h2", vips: ["x"] }, { id: "h3", vips: [] }, { id: "h4", vips: [] }],
  };
  const after = {
    psp: { ttl: 63, versions: ["b", "a"] },
    peers: [{ id: "h4", vips: [] }, { id: "h2", vips: ["x", "y"] }, { id: "h5", vips: [] }],
    vc: 1n,
  };
  assert.deepEqual(differences(before, after), [
    "psp.ttl",
    "psp.versions",
    "peers[h2].vips",
    "peers[h3]",
    "peers[h5]",
    "vc",
  ]);
  assert.deepEqual(differences(before, structuredClone(before)), []);
});
