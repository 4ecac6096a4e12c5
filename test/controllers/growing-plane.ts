import { events, persistentVolumeClaims, storageClasses } from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";
import type { MemoryGrowth } from "./memory-growth.ts";

const where = { namespace: "default" };

/** A control plane with a driver whose volumes grow, and the claim "data" of 1Gi of its class "grows". */
export interface GrowingPlane extends ControlPlane {
  readonly driver: MemoryDriver;
  readonly growth: MemoryGrowth;
  /** The claim's volume. */
  readonly volumeName: string;
  /** Changes what the claim asks for. */
  readonly grow: (storage: string) => Promise<unknown>;
  /** Until an event of that reason is told of the claim, with a message like this. */
  readonly told: (reason: string, message: RegExp) => Promise<void>;
}

/** `parameters`: of the claim's class. */
export async function withGrowth(
  stack: AsyncDisposableStack,
  growth: MemoryGrowth,
  parameters: Record<string, string> = {},
): Promise<GrowingPlane> {
  const plane = await startControlPlane(stack);
  const { client, until } = plane;
  const driver = new MemoryDriver();
  await addNode(client, "n1");
  await driver.start(stack, plane.layout, client, { nodes: ["n1"], growth });
  await client
    .resource(storageClasses)
    .create({ metadata: { name: "grows" }, provisioner: driverName, parameters, allowVolumeExpansion: true });
  const claims = client.resource(persistentVolumeClaims);
  await claims.create({
    metadata: { name: "data", ...where },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "grows" },
  });
  const bound = await until(
    persistentVolumeClaims,
    { name: "data", ...where },
    (each) => each?.status?.phase === "Bound",
  );
  return {
    ...plane,
    driver,
    growth,
    volumeName: bound?.spec.volumeName ?? "",
    grow: (storage) => claims.patch("data", { spec: { resources: { requests: { storage } } } }, where),
    async told(reason, message) {
      const signal = AbortSignal.timeout(15_000);
      const fieldSelector = "involvedObject.name=data";
      for await (const { object } of client.resource(events).watch({ ...where, fieldSelector, signal }))
        if (object.reason === reason && message.test(object.message ?? "")) return;
      throw new Error(`no event ${reason} like ${message}`);
    },
  };
}
