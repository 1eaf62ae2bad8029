// SPDX-License-Identifier: Apache-2.0

/**
 * The one table of commands: name, what it does, examples, options, and the function behind it, loaded
 * only when it is called.
 */
import { object } from "@optique/core/constructs";
import { message } from "@optique/core/message";
import { map, multiple, optional, withDefault } from "@optique/core/modifiers";
import type { Parser } from "@optique/core/parser";
import { argument, option } from "@optique/core/primitives";
import { choice } from "@optique/core/valueparser";
import { CONFIG } from "./config_commands.ts";
import { EVENT_KINDS, type EventKind } from "../model/events.ts";
import { LOG_CATEGORIES, LOG_LEVELS } from "../model/log.ts";
import { PEER_STATES } from "../model/status.ts";
import type { ExitCode } from "./io.ts";
import {
  config,
  DIR,
  DURATION,
  FILE,
  json,
  library,
  number,
  oneOf,
  output,
  target,
  toggle,
  word,
} from "./options.ts";
import { accept, sealing } from "./pcap_options.ts";

/** What a parsed command line is: the thing to do. */
export type Task = () => Promise<ExitCode>;

/** One command. */
export interface Command {
  readonly name: string;
  readonly brief: string;
  readonly examples: readonly string[];
  readonly parser: Parser<"sync", Task, unknown>;
}

/** Commands under a common first word. */
export interface Group {
  readonly name: string;
  readonly brief: string;
  readonly examples: readonly string[];
  readonly commands: readonly Command[];
}

const watch = toggle("--watch", message`Again every second.`);
const KIND = oneOf(Object.keys(EVENT_KINDS) as EventKind[], "KIND");
const STATE = oneOf(PEER_STATES, "STATE");
const CATEGORY = oneOf(LOG_CATEGORIES, "NAME");
const LEVEL = oneOf(LOG_LEVELS, "LEVEL");

/** Which tunnels an order is about. */
const tunnelsOf = {
  what: argument(word("TEXT"), { description: message`A peer's id, an address or an SPI.` }),
  other: optional(argument(word("ADDRESS"), {
    description: message`The other address, to name one pair.`,
  })),
};

const run: Parser<"sync", Task, unknown> = map(
  object({
    config,
    library,
    once: toggle("--once", message`End with 1 instead of waiting for what is not there yet.`),
  }),
  (args) => async () => (await import("./run.ts")).run(args),
);

/** `psp-agent --config peers.json` */
export const RUN_WITHOUT_NAME: Parser<"sync", Task, unknown> = run;

const PKI: readonly Command[] = [
  {
    name: "init",
    brief: "Makes a CA: ca/ca.crt and ca/ca.key. The key stays where it was made.",
    examples: ["psp-agent pki init --dir pki"],
    parser: map(
      object({
        dir: option("--dir", DIR, { description: message`Where the folder goes.` }),
        name: optional(option("--name", word("TEXT"), {
          description: message`The CA's common name.`,
        })),
        days: number("--days", message`How long it is valid.`, { min: 1, max: 36_500 }),
        force: toggle("--force", message`Overwrite files that exist.`),
      }),
      (args) => async () => (await import("./pki.ts")).init(args),
    ),
  },
  {
    name: "issue",
    brief: "Makes a host's folder, ID: ID.crt, signed by that CA, ID.key and ca.crt.",
    examples: [
      "psp-agent pki issue --dir pki --id h1",
      "psp-agent pki issue --dir pki --id h1 --domain example.org --ip 192.0.2.1 --days 30",
    ],
    parser: map(
      object({
        dir: option("--dir", DIR, { description: message`Where the folder goes.` }),
        id: option("--id", word("ID"), {
          description: message`The host's id, as in its configuration.`,
        }),
        domain: withDefault(
          option("--domain", word("DOMAIN"), {
            description: message`The trust domain, as in the configuration.`,
          }),
          "psp-agent.local",
        ),
        caDir: optional(option("--ca-dir", DIR, {
          description: message`Where the CA is, if elsewhere.`,
        })),
        ips: multiple(option("--ip", word("ADDRESS"), {
          description: message`An address for tools that check host names; may be repeated.`,
        })),
        dns: multiple(option("--dns", word("NAME"), {
          description: message`A DNS name; may be repeated.`,
        })),
        days: number("--days", message`How long it is valid.`, { min: 1, max: 3650 }),
        force: toggle("--force", message`Overwrite files that exist.`),
      }),
      (args) => async () => (await import("./pki.ts")).issue(args),
    ),
  },
];

const PCAP: readonly Command[] = [
  {
    name: "seal",
    brief: "Seals the IP packets of a pcap into PSP packets; one JSON line per packet.",
    examples: [
      "psp-agent pcap seal --keys k.json --spi 9a345678 --src 192.0.2.1 --dst 192.0.2.2 in.pcap out.pcap",
      "psp-agent pcap seal --keys k.json --spi 9a345678 --mode transport --iv 16 in.pcap out.pcap",
    ],
    parser: map(
      object({ ...sealing, library }),
      (args) => async () => (await import("./pcap.ts")).seal(args),
    ),
  },
  {
    name: "open",
    brief: "Opens the PSP packets of a pcap; one JSON line per packet with its verdict.",
    examples: ["psp-agent pcap open --keys k.json in.pcap out.pcap"],
    parser: map(
      object({
        keys: sealing.keys,
        versions: multiple(accept),
        port: sealing.port,
        ethernet: toggle("--ethernet", message`Keep the Ethernet headers.`),
        backend: sealing.backend,
        input: sealing.input,
        output: optional(sealing.output),
        library,
      }),
      (args) => async () => (await import("./pcap.ts")).open(args),
    ),
  },
];

/** Every command, in the order of the help. */
export const COMMANDS: readonly (Command | Group)[] = [
  {
    name: "run",
    brief: "Runs the agent.",
    examples: ["psp-agent run --config peers.json", "psp-agent --config peers.json"],
    parser: run,
  },
  {
    name: "check",
    brief: "Checks a configuration and its certificates, and prints the effective one.",
    examples: ["psp-agent check --config peers.json"],
    parser: map(
      object({ config }),
      (args) => async () => (await import("./check.ts")).check(args),
    ),
  },
  {
    name: "status",
    brief: "Shows the running agent on one screen: what is wrong, peers, tunnels, drops.",
    examples: ["psp-agent status", "psp-agent status --config peers.json --json"],
    parser: map(
      object({
        ...target,
        output,
        watch,
        counters: toggle("--counters", message`Every counter that has counted.`),
        check: toggle("--check", message`End with 5 when something wants an operator.`),
        peers: number(
          "--peers",
          message`Peers to show at most, those that fail first; default 50.`,
          {
            min: 0,
            max: 65_536,
          },
        ),
      }),
      (args) => async () => (await import("./status.ts")).status(args),
    ),
  },
  {
    name: "tunnels",
    brief: "Lists the tunnels of the running agent.",
    examples: ["psp-agent tunnels", "psp-agent tunnels --peer h2 --json"],
    parser: map(
      object({
        ...target,
        output,
        watch,
        peer: optional(option("--peer", word("ID"), {
          description: message`Only those of one peer.`,
        })),
      }),
      (args) => async () => (await import("./status.ts")).tunnels(args),
    ),
  },
  {
    name: "peers",
    brief: "Lists the peers of the running agent, those that fail first.",
    examples: ["psp-agent peers", "psp-agent peers -o json"],
    parser: map(
      object({
        ...target,
        output,
        watch,
        states: multiple(option("--state", STATE.parser, {
          description: message`Only those in this state; may be repeated: ${STATE.words}.`,
        })),
      }),
      (args) => async () => (await import("./look.ts")).peers(args),
    ),
  },
  {
    name: "sas",
    brief: "Lists the security associations of the running agent, one a line.",
    examples: ["psp-agent sas", "psp-agent sas --peer h2 -o json"],
    parser: map(
      object({
        ...target,
        output,
        peer: optional(option("--peer", word("ID"), {
          description: message`Only those of one peer.`,
        })),
        direction: optional(option("--direction", choice(["tx", "rx"], { metavar: "WAY" }), {
          description: message`Only those to send with (tx), or to receive with (rx).`,
        })),
      }),
      (args) => async () => (await import("./look.ts")).sas(args),
    ),
  },
  {
    name: "drops",
    brief:
      "Counts the packets that were dropped since the start, by reason, and shows the last ones.",
    examples: ["psp-agent drops", "psp-agent drops --reason no-peer -o json"],
    parser: map(
      object({
        ...target,
        output,
        reason: optional(option("--reason", word("TEXT"), {
          description: message`Only those for this reason.`,
        })),
        peer: optional(option("--peer", word("ID"), {
          description: message`Of the last ones, only those of one peer.`,
        })),
        vip: optional(option("--vip", word("ADDRESS"), {
          description: message`Of the last ones, only those from or to this address.`,
        })),
      }),
      (args) => async () => (await import("./look.ts")).drops(args),
    ),
  },
  {
    name: "show",
    brief: "Shows what there is about a peer, an address of a workload, or an SPI.",
    examples: ["psp-agent show h2", "psp-agent show 10.2.0.7", "psp-agent show 0x9a345678"],
    parser: map(
      object({
        ...target,
        output,
        what: argument(word("TEXT"), { description: message`A peer's id, an address or an SPI.` }),
      }),
      (args) => async () => (await import("./look.ts")).show(args),
    ),
  },
  {
    name: "wait",
    brief:
      "Waits until the agent is ready, or a peer is up; ends with 5, or 4 without an agent, when it takes too long.",
    examples: ["psp-agent wait", "psp-agent wait --peer h2 --timeout 1m"],
    parser: map(
      object({
        ...target,
        peer: optional(option("--peer", word("ID"), { description: message`For this peer.` })),
        timeout: withDefault(
          option("--timeout", DURATION, { description: message`How long; default 30s.` }),
          30_000,
        ),
      }),
      (args) => async () => (await import("./look.ts")).wait(args),
    ),
  },
  {
    name: "metrics",
    brief: "Prints what Prometheus reads.",
    examples: ["psp-agent metrics"],
    parser: map(
      object({ ...target }),
      (args) => async () => (await import("./look.ts")).metrics(args),
    ),
  },
  {
    name: "diag",
    brief: "Writes what a bug report needs, without a secret: state, events, metrics, versions.",
    examples: [
      "psp-agent diag --out diag.json",
      "psp-agent diag --config peers.json --out diag.json",
    ],
    parser: map(
      object({
        ...target,
        out: optional(
          option("--out", FILE, { description: message`A new file; if not given, stdout.` }),
        ),
      }),
      (args) => async () => (await import("./diag.ts")).diag(args),
    ),
  },
  {
    name: "explain",
    brief: "Says what would become of a packet between two addresses now, at both ends, and why.",
    examples: [
      "psp-agent explain 10.1.0.1 10.2.0.1",
      "psp-agent explain --length 1500 10.1.0.1 10.2.0.1",
    ],
    parser: map(
      object({
        ...target,
        output,
        src: argument(word("ADDRESS"), { description: message`Where the packet comes from.` }),
        dst: argument(word("ADDRESS"), { description: message`Where it is to go.` }),
        length: number(
          "--length",
          message`Octets of IP; if not given, few enough for any tunnel.`,
          {
            min: 1,
            max: 65_535,
          },
        ),
        ttl: number("--ttl", message`TTL or hop limit; if not given, enough.`, {
          min: 1,
          max: 255,
        }),
        port: optional(option("--port", word("INTERFACE"), {
          description:
            message`The host port where it comes in, in whose network it is then; if not given, that of its source.`,
        })),
      }),
      (args) => async () => (await import("./explain.ts")).explain(args),
    ),
  },
  {
    name: "ping",
    brief:
      "Tries the way to a peer's workload: its agent, the tunnel, the workload, each with a time.",
    examples: ["psp-agent ping 10.2.0.1", "psp-agent ping 10.2.0.1 --from 10.1.0.1 --timeout 5s"],
    parser: map(
      object({
        ...target,
        output,
        from: optional(option("--from", word("ADDRESS"), {
          description: message`An address of this host; if not given, one that the agent finds.`,
        })),
        timeout: withDefault(
          option("--timeout", DURATION, {
            description: message`For each leg, at most 10s; default 2s.`,
          }),
          2000,
        ),
        dst: argument(word("ADDRESS"), { description: message`An address of a peer.` }),
      }),
      (args) => async () => (await import("./ping.ts")).ping(args),
    ),
  },
  {
    name: "events",
    brief: "Shows what happened in the last hour: tunnels, peers, refusals, rotations.",
    examples: ["psp-agent events --since 10m", "psp-agent events --follow --peer h2"],
    parser: map(
      object({
        ...target,
        output,
        follow: toggle("--follow", message`Then also what happens, until interrupted.`),
        since: optional(option("--since", DURATION, {
          description: message`Only what is not older than this, such as 10m.`,
        })),
        peer: optional(option("--peer", word("ID"), {
          description: message`Only those of one peer.`,
        })),
        kinds: multiple(option("--kind", KIND.parser, {
          description: message`Only those of this kind; may be repeated: ${KIND.words}.`,
        })),
      }),
      (args) => async () => (await import("./events.ts")).events(args),
    ),
  },
  {
    name: "pipes",
    brief: "Prints the packet path as a Mermaid flowchart.",
    examples: [
      "psp-agent pipes",
      "psp-agent pipes --topology h2n --sampling",
      "psp-agent pipes --live --config peers.json",
    ],
    parser: map(
      object({
        ...target,
        output,
        topology: withDefault(
          option("--topology", choice(["h2n", "n2h", "all"], { metavar: "PART" }), {
            description:
              message`Host to net (h2n), net to host (n2h), or all, which is the default.`,
          }),
          "all",
        ),
        sampling: toggle("--sampling", message`With the sampling pipes.`),
        live: toggle("--live", message`As configured, with the running agent's counters.`),
      }),
      (args) => async () => (await import("./pipes.ts")).pipes(args),
    ),
  },
  {
    name: "rotate",
    brief: "Rotates the master key of the running agent and rekeys its tunnels.",
    examples: ["psp-agent rotate --plan", "psp-agent rotate"],
    parser: map(
      object({
        ...target,
        output,
        plan: toggle("--plan", message`Only say what would happen.`),
      }),
      (args) => async () => (await import("./rotate.ts")).rotate(args),
    ),
  },
  {
    name: "rekey",
    brief: "Lets tunnels of the running agent have new SAs, soon and without a pause.",
    examples: [
      "psp-agent rekey h2",
      "psp-agent rekey 10.1.0.1 10.2.0.1",
      "psp-agent rekey 0x9a345678",
    ],
    parser: map(
      object({ ...target, output, ...tunnelsOf }),
      (args) => async () => (await import("./orders.ts")).rekey(args),
    ),
  },
  {
    name: "close",
    brief: "Ends tunnels of the running agent at once; the next packet opens a new one.",
    examples: [
      "psp-agent close h2",
      "psp-agent close 10.1.0.1 10.2.0.1",
      "psp-agent close 0x9a345678",
    ],
    parser: map(
      object({ ...target, output, ...tunnelsOf }),
      (args) => async () => (await import("./orders.ts")).close(args),
    ),
  },
  {
    name: "log-level",
    brief:
      "Says from which level on the running agent writes its log, or sets it until its next start.",
    examples: [
      "psp-agent log-level",
      "psp-agent log-level debug --category core",
      "psp-agent log-level info",
    ],
    parser: map(
      object({
        ...target,
        output,
        category: optional(option("--category", CATEGORY.parser, {
          description: message`Of one part of the agent; if not given, of all: ${CATEGORY.words}.`,
        })),
        level: optional(argument(LEVEL.parser, {
          description: message`From now on: ${LEVEL.words}.`,
        })),
      }),
      (args) => async () => (await import("./log_level.ts")).logLevel(args),
    ),
  },
  {
    name: "reload",
    brief: "Lets the running agent read its configuration again, and says what has changed.",
    examples: ["psp-agent reload --plan", "psp-agent reload"],
    parser: map(
      object({
        ...target,
        output,
        plan: toggle("--plan", message`Only say what would happen.`),
      }),
      (args) => async () => (await import("./reload.ts")).reload(args),
    ),
  },
  {
    name: "samples",
    brief: "Shows sampled packets as they come, until interrupted.",
    examples: ["psp-agent samples", "psp-agent samples --count 100 --pcapng samples.pcapng"],
    parser: map(
      object({
        ...target,
        output,
        pcapng: optional(option("--pcapng", FILE, {
          description: message`Write them to a file instead.`,
        })),
        count: number("--count", message`End after so many.`, { min: 1, max: 2 ** 31 }),
      }),
      (args) => async () => (await import("./samples.ts")).samples(args),
    ),
  },
  {
    name: "pki",
    brief: "Makes a CA and certificates for a trial.",
    examples: ["psp-agent pki init --dir pki", "psp-agent pki issue --dir pki --id h1"],
    commands: PKI,
  },
  {
    name: "pcap",
    brief: "Seals and opens packets in files, with the data plane's own code.",
    examples: ["psp-agent pcap open --keys k.json in.pcap out.pcap"],
    commands: PCAP,
  },
  {
    name: "selftest",
    brief: "Checks the data plane's code against known answers.",
    examples: ["psp-agent selftest --vectors tests/vectors/*.json --backend openssl"],
    parser: map(
      object({
        vectors: option("--vectors", FILE, { description: message`Files of known answers.` }),
        more: multiple(argument(FILE)),
        backend: withDefault(
          option(
            "--backend",
            choice(["auto", "openssl", "ipsec-mb", "vaes", "all"], { metavar: "NAME" }),
            {
              description: message`Crypto backend; all: each that this machine can use.`,
            },
          ),
          "auto",
        ),
        library,
      }),
      ({ vectors, more, ...args }) => async () =>
        (await import("./selftest.ts")).selftest({ ...args, files: [vectors, ...more] }),
    ),
  },
  {
    name: "config",
    brief: "Compares configurations, and reads those of other programs.",
    examples: [
      "psp-agent config diff --config peers.json new.json",
      "psp-agent config import psp_gateway.json > peers.json",
    ],
    commands: CONFIG,
  },
  {
    name: "doctor",
    brief: "Looks for what would keep the agent from working, and says what to do.",
    examples: [
      "psp-agent doctor",
      "psp-agent doctor --config peers.json",
      "psp-agent doctor --hardware --config peers.json --far p1,t0 > report.txt",
    ],
    parser: map(
      object({
        config: optional(config),
        json,
        library,
        hardware: toggle(
          "--hardware",
          message`Ask the device of plane "doca" what nobody has tried yet; no agent may run on it.`,
        ),
        far: optional(option("--far", word("INTERFACES"), {
          description:
            message`Two interfaces of this machine: one whose cable ends at the device's uplink, and any other.`,
        })),
        wait: withDefault(
          option("--wait", DURATION, {
            description: message`How long the workload may take to send a packet; default 1m.`,
          }),
          60_000,
        ),
      }),
      ({ hardware, far, wait, ...args }) => async () =>
        hardware
          ? (await import("./doctor_hardware.ts")).doctorHardware({ ...args, far, waitMs: wait })
          : (await import("./doctor.ts")).doctor(args),
    ),
  },
  {
    name: "man",
    brief: "Prints the manual page.",
    examples: ["psp-agent man > psp-agent.1"],
    parser: map(object({}), () => async () => (await import("./man.ts")).man()),
  },
  {
    name: "schema",
    brief:
      "Prints the JSON Schema of what the API answers and of what commands print with -o json.",
    examples: ["psp-agent schema > psp-agent.schema.json"],
    parser: map(object({}), () => async () => (await import("./schema.ts")).schema()),
  },
  {
    name: "version",
    brief: "Prints the version.",
    examples: ["psp-agent version", "psp-agent version --json"],
    parser: map(
      object({ json }),
      (args) => async () => (await import("./version.ts")).version(args),
    ),
  },
];
