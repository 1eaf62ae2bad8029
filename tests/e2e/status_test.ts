// SPDX-License-Identifier: Apache-2.0

/** What an operator sees of a running agent from the command line. */
import assert from "node:assert/strict";
import { AGENT_BIN, agentCommand } from "../support/agent_process.ts";
import { judge } from "../support/json_schema.ts";
import { kill, run } from "../support/netns.ts";
import { PLANE } from "../support/standin.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

story("the status says whether the ingress guard stands", {}, async ({ start }) => {
  const h1 = await start("h1");
  const state = PLANE === "soft" ? "stands" : "not-applicable";
  const { ports } = await h1.status();
  const guards = ports.map(({ name, guard, guardReason }) => [name, guard, guardReason]);
  assert.deepEqual(guards, [["uplink", state, ""], ["host", state, ""]]);
  assert.equal(await h1.counter("guard-absent"), 0);
});

story("the commands of an operator show the tunnel", {}, async ({ world, start, startBoth }) => {
  const { h2 } = await startBoth();
  const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") });
  assert.equal(received, 1, text);
  const expected: readonly (readonly [readonly string[], RegExp])[] = [
    [["status"], /h2/],
    [["status", "--json"], /"h2"/],
    [["status", "--check"], /h2 .* up /],
    [["wait", "--peer", "h2"], /^$/],
    [["peers"], /h2 .* up /],
    [["peers", "-o", "json"], /"state": "up"/],
    [["sas"], /0x[0-9a-f]{8} +tx +current +h2 /],
    [["sas", "-o", "json", "--direction", "rx"], /"direction": "rx",\n +"state": "current"/],
    [["drops"], /Nothing was dropped/],
    [["show", "h2"], /A tunnel is up/],
    [["show", world.vip("h2")], /A tunnel is up/],
    [["metrics"], /^psp_agent_peer_up\{peer="h2"\} 1$/m],
    [
      ["diag", "--config", world.path("peers-h1.json")],
      /"kind": "tunnel-opened"[^]*"log": \[[^]*Ready/,
    ],
    [["explain", world.vip("h1"), world.vip("h2")], /The packet passes/],
    [["tunnels"], new RegExp(`${world.vip("h1")} +${world.vip("h2")} +up`)],
    [["pipes", "--live"], /EGR_ACL/],
    [["check", "--config", world.path("peers-h1.json")], /"id": "h1"/],
  ];
  for (const [args, shows] of expected) {
    const { code, stdout, stderr } = await agentCommand(world, "h1", args);
    assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
    assert.match(stdout, shows, args.join(" "));
  }

  const { $defs: defs } = JSON.parse((await agentCommand(world, "h1", ["schema"])).stdout);
  const [v1, v2] = [world.vip("h1"), world.vip("h2")];
  await ping(world, { in: "v1", to: "10.250.0.9" }, { wait: 0.3 });
  const printed: readonly (readonly string[])[] = [
    ["status"],
    ["tunnels"],
    ["peers"],
    ["sas"],
    ["drops"],
    ["show", "h2"],
    ["explain", v1, v2],
    ["ping", v2],
    ["events"],
    ["pipes"],
    ["rotate", "--plan"],
    ["log-level"],
  ];
  for (const [name = "", ...rest] of printed) {
    const { code, stdout, stderr } = await agentCommand(world, "h1", [name, ...rest, "-o", "json"]);
    assert.equal(code, 0, `${name}: ${stderr}`);
    const values = name === "events" ? stdout.trim().split("\n") : [stdout];
    assert.ok(stdout.length > 10, name);
    for (const value of values) {
      assert.deepEqual(judge(JSON.parse(value), defs[`command ${name}`], { defs }), [], name);
    }
  }

  // What is not there is no empty list, and is guessed at.
  const mistaken: readonly (readonly [readonly string[], RegExp])[] = [
    [["tunnels", "--peer", "h22"], /no peer "h22": did you mean "h2"\?/],
    [["sas", "--peer", "h22"], /did you mean "h2"\?/],
    [["drops", "--peer", "nobody"], /its peers are h2\n/],
    [["events", "--peer", "h22"], /did you mean "h2"\?/],
    [["show", "h22"], /did you mean "h2"\?/],
    [["drops", "--reason", "nopeer"], /did you mean "no-peer"\?/],
  ];
  for (const [args, says] of mistaken) {
    const { code, stdout, stderr } = await agentCommand(world, "h1", args);
    assert.deepEqual([code, stdout], [1, ""], args.join(" "));
    assert.match(stderr, says, args.join(" "));
  }
  // An address of a peer that nobody has asked for yet.
  const idle = await agentCommand(world, "h1", ["show", world.vip("h2").replace(/\d+$/, "99")]);
  assert.equal(idle.code, 0, idle.stderr);
  assert.match(idle.stdout, /^h2 [^]*\nNo tunnels\.\n/m);
  const none = await agentCommand(world, "h1", ["drops", "--reason", "rx-replay"]);
  assert.match(none.stdout, /^Of the last dropped packets that the agent knows none is such a one/);

  // Its socket may be named, from any namespace; to another user it says whose it is.
  const bySocket = [AGENT_BIN, "status", "--address", world.path("h1.sock")];
  assert.match((await run(bySocket)).stdout, /^agent +spiffe:\/\/psp-agent\.local\/psp\/h1,/);
  const foreign = await run(["setpriv", "--reuid", "65534", "--clear-groups", ...bySocket]);
  assert.equal(foreign.code, 4, foreign.stderr);
  assert.match(foreign.stderr, /that socket is another user's/);

  await h2.end("SIGTERM");
  const gone = await agentCommand(world, "h2", ["status"]);
  assert.equal(gone.code, 4);
  const waited = await agentCommand(world, "h2", ["wait", "--timeout", "1s"]);
  assert.equal(waited.code, 4, waited.stderr);
  assert.equal(gone.stderr.trim().split("\n").length, 1, gone.stderr);
  await start("h2");
});

story("commands at an agent that hangs end in time, and say so", {}, async ({ world, start }) => {
  const h1 = await start("h1", { change: (config) => config.status.admin = true });
  kill(h1.pid, "SIGSTOP");
  // What has no answer waits some seconds for one; all of them at the same time.
  await Promise.all([
    ["wait", "--timeout", "1s"],
    ["status"],
    ["tunnels"],
    ["explain", "10.1.0.1", "10.2.0.1"],
    ["events", "--follow"],
    ["samples"],
    ["reload"],
    ["metrics"],
  ].map(async (args) => {
    const { code, stdout, stderr } = await agentCommand(world, "h1", args);
    assert.deepEqual([code, stdout], [4, ""], `${args}: ${stderr}`);
    assert.match(stderr, /^psp-agent: Cannot ask the agent at .*: it does not answer in time\n$/);
  }));
  const { stdout } = await agentCommand(world, "h1", ["diag"]);
  assert.match(JSON.parse(stdout).log.missing, /it does not answer in time$/);
  kill(h1.pid, "SIGCONT");
  assert.equal((await agentCommand(world, "h1", ["wait"])).code, 0);
});

story("an operator rekeys a tunnel, closes it, and hears more of one part", {}, async (stage) => {
  const { world, startBoth } = stage;
  const { h1 } = await startBoth({ change: (config) => config.status.admin = true });
  const [v1, v2] = [world.vip("h1"), world.vip("h2")];
  const command = async (...args: string[]) => await agentCommand(world, "h1", args);
  assert.equal((await ping(world, { in: "v1", to: v2 })).received, 1);

  const levels = await command("log-level", "debug", "--category", "core");
  assert.match(levels.stdout, /^core +debug$/m, levels.stderr);
  const rekeyed = await command("rekey", v1, v2);
  assert.deepEqual([rekeyed.code, rekeyed.stdout], [0, "Rekeying 1 tunnel\n"], rekeyed.stderr);
  await eventually(async () => await h1.counter("rekeys") === 1, { what: "the rekey" });
  await h1.heard("A tunnel takes a step");
  assert.equal((await ping(world, { in: "v1", to: v2 })).received, 1);

  const closed = await command("close", "h2", "-o", "json");
  assert.deepEqual(JSON.parse(closed.stdout), { tunnels: 1, message: "Closed 1 tunnel" });
  const again = await command("close", "h2");
  assert.deepEqual([again.code, again.stdout], [1, "No such tunnel\n"]);
  assert.match((await command("events")).stdout, /A tunnel was closed: .*operator/);
  assert.equal((await ping(world, { in: "v1", to: v2 })).received, 1);
  assert.equal((await command("rekey", v1, "h2")).code, 2);
});

story("a packet that nobody takes is among the drops, with its addresses", {}, async (stage) => {
  const { world, startBoth } = stage;
  const { h1 } = await startBoth();
  await ping(world, { in: "v1", to: "10.250.0.9" }, { wait: 0.3 });
  const command = async (...args: string[]) => await agentCommand(world, "h1", args);
  const { packets, drops } = await eventually(async () => {
    const said = JSON.parse((await command("drops", "-o", "json")).stdout);
    return said.drops?.length > 0 && said;
  }, { what: "the packet among the drops" });
  assert.equal(packets["no-peer"], String(await h1.counter("drop-no-peer")));
  const { reason, src, dst } = drops[0];
  assert.deepEqual([reason, src, dst], ["no-peer", world.vip("h1"), "10.250.0.9"]);
  assert.match((await command("drops", "--reason", "no-peer")).stdout, /10\.250\.0\.9/);
});

story("a ping tells the legs of the way apart", {}, async ({ world, startBoth }) => {
  const { h2 } = await startBoth();
  const command = async (...args: string[]) => await agentCommand(world, "h1", args);
  const well = await command("ping", world.vip("h2"));
  assert.equal(well.code, 0, well.stdout + well.stderr);
  assert.match(well.stdout, /^control +ok +[0-9.]+ ms .*\ntunnel +ok .*\nworkload +ok .*h2: /m);
  assert.equal((await command("ping", "10.250.0.9")).code, 5);
  const foreign = await command("ping", world.vip("h2"), "--from", "10.250.0.9");
  assert.equal(foreign.code, 5);
  assert.match(foreign.stdout, /^tunnel +failed .*10\.250\.0\.9 is not an address of this host/m);
  await h2.end("SIGTERM");
  const gone = await command("ping", world.vip("h2"), "-o", "json");
  assert.equal(gone.code, 5);
  const { legs } = JSON.parse(gone.stdout);
  assert.deepEqual([legs[0].name, legs[0].verdict], ["control", "failed"]);
});

story(
  "what is watched is printed again and again, and nothing but text where nobody looks",
  {},
  async (stage) => {
    const { world, startBoth } = stage;
    await startBoth();
    const wanted = { status: /^state +running$/gm, peers: /^h2 /gm, tunnels: /^No tunnels\.$/gm };
    for (const [name, line] of Object.entries(wanted)) {
      const child = new Deno.Command("ip", {
        args: ["netns", "exec", world.ns("h1"), AGENT_BIN, name, "--watch"],
        env: { PSP_AGENT_SOCKET: world.path("h1.sock") },
        stdout: "piped",
      }).spawn();
      let shown = "";
      for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
        shown += text;
        if ((shown.match(line) ?? []).length >= 2) break;
      }
      child.kill("SIGTERM");
      await child.status;
      assert.ok((shown.match(line) ?? []).length >= 2, `${name}: ${shown}`);
      assert.ok(!shown.includes("\x1b"), name);
    }
  },
);

story("whoever watches an agent sees it go, and come back", {}, async ({ world, start }) => {
  const h1 = await start("h1");
  await using watcher = new Deno.Command(AGENT_BIN, {
    args: ["status", "--watch", "--address", world.path("h1.sock")],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let [shown, said] = ["", ""];
  const read = async (
    from: ReadableStream<Uint8Array<ArrayBuffer>>,
    take: (text: string) => void,
  ) => {
    for await (const text of from.pipeThrough(new TextDecoderStream())) take(text);
  };
  const reading = Promise.all([
    read(watcher.stdout, (text) => shown += text),
    read(watcher.stderr, (text) => said += text),
  ]);
  const runs = () => shown.match(/^state +running$/gm)?.length ?? 0;
  await eventually(() => runs() > 0, { what: "the agent" });
  await h1.end("SIGTERM");
  await eventually(() => said.includes("Cannot ask the agent"), { what: "its end" });
  const before = runs();
  await start("h1");
  await eventually(() => runs() > before, { what: "the agent again", describe: () => said });
  watcher.kill("SIGTERM");
  await reading;
});

story("who asks for samples where none are taken is told at once", {}, async (stage) => {
  const { world, start } = stage;
  await start("h1");
  const file = world.path("none.pcapng");
  for (const args of [["samples"], ["samples", "--pcapng", file]]) {
    const { code, stderr } = await agentCommand(world, "h1", args);
    assert.equal(code, 5);
    assert.match(stderr, /takes no samples: set psp\.sample_rate_log2/);
  }
  await assert.rejects(Deno.stat(file), Deno.errors.NotFound, "no file is left behind");
});

story("what a rotation would do is told without any right to rotate", {}, async (stage) => {
  const { world, startBoth } = stage;
  await startBoth();
  const command = async (...args: string[]) => await agentCommand(world, "h1", args);
  const plan = await command("rotate", "--plan");
  assert.deepEqual([plan.code, plan.stderr], [0, ""]);
  assert.match(plan.stdout, /^Would rotate/);
  const refused = await command("rotate");
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /status\.admin is not set/);
});

story("both ends tell who opened a tunnel, and the next start still knows", {}, async (stage) => {
  const { world, start, startBoth } = stage;
  const { h1 } = await startBoth();
  const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") });
  assert.equal(received, 1, text);
  const told = async (host: "h1" | "h2", ...args: string[]) => {
    const { code, stdout, stderr } = await agentCommand(world, host, ["events", ...args]);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const [v1, v2] = [world.vip("h1"), world.vip("h2")];
  assert.match(
    await told("h1"),
    new RegExp(`A tunnel is up: ${v1} > ${v2}, peer h2, as initiator`),
  );
  assert.match(
    await told("h2"),
    new RegExp(`A tunnel is up: ${v2} > ${v1}, peer h1, as responder`),
  );
  const lines = (await told("h1", "--kind", "tunnel-opened", "-o", "json")).trim().split("\n");
  assert.equal(lines.length, 1);
  const { kind, peer, txSpi, durationMs } = JSON.parse(lines[0] ?? "");
  assert.deepEqual([kind, peer, typeof txSpi], ["tunnel-opened", "h2", "number"]);
  assert.ok(durationMs > 0);
  await h1.heard("A tunnel is up");

  await h1.end("SIGTERM");
  await start("h1");
  assert.match(await told("h1"), /The agent is stopping: SIGTERM\n(.*\n)*?.*The agent is ready\n/);
  assert.match(await told("h1", "--kind", "tunnel-opened"), /as initiator/);
});
