// SPDX-License-Identifier: Apache-2.0

/** One struct of the ABI in memory: fields are read and written at their offsets, in host order. */
import { type Field, LAYOUT, sizeOf, type StructName } from "./layout.ts";

// Every machine that Deno runs on is little-endian.
const LITTLE_ENDIAN = true;

type FieldName<S extends StructName> = Exclude<keyof (typeof LAYOUT)[S], "."> & string;

/** A struct, or a struct within a struct, over the caller's octets. */
export class Struct<S extends StructName> {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;

  /** Over `size` octets from `offset` of `bytes`; without `bytes` a fresh one of zeros. */
  constructor(readonly name: S, bytes?: Uint8Array<ArrayBuffer>, offset = 0) {
    this.bytes = bytes === undefined
      ? new Uint8Array(sizeOf(name))
      : bytes.subarray(offset, offset + sizeOf(name));
    this.#view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
  }

  /** A fresh struct whose `size` says its own size. */
  static sized<S extends StructName>(name: S): Struct<S> {
    return new Struct(name).setSize();
  }

  setSize(): this {
    this.#view.setUint32(0, this.bytes.length, LITTLE_ENDIAN);
    return this;
  }

  /** A struct that lies within this one. */
  inner<I extends StructName>(field: FieldName<S>, name: I): Struct<I> {
    return new Struct(name, this.bytes, this.#field(field)[0]);
  }

  number(field: FieldName<S>): number {
    const [offset, size] = this.#field(field);
    switch (size) {
      case 1:
        return this.#view.getUint8(offset);
      case 2:
        return this.#view.getUint16(offset, LITTLE_ENDIAN);
      case 4:
        return this.#view.getUint32(offset, LITTLE_ENDIAN);
      default:
        throw new RangeError(`${this.name}.${field} is no number of 32 bits or less`);
    }
  }

  bigint(field: FieldName<S>): bigint {
    return this.#view.getBigUint64(this.#field(field)[0], LITTLE_ENDIAN);
  }

  /** The octets of a field, in place. */
  octets(field: FieldName<S>): Uint8Array<ArrayBuffer> {
    const [offset, size] = this.#field(field);
    return this.bytes.subarray(offset, offset + size);
  }

  /** Throws RangeError when the value does not fit the field. */
  set(field: FieldName<S>, value: number | bigint): this {
    const [offset, size] = this.#field(field);
    const fits = typeof value === "bigint" || Number.isSafeInteger(value);
    if (!fits || value < 0 || BigInt(value) >= 1n << BigInt(size * 8)) {
      throw new RangeError(`${value} does not fit ${this.name}.${field} of ${size} octets`);
    }
    if (size === 1) this.#view.setUint8(offset, Number(value));
    else if (size === 2) this.#view.setUint16(offset, Number(value), LITTLE_ENDIAN);
    else if (size === 4) this.#view.setUint32(offset, Number(value), LITTLE_ENDIAN);
    else this.#view.setBigUint64(offset, BigInt(value), LITTLE_ENDIAN);
    return this;
  }

  /** Copies octets to the start of a field. Throws RangeError when there are too many. */
  setOctets(field: FieldName<S>, octets: Uint8Array): this {
    const target = this.octets(field);
    if (octets.length > target.length) {
      throw new RangeError(
        `${octets.length} octets do not fit ${this.name}.${field} of ${target.length}`,
      );
    }
    target.set(octets);
    return this;
  }

  /** UTF-8, 0-terminated. Throws RangeError when it does not fit or holds a 0. */
  setText(field: FieldName<S>, text: string): this {
    const octets = new TextEncoder().encode(text);
    if (octets.includes(0) || octets.length >= this.octets(field).length) {
      throw new RangeError(`"${text}" does not fit ${this.name}.${field}`);
    }
    return this.setOctets(field, octets);
  }

  #field(field: FieldName<S>): Field {
    return (LAYOUT[this.name] as Readonly<Record<string, Field>>)[field] ??
      fail(`${this.name} has no field ${field}`);
  }
}

function fail(message: string): never {
  throw new RangeError(message);
}
