// SPDX-License-Identifier: Apache-2.0

/** The PSP header for reports and for sealing. Whether a packet is sound, the shim alone decides. */

/** What a header says; meaningless unless the shim's verdict says that it is sound. */
export interface PspHeader {
  readonly nextHeader: number;
  /** Octets of the header with its extensions. */
  readonly size: number;
  /** Version field; 0..15 on the wire. */
  readonly version: number;
  readonly spi: number;
  readonly iv: bigint;
}

/** undefined when there are fewer than 16 octets. */
export function readPspHeader(psp: Uint8Array): PspHeader | undefined {
  if (psp.length < 16) return undefined;
  const view = new DataView(psp.buffer, psp.byteOffset, psp.byteLength);
  return {
    nextHeader: view.getUint8(0),
    size: 8 + view.getUint8(1) * 8,
    version: view.getUint8(3) >> 2 & 0x0f,
    spi: view.getUint32(4),
    iv: view.getBigUint64(8),
  };
}

/** What goes into a header. */
export interface PspHeaderFields {
  readonly nextHeader: number;
  readonly version: number;
  readonly spi: number;
  readonly iv: bigint;
  /** 4-octet units from the end of the IV. */
  readonly cryptOffset: number;
  /** The octets after the IV, a multiple of 8: VC and further extensions. */
  readonly extension?: Uint8Array;
  /** The first 8 octets of the extension are a virtualization cookie. */
  readonly v?: boolean;
  readonly s?: boolean;
  readonly d?: boolean;
  /** The two reserved bits; 0 in every packet but those of tests. */
  readonly r?: number;
}

/** Header and payload, ready to be sealed. */
export function pspPacket(fields: PspHeaderFields, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const extension = fields.extension ?? new Uint8Array(0);
  const bytes = new Uint8Array(16 + extension.length + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, fields.nextHeader);
  view.setUint8(1, 1 + extension.length / 8);
  view.setUint8(2, (fields.r ?? 0) << 6 | fields.cryptOffset);
  const flags = (fields.s ? 0x80 : 0) | (fields.d ? 0x40 : 0) | (fields.v ? 0x02 : 0) | 0x01;
  view.setUint8(3, flags | fields.version << 2);
  view.setUint32(4, fields.spi);
  view.setBigUint64(8, fields.iv);
  bytes.set(extension, 16);
  bytes.set(payload, 16 + extension.length);
  return bytes;
}
