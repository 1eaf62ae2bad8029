// SPDX-License-Identifier: Apache-2.0

/** `psp-agent pcap`: files in, files out, one JSON line per packet. */
import { openLibrary } from "../../ffi/library.ts";
import { type Backend, type Offline, offline } from "../../ffi/offline.ts";
import type { PspVersionNumber } from "../../ffi/plane.ts";
import { compact } from "./options.ts";
import { fileReason } from "../config/reasons.ts";
import { parseKeys, type PcapKeys, wipeKeys } from "../pcap/keys.ts";
import { type CaptureOutcome, type OnPacket, openCapture } from "../pcap/open.ts";
import { sealCapture } from "../pcap/seal.ts";
import type { PspMode } from "../model/sa.ts";
import { cannotWrite, CommandError, err, EXIT, type ExitCode, naming, out } from "./io.ts";
import { openProgress } from "./progress.ts";
import { shimPath } from "./shim.ts";

interface Common {
  readonly keys: string;
  readonly backend: Backend;
  readonly library: string | undefined;
  readonly port: number | undefined;
  readonly input: string;
}

/** What `pcap seal` takes. */
export interface SealArgs extends Common {
  readonly output: string;
  readonly spi: number;
  readonly iv: bigint | undefined;
  readonly version: PspVersionNumber | undefined;
  readonly cryptOffset: number | undefined;
  readonly vc: bigint | undefined;
  readonly mode: PspMode;
  readonly src: string | undefined;
  readonly dst: string | undefined;
  readonly ttl: number | undefined;
  readonly srcPort: number | undefined;
  readonly s: boolean;
  readonly d: boolean;
}

/** `pcap seal`. Throws `ConfigError` for keys and captures that cannot be read. */
export function seal(args: SealArgs): Promise<ExitCode> {
  const { src, dst, ttl, iv, spi, version, cryptOffset, vc, mode, port, srcPort, s, d } = args;
  if (mode === "tunnel" && (src === undefined || dst === undefined)) {
    throw new CommandError("Tunnel mode needs the outer addresses: --src and --dst", EXIT.usage);
  }
  const outer = src === undefined || dst === undefined ? undefined : compact({ src, dst, ttl });
  const options = { spi, firstIv: iv, version, cryptOffset, vc, mode, outer, port, srcPort, s, d };
  return convert(args, (file, powers) => sealCapture(file, { ...powers, ...compact(options) }));
}

/** What `pcap open` takes. */
export interface OpenArgs extends Common {
  readonly output: string | undefined;
  readonly versions: readonly PspVersionNumber[];
  readonly ethernet: boolean;
}

/** `pcap open`. A bad packet is a line with its verdict, and no error. */
export function open(args: OpenArgs): Promise<ExitCode> {
  const versions = args.versions.length > 0 ? args.versions : undefined;
  const output = args.ethernet ? "ethernet" as const : "ip" as const;
  return convert(
    args,
    (file, powers) =>
      openCapture(file, { ...powers, ...compact({ versions, port: args.port, output }) }),
  );
}

async function convert(
  args: Common & { readonly output: string | undefined },
  work: (
    file: Uint8Array<ArrayBuffer>,
    powers: {
      readonly crypto: Offline;
      readonly keys: PcapKeys;
      readonly onPacket: OnPacket;
    },
  ) => CaptureOutcome,
): Promise<ExitCode> {
  const file = await read(args.input, "capture");
  const text = new TextDecoder().decode(await read(args.keys, "key file"));
  const keys = naming("key file", args.keys, () => parseKeys(text));
  using library = openLibrary(shimPath({ library: args.library }));
  try {
    using progress = openProgress();
    const onPacket: OnPacket = (done, of) => progress.to(() => `${done} of ${of} packets`);
    const powers = { crypto: offline(library, args.backend), keys, onPacket };
    const outcome = naming("capture", args.input, () => work(file, powers));
    progress.clear();
    out(outcome.results.map((result) => `${JSON.stringify(result)}\n`).join(""));
    if (args.output !== undefined) await write(args.output, outcome.file);
    if (outcome.problem === undefined) return EXIT.ok;
    err(`psp-agent: Cannot read all of "${args.input}": ${outcome.problem}`);
    return EXIT.failure;
  } finally {
    wipeKeys(keys);
  }
}

async function read(path: string, what: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(path);
  } catch (cause) {
    throw new CommandError(`Cannot read ${what} "${path}": ${fileReason(cause)}`, EXIT.failure, {
      cause,
    });
  }
}

async function write(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await Deno.writeFile(path, bytes);
  } catch (cause) {
    throw cannotWrite(path, cause);
  }
}
