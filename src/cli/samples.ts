// SPDX-License-Identifier: Apache-2.0

/** `psp-agent samples` */
import type { SampleView } from "../model/status.ts";
import { err, EXIT, type ExitCode, json, out } from "./io.ts";
import type { Target } from "./options.ts";
import { openPcapng } from "./pcapng_writer.ts";
import { connect } from "./target.ts";

/** What the command line says. */
export interface SamplesArgs extends Target {
  readonly json: boolean;
  readonly pcapng: string | undefined;
  readonly count: number | undefined;
}

/** Shows or writes samples until so many came, or SIGINT. */
export async function samples(args: SamplesArgs): Promise<ExitCode> {
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  Deno.addSignalListener("SIGINT", onSignal);
  Deno.addSignalListener("SIGTERM", onSignal);
  await using client = await connect(args);
  using file = args.pcapng === undefined ? undefined : await openPcapng(args.pcapng);
  let seen = 0;
  let lost = 0;
  try {
    for await (const sample of client.samples(stop.signal)) {
      lost += sample.lost;
      if (file) file.write(sample);
      else {out(
          args.json ? `${json(toJson(sample)).replaceAll(/\n\s*/g, " ").trim()}\n` : line(sample),
        );}
      if (++seen === args.count) break;
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    Deno.removeSignalListener("SIGINT", onSignal);
    Deno.removeSignalListener("SIGTERM", onSignal);
  }
  if (file || lost > 0) err(`${seen} samples${lost > 0 ? `, ${lost} lost` : ""}`);
  return EXIT.ok;
}

function line(sample: SampleView): string {
  const time = new Date(Number(sample.timeNs / 1_000_000n)).toISOString();
  const spi = sample.spi.toString(16).padStart(8, "0");
  return `${time} ${sample.direction} ${sample.srcVip} > ${sample.dstVip} ` +
    `spi ${spi} length ${sample.length}\n`;
}

function toJson({ data, ...rest }: SampleView): Record<string, unknown> {
  return { ...rest, data: data.toHex() };
}
