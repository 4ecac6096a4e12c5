import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Pod } from "@tripod/api/kubernetes";
import { runCommand, TripodError } from "@tripod/base";
import { KubeClient } from "@tripod/kube";
import { Command } from "commander";
import { installationDir, launcherPath } from "../installation.ts";
import { buildAndPush, makeRootfs } from "./demo-image.ts";
import { startDemoNode } from "./demo-node.ts";
import { startDemoRegistry } from "./demo-registry.ts";
import { applyFile, deletePod, execInPod, podReady } from "./demo-kubectl.ts";
import { note, step } from "./step.ts";

const quickstart = join(installationDir, "examples/quickstart");
/** The registry that the quickstart's manifests name. */
const registryName = "registry.tripod.dev";
const manifests = readdirSync(quickstart).filter((name) => name.endsWith(".yaml"));

async function fetchPage(address: string): Promise<string> {
  const response = await fetch(`http://${address}/`, { signal: AbortSignal.timeout(5000) });
  if (!response.ok) throw new TripodError("unavailable", `fetch http://${address}/: status ${response.status}`);
  return response.text();
}

async function addressOf(client: KubeClient): Promise<string> {
  const pod = await client
    .resource<Pod>({ group: "", version: "v1", plural: "pods" })
    .get("web", { namespace: "default" });
  const address = pod.status?.podIP;
  if (address === undefined) throw new TripodError("internal", "the Pod is Ready but has no address");
  return address;
}

async function demo(options: { keep?: true }): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const dir = mkdtempSync("/tmp/tripod-demo-");
  if (!options.keep) stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const root = join(dir, "node");

  const registry = await step("Start a registry on loopback and build the image for it", async () => {
    const started = stack.use(await startDemoRegistry(join(dir, "registry")));
    await makeRootfs(join(dir, "rootfs"));
    note(await buildAndPush({ buildRoot: join(dir, "build"), rootfs: join(dir, "rootfs"), registry: started.host }));
    return started;
  });
  const hosts = join(root, "etc/certs.d", registryName);
  mkdirSync(hosts, { recursive: true });
  writeFileSync(join(hosts, "hosts.toml"), `[host."http://${registry.host}"]\n  capabilities = ["pull", "resolve"]\n`);

  const node = await step(`tripod up --root ${root}`, async () => {
    const started = await startDemoNode(root);
    note(started.readyLine);
    return started;
  });
  if (!options.keep) stack.use(node);
  const client = stack.use(KubeClient.fromKubeconfig(join(root, "kubeconfig")));

  await step("kubectl apply -f examples/quickstart/", async () => {
    for (const name of manifests) note(await applyFile(client, join(quickstart, name)));
  });
  await step("kubectl wait --for=condition=Ready pod/web", () => podReady(client, "web", 60_000, note));
  const address = await addressOf(client);
  await step(`curl http://${address}/     (the Pod's own address)`, async () => note(await fetchPage(address)));
  const writing = "written before the Pod was deleted";
  await step("kubectl exec web -c writer -- sh -c 'echo … >/site/note.txt'", async () => {
    await execInPod(client, "web", "writer", [
      "sh",
      "-c",
      `echo ${writing} >/site/note.txt; cat /site/starts.txt`,
    ]).then(note);
  });
  await step("tripod trace pod web", async () =>
    note((await runCommand(launcherPath, ["trace", "pod", "web", "--root", root])).stdout.toString()),
  );
  await step("kubectl delete pod web", () => deletePod(client, "web", 60_000));
  await step("kubectl apply -f examples/quickstart/pod.yaml", async () => {
    note(await applyFile(client, join(quickstart, "pod.yaml")));
    await podReady(client, "web", 60_000, note);
  });
  await step("kubectl exec web -c writer -- cat /site/note.txt /site/starts.txt     (the data lasted)", async () => {
    const text = await execInPod(client, "web", "writer", ["cat", "/site/note.txt", "/site/starts.txt"]);
    note(text);
    if (!text.includes(writing)) throw new TripodError("internal", "the volume lost what was written to it");
  });
  if (options.keep) {
    process.stdout.write(
      `\nThe node runs on: export KUBECONFIG=${root}/kubeconfig; remove it with: ./tripod down --root ${root}; rm -r ${dir}\n`,
    );
    return;
  }
  await step("Clean up: the node, its Pods, volumes and networks, and the registry", () => stack.disposeAsync());
  process.stdout.write("\nDone: a Pod with an address of its own, and a volume that lasted.\n");
}

/** `tripod demo`. */
export function demoCommand(): Command {
  return new Command("demo")
    .description(
      "Build an image, bring up a node, run examples/quickstart on it, show that its data lasts, and clean up. Needs no network.",
    )
    .option("--keep", "leave the node running at the end")
    .addHelpText("after", "\nExamples:\n  tripod demo\n  tripod demo --keep      then kubectl, and tripod down")
    .action((options: { keep?: true }) => demo(options));
}
