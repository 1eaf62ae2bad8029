// SPDX-License-Identifier: Apache-2.0

/** A tunnel in the record: its shape, and how it becomes a row. No key has a place in either. */
import { PSP_VERSIONS, type PspVersion, type VipPair } from "./sa.ts";

/** One SA as recorded. Times are of the wall clock, 0: no limit. */
export interface SaRecord {
  readonly spi: number;
  readonly version: PspVersion;
  readonly epoch: bigint;
  readonly serial: bigint;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly packets: bigint;
  readonly bytes: bigint;
}

/** A tunnel as recorded: `up` in this run, `lost` when it was up as an earlier one ended. */
export interface TunnelRecord extends VipPair {
  readonly peer: string;
  readonly state: "up" | "lost";
  readonly openedAtMs: number;
  readonly tx: SaRecord;
  readonly rx: SaRecord;
}

const SA_COLUMNS = ["spi", "version", "epoch", "serial", "created_at_ms", "expires_at_ms"]
  .concat(["packets", "bytes"]);
const COLUMNS = ["local_vip", "remote_vip", "peer", "state", "opened_at_ms"]
  .concat(SA_COLUMNS.map((c) => `tx_${c}`), SA_COLUMNS.map((c) => `rx_${c}`));
/** Writes a tunnel, whether it was there or not. */
export const UPSERT = `INSERT OR REPLACE INTO tunnel (${COLUMNS.join(", ")})
  VALUES (${COLUMNS.map(() => "?").join(", ")})`;

type Value = string | number | bigint;
/** A row as SQLite gives it, integers as bigint. */
export type Row = Record<string, string | bigint>;

/** The values for `UPSERT`. */
export function toRow(
  { localVip, remoteVip, peer, state, openedAtMs, tx, rx }: TunnelRecord,
): Value[] {
  const head = [localVip, remoteVip, peer, state, Math.round(openedAtMs)];
  return [...head, ...saToRow(tx), ...saToRow(rx)];
}

function saToRow(sa: SaRecord): Value[] {
  const [epoch, serial, packets, bytes] = [sa.epoch, sa.serial, sa.packets, sa.bytes]
    .map((n) => BigInt.asIntN(64, n)) as [bigint, bigint, bigint, bigint];
  const times = [Math.round(sa.createdAtMs), Math.round(sa.expiresAtMs)];
  return [sa.spi, sa.version, epoch, serial, ...times, packets, bytes];
}

/** The tunnel of a row. */
export function fromRow(row: Row): TunnelRecord {
  return {
    localVip: String(row.local_vip),
    remoteVip: String(row.remote_vip),
    peer: String(row.peer),
    state: row.state === "up" ? "up" : "lost",
    openedAtMs: Number(row.opened_at_ms),
    tx: saFromRow(row, "tx"),
    rx: saFromRow(row, "rx"),
  };
}

function saFromRow(row: Row, direction: "tx" | "rx"): SaRecord {
  const u64 = (name: string) => BigInt.asUintN(64, BigInt(row[`${direction}_${name}`] ?? 0n));
  const version = row[`${direction}_version`];
  return {
    spi: Number(u64("spi")),
    version: PSP_VERSIONS.find((v) => v === version) ?? "aes-gcm-128",
    epoch: u64("epoch"),
    serial: u64("serial"),
    createdAtMs: Number(u64("created_at_ms")),
    expiresAtMs: Number(u64("expires_at_ms")),
    packets: u64("packets"),
    bytes: u64("bytes"),
  };
}
