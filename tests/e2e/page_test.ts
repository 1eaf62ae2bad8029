// SPDX-License-Identifier: Apache-2.0

/** The page in a headless Chromium, on a running host. Its pictures are kept in build/test/page for people to look at. */
import assert from "node:assert/strict";
import { STATUS } from "../support/agent_config.ts";
import { Browser, type Heard } from "../support/browser.ts";
import { openRelay } from "../support/ns_relay.ts";
import { buildPage } from "../support/page.ts";
import { type Stage, story } from "../support/story.ts";
import { ping } from "../support/traffic.ts";
import { eventually } from "../support/wait.ts";

const PICTURES = new URL("../../build/test/page/", import.meta.url).pathname;
const VIEWS = ["now", "pipes", "tunnels", "explain", "samples", "events"] as const;
const PHONE = { width: 400, height: 850 };
const TALL = { width: 1300, height: 1000, dark: false };

/** What each view shows when it is there. */
const TEXTS = {
  now: /All is well/,
  pipes: /PSP_DECRYPT/,
  tunnels: /Peers/,
  explain: /From/,
  samples: /Sampling is off/,
  events: /A tunnel is up/,
} as const satisfies Readonly<Record<typeof VIEWS[number], RegExp>>;

interface Reader {
  readonly browser: Browser;
  readonly url: string;
  readonly heard: Heard;
}

/** A browser at the page of h1. It must not have complained, nor asked anybody else, in the end. */
async function reading({ world }: Stage, read: (reader: Reader) => Promise<void>): Promise<void> {
  await buildPage();
  Deno.mkdirSync(PICTURES, { recursive: true });
  const socket = world.path("relay");
  await using relay = await openRelay({ ns: world.ns("h1"), to: STATUS, socket });
  await using browser = await Browser.start();
  const heard = await browser.listen();
  await browser.look(TALL);
  const url = `http://${relay.address}/`;
  await read({ browser, url, heard });
  assert.deepEqual(heard.complaints, []);
  assert.ok(heard.requests.length > 3);
  assert.deepEqual(heard.requests.filter((one) => !one.startsWith(url)), []);
}

/** Until the page's text has this in it; the text. */
async function shows(browser: Browser, text: RegExp): Promise<string> {
  let last = "";
  await eventually(async () => {
    last = String(await browser.evaluate("document.body.innerText"));
    return text.test(last);
  }, { what: `${text} on the page`, describe: () => last });
  return last;
}

story("the page shows what happens on the host, on each of its views", {}, async (stage) => {
  const { world, startBoth } = stage;
  await startBoth();
  await reading(stage, async ({ browser, url }) => {
    await browser.load(`${url}#now`);
    await shows(browser, /All is well\. Tunnels that are up: 0\. Peers: 1/);
    await browser.load(`${url}#events`);
    await shows(browser, /The agent is ready/);

    const { received, text } = await ping(world, { in: "v1", to: world.vip("h2") }, { count: 5 });
    assert.equal(received, 5, text);
    const opened = `${world.vip("h1")} to ${world.vip("h2")}, peer h2, as initiator`;
    await shows(browser, new RegExp(`A tunnel is up: ${opened}`));
    await browser.screenshot(`${PICTURES}events.png`);

    await browser.load(`${url}#now`);
    await shows(browser, /All is well\. Tunnels that are up: 1/);
    await ping(world, { in: "v1", to: world.vip("h2") }, { count: 30, interval: 0.1 });
    await browser.screenshot(`${PICTURES}now.png`);
    await browser.look({ ...TALL, dark: true });
    await browser.screenshot(`${PICTURES}now-dark.png`);
    await browser.look(TALL);

    await browser.load(`${url}#pipes`);
    await shows(browser, /PSP_DECRYPT/);
    const pinging = ping(world, { in: "v1", to: world.vip("h2") }, { count: 30, interval: 0.1 });
    await eventually(
      async () =>
        await browser.evaluate("document.querySelectorAll('.edge.busy').length") as number >= 4,
      { what: "edges on which packets pass" },
    );
    await browser.screenshot(`${PICTURES}pipes.png`);
    await pinging;

    await browser.load(`${url}#tunnels`);
    await shows(browser, new RegExp(`${world.vip("h2")}\\s+up`));
    await browser.evaluate("document.querySelector('button.link').click()");
    await shows(browser, /this host asked/);
    await browser.screenshot(`${PICTURES}tunnels.png`);
    await browser.evaluate(`{
      const input = document.querySelector("input[type=search]");
      input.value = "10.99.";
      input.dispatchEvent(new InputEvent("input", { bubbles: true }));
    }`);
    await shows(browser, /No tunnels/);
  });
});

story("the page draws what would become of a packet", {}, async (stage) => {
  const { world, startBoth } = stage;
  await startBoth();
  await reading(stage, async ({ browser, url, heard }) => {
    await browser.load(`${url}#events`);
    await shows(browser, /The agent is ready/);
    await browser.load(`${url}#explain`);
    await shows(browser, /From/);
    const ask = (dst: string) =>
      browser.evaluate(`{
        const fill = (name, value) => {
          const input = document.querySelector("input[name=" + name + "]");
          input.value = value;
          input.dispatchEvent(new InputEvent("input", { bubbles: true }));
        };
        fill("src", "${world.vip("h1")}");
        setTimeout(() => {
          fill("dst", "${dst}");
          setTimeout(() => document.querySelector("form button").click(), 50);
        }, 50);
      }`);
    await ask("10.77.0.1");
    await shows(browser, /dropped, and counted as no-peer[^]*No peer owns 10\.77\.0\.1/);
    const asked = () => heard.requests.filter((url) => url.includes("/Explain")).length;
    const [before, looks] = [asked(), heard.requests.length];
    assert.ok(before >= 1);
    // Some seconds of the page: it looks at the host each second.
    await eventually(() => heard.requests.length > looks + 8, { what: "the page to go on" });
    assert.equal(asked(), before, "nothing happened, and it was asked all the same");
    await ask(world.vip("h2"));
    await shows(browser, /waits for a tunnel/);
    await ping(world, { in: "v1", to: world.vip("h2") });
    // The event of the new tunnel has it asked anew.
    await shows(browser, /The packet passes/);
    const passed = "[...document.querySelectorAll('.node.passed')].map((n) => n.ariaLabel).join()";
    assert.equal(await browser.evaluate(passed), "ROOT,EGR_ACL,p0");
    await shows(browser, /h2 INGR_ACL\s+0x\w+ lets 10\.1\.0\.1 in to 10\.2\.0\.1/);
    await browser.screenshot(`${PICTURES}explain.png`);
  });
});

story("the page says what is wrong, and what to do about it", {}, async (stage) => {
  const { world, startBoth } = stage;
  const { h2 } = await startBoth();
  await reading(stage, async ({ browser, url }) => {
    await browser.load(`${url}#now`);
    await shows(browser, /All is well/);
    await h2.end("SIGKILL");
    const pinging = ping(world, { in: "v1", to: world.vip("h2") }, { count: 60, interval: 0.1 });
    const text = await shows(browser, /Exchanges with h2 fail: .*\n?.*doctor/);
    assert.match(text, /Dropped since the start\s+Reason\s+Packets/);
    await browser.screenshot(`${PICTURES}failing.png`);
    await pinging;
  });
});

story("the page is for keyboards too", {}, async (stage) => {
  await stage.startBoth();
  await reading(stage, async ({ browser, url }) => {
    await browser.load(`${url}#now`);
    await shows(browser, /All is well/);
    // From link to link, and into each view by Enter.
    for (const view of VIEWS) {
      await browser.press("Tab");
      assert.equal(await browser.evaluate("document.activeElement.hash"), `#${view}`);
      await browser.press("Enter");
      await eventually(
        async () =>
          await browser.evaluate("document.querySelector('[aria-current]').hash") === `#${view}`,
        { what: `the view ${view}` },
      );
    }
    await browser.load(`${url}#pipes`);
    await shows(browser, /PSP_DECRYPT/);
    await browser.evaluate("document.querySelector('[aria-label=ROOT][role=button]').focus()");
    await browser.press("Enter");
    await shows(browser, /ROOT: \d+ entries/);
  });
});

story("samples show their headers to whoever has the token", {}, async (stage) => {
  const { world, startBoth } = stage;
  const [path, token] = [world.path("token"), "0123456789abcdef"];
  await Deno.writeTextFile(path, token, { mode: 0o600 });
  await startBoth({
    change: (config) => {
      config.psp = { sample_rate_log2: 1 };
      Object.assign(config.status, { token_file: path, loopback: "open" });
    },
  });
  await reading(stage, async ({ browser, url, heard }) => {
    await browser.load(`${url}#samples`);
    await shows(browser, /Samples show what tenants send/);
    await browser.evaluate(`{
      const input = document.querySelector("input[type=password]");
      input.value = "${token}";
      input.dispatchEvent(new InputEvent("input", { bubbles: true }));
      setTimeout(() => document.querySelector("form button").click(), 50);
    }`);
    await shows(browser, /None came yet/);
    await ping(world, { in: "v1", to: world.vip("h2") }, { count: 40, interval: 0.02 });
    await shows(browser, /egress\s+10\.1\.0\.1\s+10\.2\.0\.1\s[^]*IPv4, ICMP echo request/);
    await browser.evaluate("document.querySelector('td button.link').click()");
    await shows(browser, /TTL\s+64[^]*type\s+echo re[^]*octets of 84\s+0000 {2}45 00/);
    assert.deepEqual(await browser.obstacles(), []);
    await browser.screenshot(`${PICTURES}samples-decoded.png`);
    await browser.look({ ...TALL, dark: true });
    assert.deepEqual(await browser.obstacles(), []);
    await browser.screenshot(`${PICTURES}samples-decoded-dark.png`);
    // What was refused before the token was there is an answer, and no error of the network.
    assert.deepEqual(heard.complaints, []);
  });
});

story("nothing on the page keeps anybody from using it", {}, async (stage) => {
  const { world, startBoth } = stage;
  await startBoth();
  await ping(world, { in: "v1", to: world.vip("h2") });
  await reading(stage, async ({ browser, url }) => {
    for (const dark of [false, true]) {
      await browser.look({ ...TALL, dark });
      for (const view of VIEWS) {
        await browser.load(`${url}#${view}`);
        await shows(browser, TEXTS[view]);
        if (view === "tunnels") {
          await shows(browser, /10\.2\.0\.1\s+up/);
          await browser.evaluate("document.querySelector('td button.link').click()");
          await shows(browser, /this host asked/);
        }
        assert.deepEqual(await browser.obstacles(), [], `${view}, ${dark ? "dark" : "light"}`);
        if (dark) await browser.screenshot(`${PICTURES}${view}-dark.png`);
        // On a telephone tables and pictures are scrolled, and never the whole page.
        await browser.look({ ...PHONE, dark });
        const fits = "document.documentElement.scrollWidth <= innerWidth";
        await eventually(() => browser.evaluate(fits), { what: `${view} to be narrow enough` });
        await browser.screenshot(`${PICTURES}${view}-phone${dark ? "-dark" : ""}.png`);
        await browser.look({ ...TALL, dark });
      }
    }
  });
});
