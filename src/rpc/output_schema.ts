// SPDX-License-Identifier: Apache-2.0

/** What `-o json` of each command prints, as JSON Schema: the API's own messages, one, an array of them, or one a line. */
import type { DescMessage } from "@bufbuild/protobuf";
import * as pb from "./gen/psp/v1/status_pb.ts";
import { definitions, refTo, type Schema } from "./json_schema.ts";

/** "lines": each line of the output is one. */
type Form = "one" | "array" | "lines";

/** By command. */
const OUTPUTS: Readonly<Record<string, { readonly of: DescMessage; readonly form: Form }>> = {
  status: { of: pb.GetStatusResponseSchema, form: "one" },
  tunnels: { of: pb.TunnelSchema, form: "array" },
  peers: { of: pb.PeerStatusSchema, form: "array" },
  sas: { of: pb.SaStatusSchema, form: "array" },
  drops: { of: pb.ListDropsResponseSchema, form: "one" },
  explain: { of: pb.ExplainResponseSchema, form: "one" },
  ping: { of: pb.PingResponseSchema, form: "one" },
  events: { of: pb.EventSchema, form: "lines" },
  samples: { of: pb.SampleSchema, form: "lines" },
  pipes: { of: pb.PipeStatusSchema, form: "array" },
  rotate: { of: pb.RotateResponseSchema, form: "one" },
  reload: { of: pb.ReloadResponseSchema, form: "one" },
  rekey: { of: pb.RekeyResponseSchema, form: "one" },
  close: { of: pb.CloseTunnelResponseSchema, form: "one" },
  "log-level": { of: pb.ListLogLevelsResponseSchema, form: "one" },
};

/** Every message of the API under its name, and what each command prints under "command NAME". */
export function outputSchema(): Schema {
  const commands = Object.entries(OUTPUTS).map(([name, { of, form }]): [string, Schema] => {
    const one = refTo(of);
    const description = form === "lines" ? { description: "Each line of the output." } : {};
    return [`command ${name}`, {
      ...description,
      ...form === "array" ? { type: "array", items: one } : one,
    }];
  });
  const show = {
    type: "object",
    properties: {
      peers: { type: "array", items: refTo(pb.PeerStatusSchema) },
      tunnels: { type: "array", items: refTo(pb.TunnelSchema) },
    },
  };
  const methods = [...pb.StatusService.methods, ...pb.AdminService.methods];
  const messages = methods.flatMap(({ input, output }) => [input, output]);
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "psp-agent",
    description:
      "Messages of psp.v1.StatusService and psp.v1.AdminService in JSON, and what the commands print " +
      "with -o json. No field is required in answers of the API, which leaves out what is 0 or empty; the commands " +
      "print all of them.",
    $defs: { ...Object.fromEntries(commands), "command show": show, ...definitions(messages) },
  };
}
