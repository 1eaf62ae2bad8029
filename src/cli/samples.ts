// SPDX-License-Identifier: Apache-2.0

/** `psp-agent samples` */
import { spiText } from "../model/sa.ts";
import type { SampleView } from "../model/status.ts";
import { sampleJson } from "../rpc/status_json.ts";
import { CommandError, err, EXIT, type ExitCode, out } from "./io.ts";
import type { Output, Target } from "./options.ts";
import { openPcapng } from "./pcapng_writer.ts";
import { openProgress } from "./progress.ts";
import { connect } from "./target.ts";

/** What the command line says. */
export interface SamplesArgs extends Target {
  readonly output: Output;
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
  // The stream of an agent that takes no samples says nothing, for ever.
  if (!(await client.pipes()).some(({ name }) => name.endsWith("_SAMP"))) {
    const how = "set psp.sample_rate_log2 and start the agent anew";
    throw new CommandError(`The agent takes no samples: ${how}`, EXIT.degraded);
  }
  // Where the samples themselves are not shown.
  using progress = file && openProgress();
  let seen = 0;
  let lost = 0;
  try {
    for await (const sample of client.samples(stop.signal)) {
      lost += sample.lost;
      if (file) file.write(sample);
      else if (args.output === "table") out(line(sample));
      else out(`${JSON.stringify(sampleJson(sample))}\n`);
      progress?.to(() => `${seen} samples${args.count === undefined ? "" : ` of ${args.count}`}`);
      if (++seen === args.count) break;
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    Deno.removeSignalListener("SIGINT", onSignal);
    Deno.removeSignalListener("SIGTERM", onSignal);
  }
  file?.end();
  progress?.clear();
  if (file || lost > 0) err(`${seen} samples${lost > 0 ? `, ${lost} lost` : ""}`);
  return EXIT.ok;
}

function line(sample: SampleView): string {
  const time = new Date(Number(sample.timeNs / 1_000_000n)).toISOString();
  return `${time} ${sample.direction} ${sample.srcVip} > ${sample.dstVip} ` +
    `spi ${spiText(sample.spi)} length ${sample.length}\n`;
}
