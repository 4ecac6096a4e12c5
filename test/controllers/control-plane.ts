import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { KubernetesObject, Node, Stored } from "@tripod/api/kubernetes";
import { startApiServer } from "@tripod/apiserver";
import { createLogger, type Layout, layoutOf, silentLogger } from "@tripod/base";
import { type ControllersOptions, startControllers } from "@tripod/controllers";
import { KubeClient, nodes, type ResourceRef, waitFor } from "@tripod/kube";

/** A real API server and the real controllers in a root of their own. Nodes and drivers are what the test adds. */
export interface ControlPlane {
  readonly client: KubeClient;
  readonly layout: Layout;
  /** Stops the controllers and starts them again. */
  readonly restartControllers: () => Promise<void>;
  readonly stopControllers: () => Promise<void>;
  /** Waits until `holds` is true of the object, undefined while there is none. */
  readonly until: <T extends KubernetesObject>(
    ref: ResourceRef<T>,
    key: { readonly name: string; readonly namespace?: string },
    holds: (object: Stored<T> | undefined) => boolean,
  ) => Promise<Stored<T> | undefined>;
}

export async function startControlPlane(
  stack: AsyncDisposableStack,
  options: Partial<ControllersOptions> = {},
): Promise<ControlPlane> {
  const root = mkdtempSync("/tmp/tripod-controllers-");
  stack.defer(() => rmSync(root, { recursive: true, force: true }));
  const layout = layoutOf(root);
  const log = process.env.TRIPOD_TEST_LOG === undefined ? silentLogger : createLogger("test", { level: "debug" });
  const server = await startApiServer({ layout, address: "127.0.0.1", port: 0, nodeName: "n1", log });
  stack.defer(() => server.close());
  const start = () =>
    startControllers({
      kubeconfig: join(layout.pkiDir, "controllers.kubeconfig"),
      pluginsRegistryDir: layout.pluginsRegistryDir,
      log,
      ...options,
    });
  let controllers = await start();
  stack.defer(() => controllers.close());
  const client = stack.use(KubeClient.fromKubeconfig(layout.kubeconfig));
  return {
    client,
    layout,
    stopControllers: () => controllers.close(),
    async restartControllers() {
      await controllers.close();
      controllers = await start();
    },
    until: (ref, { name, namespace }, holds) =>
      waitFor(client.resource(ref), name, holds, {
        timeoutMs: 15_000,
        ...(namespace === undefined ? {} : { namespace }),
      }),
  };
}

/** Registers a node that is ready, as its kubelet would. */
export async function addNode(
  client: KubeClient,
  name: string,
  allocatable: Record<string, string> = {},
): Promise<Stored<Node>> {
  const resource = client.resource(nodes);
  const labels = { "kubernetes.io/hostname": name, "topology.test/node": name };
  await resource.create({ metadata: { name, labels } });
  const resources = { cpu: "2", memory: "4Gi", pods: "10", ...allocatable };
  const conditions = [{ type: "Ready", status: "True", reason: "KubeletReady", message: "ready" }];
  return resource.patch(
    name,
    { status: { capacity: resources, allocatable: resources, conditions } },
    { subresource: "status" },
  );
}
