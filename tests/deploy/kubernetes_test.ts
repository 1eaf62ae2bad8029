// SPDX-License-Identifier: Apache-2.0

/** The manifests say what they must, in the form that the API takes. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import * as v from "valibot";
import { parse, parseAllDocuments } from "yaml";
import { parseConfig } from "../../src/config/load.ts";
import { VERSION } from "../../src/model/version.ts";
import { renderChart, strict, type Tree } from "./chart.ts";

const FOLDER = new URL("../../deploy/kubernetes/", import.meta.url);

/** Strict: a key that is not of the API is an error. Only what our manifests use. */
const text = v.string();
const labels = v.record(text, text);
const metadata = v.strictObject({
  name: text,
  namespace: v.optional(text),
  labels: v.optional(labels),
});
const capabilities = v.strictObject({ drop: v.array(text), add: v.array(text) });
const probe = v.strictObject({
  httpGet: v.strictObject({ host: text, path: text, port: v.number() }),
  periodSeconds: v.optional(v.number()),
  timeoutSeconds: v.optional(v.number()),
  initialDelaySeconds: v.optional(v.number()),
  failureThreshold: v.optional(v.number()),
});
const container = v.strictObject({
  name: text,
  image: text,
  imagePullPolicy: v.optional(v.picklist(["Always", "IfNotPresent", "Never"])),
  command: v.optional(v.array(text)),
  args: v.optional(v.array(text)),
  env: v.optional(v.array(v.strictObject({
    name: text,
    value: v.optional(text),
    valueFrom: v.optional(v.strictObject({ fieldRef: v.strictObject({ fieldPath: text }) })),
  }))),
  securityContext: v.strictObject({
    runAsNonRoot: v.optional(v.boolean()),
    runAsUser: v.number(),
    runAsGroup: v.optional(v.number()),
    readOnlyRootFilesystem: v.optional(v.boolean()),
    allowPrivilegeEscalation: v.optional(v.boolean()),
    privileged: v.optional(v.boolean()),
    capabilities,
  }),
  startupProbe: v.optional(probe),
  livenessProbe: v.optional(probe),
  readinessProbe: v.optional(probe),
  resources: v.optional(v.strictObject({
    requests: v.optional(labels),
    limits: v.optional(labels),
  })),
  volumeMounts: v.array(v.strictObject({
    name: text,
    mountPath: text,
    readOnly: v.optional(v.boolean()),
  })),
});
const podSpec = v.strictObject({
  hostNetwork: v.literal(true),
  dnsPolicy: v.optional(text),
  automountServiceAccountToken: v.literal(false),
  terminationGracePeriodSeconds: v.number(),
  imagePullSecrets: v.optional(v.array(v.strictObject({ name: text }))),
  nodeSelector: v.optional(labels),
  securityContext: v.optional(v.strictObject({
    fsGroup: v.number(),
    seccompProfile: v.strictObject({ type: v.picklist(["RuntimeDefault", "Localhost"]) }),
  })),
  initContainers: v.optional(v.array(container)),
  containers: v.tuple([container]),
  volumes: v.array(v.union([
    v.strictObject({ name: text, configMap: v.strictObject({ name: text }) }),
    v.strictObject({ name: text, hostPath: v.strictObject({ path: text, type: text }) }),
  ])),
});
const kinds = {
  Namespace: v.strictObject({ apiVersion: v.literal("v1"), kind: text, metadata }),
  ConfigMap: v.strictObject({ apiVersion: v.literal("v1"), kind: text, metadata, data: labels }),
  Pod: v.strictObject({ apiVersion: v.literal("v1"), kind: text, metadata, spec: podSpec }),
  DaemonSet: v.strictObject({
    apiVersion: v.literal("apps/v1"),
    kind: text,
    metadata,
    spec: v.strictObject({
      selector: v.strictObject({ matchLabels: labels }),
      updateStrategy: v.strictObject({
        type: v.picklist(["RollingUpdate", "OnDelete"]),
        rollingUpdate: v.optional(v.strictObject({ maxUnavailable: v.number() })),
      }),
      template: v.strictObject({
        metadata: v.strictObject({ labels, annotations: v.optional(labels) }),
        spec: podSpec,
      }),
    }),
  }),
};
type Pod = v.InferOutput<typeof podSpec>;

/** Throws what is wrong with a document of one of our kinds. */
function check<K extends keyof typeof kinds>(
  kind: K,
  document: Tree | undefined,
): v.InferOutput<(typeof kinds)[K]> {
  assert.equal(document?.["kind"], kind);
  const result = v.safeParse(kinds[kind], document);
  assert.ok(
    result.success,
    result.issues?.map((i) => `${v.getDotPath(i)}: ${i.message}`).join("\n"),
  );
  return result.output as v.InferOutput<(typeof kinds)[K]>;
}

function documents(file: string): Tree[] {
  const read = parseAllDocuments(Deno.readTextFileSync(new URL(file, FOLDER)), strict);
  assert.ok(Array.isArray(read));
  return read.map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS() as Tree;
  });
}

/** Of either plane; the lists themselves: rights_test.ts. */
const RIGHTS = {
  soft: ["NET_RAW", "NET_ADMIN", "NET_BIND_SERVICE"],
  doca: ["NET_RAW", "NET_ADMIN", "SYS_RAWIO", "IPC_LOCK"],
};

/** What holds however the agent is deployed. */
function assertSound(pod: Pod, plane: keyof typeof RIGHTS = "soft"): void {
  const [agent] = pod.containers;
  const context = agent.securityContext;
  assert.deepEqual(context.capabilities, { drop: ["ALL"], add: RIGHTS[plane] });
  assert.equal(context.privileged ?? false, plane === "doca");
  if (plane === "doca") {
    const device = agent.volumeMounts.find(({ mountPath }) => mountPath === "/dev/infiniband");
    const volume = pod.volumes.find(({ name }) => name === device?.name);
    assert.ok(volume !== undefined && "hostPath" in volume);
    assert.equal(volume.hostPath.path, "/dev/infiniband");
    const { requests, limits } = agent.resources ?? {};
    assert.equal(requests?.["hugepages-2Mi"], "1Gi");
    // Kubernetes takes no other.
    assert.equal(limits?.["hugepages-2Mi"], requests?.["hugepages-2Mi"]);
  }
  assert.deepEqual([context.runAsNonRoot, context.readOnlyRootFilesystem], [true, true]);
  const names = pod.volumes.map(({ name }) => name);
  for (const { name } of agent.volumeMounts) assert.ok(names.includes(name), name);
  // It unpacks into the only directory that can be written to.
  const state = agent.env?.find(({ name }) => name === "STATE_DIRECTORY")?.value ?? "";
  const mount = agent.volumeMounts.find(({ mountPath }) => mountPath === state);
  assert.notEqual(mount?.readOnly ?? false, true);
  assert.equal(mount?.name, "state");
  // An object of the API is the same for the pods of all nodes: no key may be in one.
  for (const volume of pod.volumes) {
    assert.ok("hostPath" in volume || volume.name === "config", JSON.stringify(volume));
  }
}

for (const plane of ["soft", "doca"] as const) {
  const file = plane === "soft" ? "daemonset.yaml" : "daemonset-doca.yaml";
  Deno.test(`the DaemonSet and its ConfigMap fit each other: ${file}`, () => fit(file, plane));
}

function fit(file: string, plane: "soft" | "doca"): void {
  const [namespace, configMap, daemonSet] = documents(file);
  const { metadata: { name } } = check("Namespace", namespace);
  const config = check("ConfigMap", configMap);
  const { spec, metadata } = check("DaemonSet", daemonSet);
  assert.deepEqual([config, { metadata }].map((one) => one.metadata.namespace), [name, name]);
  assert.deepEqual(spec.selector.matchLabels, spec.template.metadata.labels);
  const pod = spec.template.spec;
  assertSound(pod, plane);
  assert.equal(pod.containers[0].image, `psp-agent${plane === "soft" ? "" : "-doca"}:${VERSION}`);
  for (const [file, text] of Object.entries(config.data)) {
    const { config: parsed } = parseConfig(text, `/etc/psp-agent/${file}`);
    assert.equal(`${parsed.id}.json`, file);
    assert.equal(parsed.plane.kind, plane);
    assert.match(parsed.stateDir, /^\/var\/lib\/psp-agent\//);
    const directory = pod.containers[0].volumeMounts.find(({ name }) => name === "tls")?.mountPath;
    for (const path of Object.values(parsed.rpc.tls ?? {})) assert.equal(dirname(path), directory);
  }
}

Deno.test("the static pod stands alone", () => {
  const [pod, ...others] = documents("static-pod.yaml");
  assert.deepEqual(others, []);
  const { spec } = check("Pod", pod);
  assertSound(spec);
  // A static pod may name no object of the API.
  assert.ok(spec.volumes.every((volume) => "hostPath" in volume));
});

Deno.test("the chart has the shape of a DPU service", () => {
  const [configMap, daemonSet] = renderChart({
    configurations: { "dpu-1.json": '{ "id": "dpu-1" }\n' },
    serviceDaemonSet: {
      labels: { "svc.dpu.nvidia.com/service": "psp-agent", team: "net" },
      nodeSelector: { dpu: "yes" },
      resources: { requests: { "nvidia.com/bf_sf": "2" }, limits: { "nvidia.com/bf_sf": "2" } },
    },
  });
  assert.deepEqual(check("ConfigMap", configMap).data, { "dpu-1.json": '{ "id": "dpu-1" }\n' });
  const { spec } = check("DaemonSet", daemonSet);
  const { metadata, spec: pod } = spec.template;
  assert.equal(metadata.labels["svc.dpu.nvidia.com/service"], "psp-agent");
  assert.equal(metadata.labels["team"], "net");
  assert.deepEqual(pod.nodeSelector, { dpu: "yes" });
  assert.equal(pod.containers[0].resources?.limits?.["nvidia.com/bf_sf"], "2");
  assertSound(pod);
});

Deno.test("the chart's values for hardware give a pod the device and hugepages", () => {
  const values = parse(
    Deno.readTextFileSync(new URL("psp-agent/values-doca.yaml", FOLDER)),
    strict,
  ) as Tree;
  const [, daemonSet] = renderChart(values);
  const pod = check("DaemonSet", daemonSet).spec.template.spec;
  assertSound(pod, "doca");
  assert.equal(pod.containers[0].image, `psp-agent-doca:${VERSION}`);
});

Deno.test("the chart refuses the one Secret of the last release, and says what to do", () => {
  const schema = JSON.parse(Deno.readTextFileSync(new URL("psp-agent/values.schema.json", FOLDER)));
  const values = parse(Deno.readTextFileSync(new URL("psp-agent/values.yaml", FOLDER))) as Tree;
  const { tlsSecret, tlsDirectory } = schema.properties;
  // Helm quotes the only value that it would take; no Secret can have that name.
  assert.equal(tlsSecret.enum.length, 1);
  assert.match(tlsSecret.enum[0], /tlsDirectory and remove tlsSecret$/);
  assert.match(String(values["tlsDirectory"]), new RegExp(tlsDirectory.pattern));
  assert.ok(!("tlsSecret" in values));
});

Deno.test("the chart's own values are enough, and its version is the agent's", () => {
  const [configMap, daemonSet] = renderChart();
  check("ConfigMap", configMap);
  check("DaemonSet", daemonSet);
  const chart = parse(Deno.readTextFileSync(new URL("psp-agent/Chart.yaml", FOLDER))) as Tree;
  assert.deepEqual([chart["apiVersion"], chart["version"], chart["appVersion"]], [
    "v2",
    VERSION,
    VERSION,
  ]);
});
