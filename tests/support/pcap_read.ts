// SPDX-License-Identifier: Apache-2.0

/** Reads classic pcap files of any size as a stream of frames, in one pass and little memory. */

/** One record of a capture file. */
export interface Frame {
  /** Nanoseconds since 1970. */
  readonly timeNs: bigint;
  /** Octets on the wire; `data` may be cut. */
  readonly length: number;
  /** Valid until the next frame is asked for. */
  readonly data: Uint8Array<ArrayBuffer>;
}

const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const BUFFER = 8 << 20;

/**
 * Frames of an Ethernet capture, in file order. A record that is not whole at the end of the file
 * (still being written) ends the stream. Throws when it is no pcap file.
 */
export function* readPcap(path: string): Generator<Frame> {
  using file = Deno.openSync(path);
  const reader = new Reader(file);
  const head = reader.take(FILE_HEADER);
  if (head === undefined) throw new Error(`Cannot read "${path}": shorter than a pcap header`);
  const { little, nanos } = format(head, path);
  while (true) {
    const header = reader.take(RECORD_HEADER);
    if (header === undefined) return;
    const view = new DataView(header.buffer, header.byteOffset, RECORD_HEADER);
    const seconds = view.getUint32(0, little);
    const fraction = view.getUint32(4, little);
    const captured = view.getUint32(8, little);
    const length = view.getUint32(12, little);
    const data = reader.take(captured);
    if (data === undefined) return;
    const timeNs = BigInt(seconds) * 1_000_000_000n + BigInt(nanos ? fraction : fraction * 1000);
    yield { timeNs, length, data };
  }
}

function format(head: Uint8Array<ArrayBuffer>, path: string): { little: boolean; nanos: boolean } {
  const view = new DataView(head.buffer, head.byteOffset, FILE_HEADER);
  for (const little of [true, false]) {
    const magic = view.getUint32(0, little);
    if (magic !== 0xa1b2c3d4 && magic !== 0xa1b23c4d) continue;
    const link = view.getUint32(20, little) & 0xffff;
    if (link !== 1) throw new Error(`Cannot read "${path}": link type ${link}, not Ethernet`);
    return { little, nanos: magic === 0xa1b23c4d };
  }
  throw new Error(`Cannot read "${path}": not a pcap file`);
}

/** Hands out views into one buffer; a view is dead at the next call of take(). */
class Reader {
  readonly #file: Deno.FsFile;
  #buffer = new Uint8Array(BUFFER);
  #start = 0;
  #end = 0;

  constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  take(n: number): Uint8Array<ArrayBuffer> | undefined {
    if (this.#end - this.#start < n && !this.#fill(n)) return undefined;
    const view = this.#buffer.subarray(this.#start, this.#start + n);
    this.#start += n;
    return view;
  }

  #fill(n: number): boolean {
    if (n > this.#buffer.length) return false;
    this.#buffer.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    while (this.#end < n) {
      const got = this.#file.readSync(this.#buffer.subarray(this.#end));
      if (got === null) return false;
      this.#end += got;
    }
    return true;
  }
}
