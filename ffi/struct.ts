// SPDX-License-Identifier: Apache-2.0

/** One struct of the ABI in memory: fields are read and written at their offsets, in host order. */
import { type Field, LAYOUT, sizeOf, type StructName } from "./layout.ts";

// Every machine that Deno runs on is little-endian.
const LITTLE_ENDIAN = true;

type FieldName<S extends StructName> = Exclude<keyof (typeof LAYOUT)[S], "."> & string;

/** A struct, or a struct within a struct, over the caller's octets. */
export class Struct<S extends StructName> {
  readonly #whole: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #base: number;
  readonly #fields: Readonly<Record<string, Field>>;

  /**
   * Over `size` octets from `offset` of `bytes`; without `bytes` a fresh one of zeros. `view`: of those very
   * octets, where there is one already.
   */
  constructor(readonly name: S, bytes?: Uint8Array<ArrayBuffer>, offset = 0, view?: DataView) {
    this.#whole = bytes ?? new Uint8Array(sizeOf(name));
    const { buffer, byteOffset, byteLength } = this.#whole;
    if (offset + sizeOf(name) > byteLength) fail(`${name} does not fit ${byteLength} octets`);
    this.#view = view ?? new DataView(buffer, byteOffset, byteLength);
    this.#base = offset;
    this.#fields = LAYOUT[name];
  }

  /** A fresh struct whose `size` says its own size. */
  static sized<S extends StructName>(name: S): Struct<S> {
    return new Struct(name).setSize();
  }

  /** The octets of the struct, in place. */
  get bytes(): Uint8Array<ArrayBuffer> {
    const size = sizeOf(this.name);
    if (this.#whole.length === size) return this.#whole;
    return this.#whole.subarray(this.#base, this.#base + size);
  }

  setSize(): this {
    this.#view.setUint32(this.#base, sizeOf(this.name), LITTLE_ENDIAN);
    return this;
  }

  /** A struct that lies within this one. */
  inner<I extends StructName>(field: FieldName<S>, name: I): Struct<I> {
    return new Struct(name, this.#whole, this.#base + this.#field(field)[0], this.#view);
  }

  number(field: FieldName<S>): number {
    const [offset, size] = this.#field(field);
    switch (size) {
      case 1:
        return this.#view.getUint8(this.#base + offset);
      case 2:
        return this.#view.getUint16(this.#base + offset, LITTLE_ENDIAN);
      case 4:
        return this.#view.getUint32(this.#base + offset, LITTLE_ENDIAN);
      default:
        throw new RangeError(`${this.name}.${field} is no number of 32 bits or less`);
    }
  }

  bigint(field: FieldName<S>): bigint {
    return this.#view.getBigUint64(this.#base + this.#field(field)[0], LITTLE_ENDIAN);
  }

  /** The octets of a field, in place. */
  octets(field: FieldName<S>): Uint8Array<ArrayBuffer> {
    const [offset, size] = this.#field(field);
    return this.#whole.subarray(this.#base + offset, this.#base + offset + size);
  }

  /** A copy of the first octets of a field. */
  copyOf(field: FieldName<S>, length: number): Uint8Array<ArrayBuffer> {
    const start = this.#base + this.#field(field)[0];
    return this.#whole.slice(start, start + length);
  }

  /** Throws RangeError when the value does not fit the field. */
  set(field: FieldName<S>, value: number | bigint): this {
    const [offset, size] = this.#field(field);
    const fits = typeof value === "bigint"
      ? value < 1n << BigInt(size * 8)
      : Number.isSafeInteger(value) && value < 2 ** (size * 8);
    if (!fits || value < 0) {
      throw new RangeError(`${value} does not fit ${this.name}.${field} of ${size} octets`);
    }
    const at = this.#base + offset;
    if (size === 1) this.#view.setUint8(at, Number(value));
    else if (size === 2) this.#view.setUint16(at, Number(value), LITTLE_ENDIAN);
    else if (size === 4) this.#view.setUint32(at, Number(value), LITTLE_ENDIAN);
    else this.#view.setBigUint64(at, BigInt(value), LITTLE_ENDIAN);
    return this;
  }

  /** Copies octets to the start of a field. Throws RangeError when there are too many. */
  setOctets(field: FieldName<S>, octets: Uint8Array): this {
    const [offset, size] = this.#field(field);
    if (octets.length > size) {
      throw new RangeError(`${octets.length} octets do not fit ${this.name}.${field} of ${size}`);
    }
    this.#whole.set(octets, this.#base + offset);
    return this;
  }

  /** Has `put` (`putAddress`, `putMac`) write what a text stands for into a field. Throws what that throws. */
  write(
    field: FieldName<S>,
    put: (octets: Uint8Array, text: string, at: number) => void,
    text: string,
  ): this {
    put(this.#whole, text, this.#base + this.#field(field)[0]);
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
    return this.#fields[field] ?? fail(`${this.name} has no field ${field}`);
  }
}

function fail(message: string): never {
  throw new RangeError(message);
}
