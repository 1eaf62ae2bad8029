// SPDX-License-Identifier: Apache-2.0

/** Every topology and the entries of SAs on the real plane: does it take what src/pipes describes? */
import assert from "node:assert/strict";
import { DataPlane } from "../../ffi/data_plane.ts";
import { openLibrary } from "../../ffi/library.ts";
import { libraryPath } from "../../tests/support/library.ts";
import { inOwnNamespace } from "../../tests/support/own_namespace.ts";
import { systemClock } from "../model/clock.ts";
import { FlowTable } from "./flow_table.ts";
import { installTopology } from "../pipes/install.ts";
import { buildTopology } from "../pipes/topology.ts";
import type { TopologyOptions } from "../pipes/types.ts";

const PAIR = { localVip: "10.1.0.5", remoteVip: "10.2.0.7" };

/** Installs a topology and an SA each way, replaces one, and takes all off again. */
async function exercise(dp: DataPlane, options: TopologyOptions): Promise<void> {
  const installed = installTopology(dp, buildTopology(options));
  await using flows = new FlowTable({
    plane: dp,
    installed,
    clock: systemClock(),
    localPip: "192.0.2.1",
    ttl: 64,
    copyDscp: true,
    gatewayMac: "02:00:00:00:00:0b",
    nextHopMac: () => "02:00:00:00:00:fe",
    placeOf: () => ({ mac: "02:00:00:00:00:0a", port: dp.ports.host }),
  });
  const sa = {
    ...PAIR,
    peer: "h2",
    mode: options.mode,
    cryptOffset: 5,
    serial: 1n,
    createdAtMs: 0,
  } as const;
  const vc = options.vc ? { vc: 5n } : {};
  for (const [version, number] of [["aes-gcm-128", 0], ["aes-gcm-256", 1]] as const) {
    const [rx, tx] = dp.generateSpis(number, 2);
    assert.ok(rx && tx);
    flows.addRx({ ...sa, ...vc, spi: rx.spi, version });
    flows.setTx({
      ...sa,
      ...vc,
      spi: tx.spi,
      version,
      pip: "192.0.2.2",
      mac: "02:00:00:00:00:02",
      epoch: 1n,
      expiresAtMs: 0,
    }, { ...tx, ivLimit: 0n });
    assert.equal(flows.rxStats(rx.spi)?.packets, 0n);
  }
  assert.equal(flows.txStats(PAIR)?.packets, 0n);
  assert.equal(dp.queryPipe(installed.pipeId("EGR_ACL")).entries, 1);
  assert.equal(dp.queryPipe(installed.pipeId("INGR_ACL")).entries, 2);
  flows.movePlace(PAIR.localVip, { mac: "02:00:00:00:00:0c", port: dp.ports.host });
  flows.movePlace(PAIR.localVip, undefined);
  flows.expireTx(PAIR);
  flows.removeTx(PAIR);
  installed.remove();
}

await inOwnNamespace(import.meta.url, () => {
  for (const mode of ["tunnel", "transport"] as const) {
    for (const sampling of [false, true]) {
      Deno.test(`${mode} mode ${sampling ? "with" : "without"} sampling`, async () => {
        using library = openLibrary(libraryPath());
        await using dp = DataPlane.open(library, {
          ports: [{ kind: "uplink", name: "up0" }, { kind: "host", name: "host0" }],
        });
        for (const sampleRateLog2 of [0, 8, 16]) {
          const base = { mode, sampling, sampleRateLog2 };
          await exercise(dp, { ...base, onDemand: true, exceptions: true, vc: true });
          await exercise(dp, { ...base, onDemand: false, exceptions: false, vc: false });
        }
      });
    }
  }
});
