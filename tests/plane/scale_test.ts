// SPDX-License-Identifier: Apache-2.0

/** Entries for N peers, installed through the agent's own flow table on a real plane, and counted. */
import assert from "node:assert/strict";
import { DataPlane } from "../../ffi/data_plane.ts";
import { openLibrary } from "../../ffi/library.ts";
import { systemClock } from "../../src/model/clock.ts";
import { FlowTable } from "../../src/plane/flow_table.ts";
import { installTopology } from "../../src/pipes/install.ts";
import { buildTopology } from "../../src/pipes/topology.ts";
import type { PipeName } from "../../src/pipes/types.ts";
import type { RxSa, TxSa } from "../../src/model/sa.ts";
import { libraryPath } from "../support/library.ts";
import { inOwnNamespace } from "../support/own_namespace.ts";
import { GATEWAY_MAC } from "../support/plane_lab.ts";

const LOCAL = "10.0.0.1";

/** The n-th peer's vip: 11.0.0.0 and on. */
function vip(n: number): string {
  return `11.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;
}

/** Keys for so many peers, derived in batches as a rotation would. */
function* spiKeys(plane: DataPlane, n: number) {
  for (let done = 0; done < n; done += 4096) {
    yield* plane.generateSpis(0, Math.min(4096, n - done));
  }
}

async function install(n: number): Promise<Record<PipeName, number>> {
  using library = openLibrary(libraryPath());
  const options = {
    ports: [{ kind: "uplink", name: "up0" }, { kind: "host", name: "host0" }] as const,
    maxEntries: 3 * n + 100,
    maxCryptoIds: n + 1,
  };
  await using plane = DataPlane.open(library, options);
  const installed = installTopology(
    plane,
    buildTopology({
      sampling: true,
      sampleRateLog2: 8,
      mode: "tunnel",
      onDemand: true,
      exceptions: false,
    }),
  );
  await using flows = new FlowTable({
    plane,
    installed,
    clock: systemClock(),
    localPip: "192.0.2.1",
    ttl: 64,
    copyDscp: true,
    gatewayMac: GATEWAY_MAC,
    nextHopMac: () => "02:00:00:00:00:02",
    placeOf: () => ({ mac: "02:00:00:00:00:11", port: plane.ports.host }),
    maxCryptoIds: n,
  });
  let i = 0;
  for (const key of spiKeys(plane, n)) {
    const common = {
      peer: `peer${i}`,
      localVip: LOCAL,
      remoteVip: vip(i++),
      spi: key.spi,
      version: "aes-gcm-128",
      cryptOffset: 5,
      mode: "tunnel",
      serial: 1n,
      createdAtMs: 0,
    } as const;
    const rx: RxSa = common;
    const tx: TxSa = {
      ...common,
      pip: "192.0.2.2",
      mac: "02:00:00:00:00:02",
      epoch: 1n,
      expiresAtMs: 0,
    };
    flows.addRx(rx);
    flows.setTx(tx, { ...key, ivLimit: 0n });
    key.key.wipe();
  }
  assert.deepEqual(flows.totals(), { tx: n, rx: n, cryptoIds: n, retiring: 0, pspEncrypt: n });
  const counted = [...installed.pipes].map(([name, id]) => [name, plane.queryPipe(id).entries]);
  return Object.fromEntries(counted);
}

await inOwnNamespace(import.meta.url, () => {
  for (const n of [1, 1_000, 100_000]) {
    Deno.test(`${n} peers: the entries of the reference, and no more`, async () => {
      assert.deepEqual(await install(n), {
        ROOT: 3,
        EGR_ACL: n,
        EGR_SAMP: 1,
        PSP_ENCRYPT: n,
        PSP_DECRYPT: 1,
        INGR_SAMP: 1,
        INGR_ACL: n,
        SYND_STATS: 3,
      });
    });
  }
});
