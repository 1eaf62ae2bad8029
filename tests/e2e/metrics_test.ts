// SPDX-License-Identifier: Apache-2.0

/** What Prometheus makes of the metrics, and of the alerts and the dashboard in deploy/. */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { STATUS } from "../support/agent_config.ts";
import { mustRun, run } from "../support/netns.ts";
import { Prometheus } from "../support/prometheus.ts";
import { story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const DEPLOY = new URL("../../deploy/", import.meta.url).pathname;

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly { readonly alert: string; readonly expr: string }[];
  }[];
}

const RULES = (parse(Deno.readTextFileSync(`${DEPLOY}prometheus/alerts.yaml`)) as Rules).groups
  .flatMap(({ rules }) => rules);

/** Queries of the dashboard as Grafana sends them. */
const QUERIES: readonly string[] = JSON.parse(
  Deno.readTextFileSync(`${DEPLOY}grafana/psp-agent.json`),
).panels.flatMap(({ targets = [] }: { targets?: { expr: string }[] }) =>
  targets.map(({ expr }) => expr.replaceAll("$__rate_interval", "5s").replaceAll("$instance", ".*"))
);

Deno.test("every alert fires for what it is for, and none on a host that is well", async () => {
  await mustRun(["promtool", "check", "rules", `${DEPLOY}prometheus/alerts.yaml`]);
  await mustRun(["promtool", "test", "rules", `${DEPLOY}prometheus/alerts_test.yaml`]);
  const tested = Deno.readTextFileSync(`${DEPLOY}prometheus/alerts_test.yaml`);
  for (const { alert } of RULES) assert.ok(tested.includes(`"${alert}"`), `${alert} is not tested`);
});

story("promtool finds nothing to say about the metrics", {}, async ({ start }) => {
  const h1 = await start("h1");
  const { body } = await h1.get("/metrics");
  const { code, stdout, stderr } = await run(["promtool", "check", "metrics"], { stdin: body });
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "", stderr: "" });
});

story("metrics are all there from the start, and none comes with traffic", {}, async (stage) => {
  const { h1 } = await stage.startBoth();
  const families = async () => {
    const { body } = await h1.get("/metrics");
    return body.match(/^# TYPE .*/gm);
  };
  const before = await families();
  const { received, text } = await ping(stage.world, { in: "v1", to: stage.world.vip("h2") });
  assert.equal(received, 1, text);
  assert.deepEqual(await families(), before);
  const { body } = await h1.get("/metrics");
  assert.match(body, /^psp_agent_first_packet_seconds_count 1$/m);
  assert.match(body, /^psp_agent_exchange_seconds_count 1$/m);
  assert.match(body, /^psp_agent_hold_packets 0$/m);
  assert.match(body, /^psp_agent_oldest_key_age_seconds\{direction="tx"\} [\d.]+$/m);
  assert.match(body, /^psp_agent_database_bytes\{database="agent\.db"\} [1-9]\d+$/m);
  // Of a peer and of a network as well, as of all of them, once its entries were asked.
  for (
    const labels of [
      'peer_tx_packets_total{peer="h2",network=""}',
      'network_rx_packets_total{network=""}',
    ]
  ) {
    const one = `psp_agent_${labels} 1\n`;
    await eventually(async () => (await h1.get("/metrics")).body.includes(one), {
      what: one,
    });
  }
});

story(
  "a real Prometheus knows every query of the dashboard, and no alert fires",
  {},
  async (stage) => {
    const { world } = stage;
    await stage.startBoth();
    const prometheus = await Prometheus.start(world, "h1", STATUS);
    await ping(world, { in: "v1", to: world.vip("h2") });
    await prometheus.until("psp_agent_first_packet_seconds_count > 0");
    await prometheus.until("rate(psp_agent_tx_packets_total[5s])");
    assert.deepEqual(await prometheus.query("up != 1"), []);
    assert.ok(QUERIES.length > 20);
    const known = new Set(
      (await prometheus.query('{__name__=~".+"}')).map(({ metric }) => metric.__name__),
    );
    for (const expr of [...QUERIES, ...RULES.map(({ expr }) => expr)]) {
      await prometheus.query(expr);
      for (const [name] of expr.matchAll(/\b(psp_agent|process)_\w+/g)) {
        assert.ok(known.has(name), `${name} of ${expr} is no metric of the agent`);
      }
    }
    assert.deepEqual(await prometheus.query('ALERTS{alertstate="firing"}'), []);
  },
);
