import assert from "node:assert/strict";
import { test } from "node:test";
import { type ControllerPublishVolumeRequest, VolumeCapability_AccessMode_Mode } from "@tripod/api/csi";
import type { PersistentVolumeAccessMode, Stored, VolumeAttachment } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import type { ControllersOptions } from "@tripod/controllers";
import {
  csiNodes,
  events,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  volumeAttachments,
} from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";
import { driverName, MemoryDriver, type MoreOfDriver } from "./memory-driver.ts";

const where = { namespace: "default" };

interface Attached extends ControlPlane {
  readonly driver: MemoryDriver;
  readonly attachment: Stored<VolumeAttachment>;
  readonly volume: string;
}

const use = ({ client }: ControlPlane, name: string, nodeName: string) =>
  client.resource(pods).create({
    metadata: { name, ...where },
    spec: {
      nodeName,
      containers: [{ name: "c", image: "x" }],
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }],
    },
  });

const remove = ({ client }: ControlPlane, name: string) =>
  client.resource(pods).delete(name, { ...where, gracePeriodSeconds: 0 });

/** A claim whose volume is attached to n1, where the Pod "web" uses it. */
async function startAttached(
  stack: AsyncDisposableStack,
  options: Partial<ControllersOptions> = {},
  more: (driver: MemoryDriver) => MoreOfDriver = () => ({}),
): Promise<Attached> {
  const plane = await startControlPlane(stack, options);
  const { client, until } = plane;
  const driver = new MemoryDriver();
  for (const name of ["n1", "n2"]) await addNode(client, name);
  const also = more(driver);
  await driver.start(stack, plane.layout, client, { nodes: ["n1", "n2"], attachRequired: true, also });
  await client.resource(storageClasses).create({ metadata: { name: "now" }, provisioner: driverName });
  await client.resource(persistentVolumeClaims).create({
    metadata: { name: "data", ...where },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "now" },
  });
  await use(plane, "web", "n1");
  await until(nodes, { name: "n1" }, (node) => (node?.status?.volumesAttached ?? []).length === 1);
  const [attachment] = (await client.resource(volumeAttachments).list()).items;
  assert.ok(attachment);
  return { ...plane, driver, attachment, volume: attachment.spec.source.persistentVolumeName ?? "" };
}

async function untilDetached({ until, attachment, driver }: Attached): Promise<void> {
  await until(volumeAttachments, { name: attachment.metadata.name }, (each) => each === undefined);
  assert.deepEqual([...driver.published], []);
}

/** As a kubelet that has the volume mounted. */
const sayMounted = ({ client, volume }: Attached) =>
  client
    .resource(nodes)
    .patch(
      "n1",
      { status: { volumesInUse: [`kubernetes.io/csi/${driverName}^id-${volume}`] } },
      { subresource: "status" },
    );

const silence = ({ client }: ControlPlane) => {
  const conditions = [{ type: "Ready", status: "Unknown", reason: "NodeStatusUnknown", message: "silent" }];
  return client.resource(nodes).patch("n1", { status: { conditions } }, { subresource: "status", type: "strategic" });
};

/** Why a Pod does not get its volume, as its Event says. */
async function refusalOf({ client }: ControlPlane, pod: string): Promise<string | undefined> {
  const about = { ...where, fieldSelector: `involvedObject.name=${pod}`, signal: AbortSignal.timeout(15_000) };
  for await (const { object } of client.resource(events).watch(about))
    if (object.reason === "FailedAttachVolume") return object.message;
  return undefined;
}

test("a Pod on another node is told which Pod holds the volume, and gets it after that", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startAttached(stack);
  await use(plane, "late", "n2");
  const wanted = `Multi-Attach error for volume "${plane.volume}" Volume is already used by pod(s) web`;
  assert.equal(await refusalOf(plane, "late"), wanted);
  await remove(plane, "web");
  await plane.until(nodes, { name: "n2" }, (node) => (node?.status?.volumesAttached ?? []).length === 1);
  assert.deepEqual([...plane.driver.published], [`id-${plane.volume} id-n2`]);
});

test("of a node that is out of service volumes are detached though it never unmounts them", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startAttached(stack);
  await sayMounted(plane);
  await silence(plane);
  const taints = [{ key: "node.kubernetes.io/out-of-service", value: "nodeshutdown", effect: "NoExecute" as const }];
  await plane.client.resource(nodes).patch("n1", { spec: { taints } }, { type: "strategic" });
  await plane.until(pods, { name: "web", ...where }, (pod) => pod === undefined);
  await untilDetached(plane);
});

test("of a node that is silent for long they are, too", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startAttached(stack, { attachments: { forceDetachAfterMs: 300 } });
  await sayMounted(plane);
  await silence(plane);
  await remove(plane, "web");
  await untilDetached(plane);
});

test("of a node that is gone they are, with what the driver called it", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startAttached(stack, { podGc: { quarantineMs: 100 } });
  assert.equal(
    (await plane.client.resource(volumeAttachments).get(plane.attachment.metadata.name)).metadata.annotations?.[
      "csi.alpha.kubernetes.io/node-id"
    ],
    "id-n1",
  );
  await plane.client.resource(csiNodes).delete("n1");
  await plane.client.resource(nodes).delete("n1");
  await untilDetached(plane);
});

test("a volume whose object was taken away by force is detached all the same", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startAttached(stack);
  const { client, volume } = plane;
  await plane.stopControllers();
  await client.resource(persistentVolumes).patch(volume, { metadata: { finalizers: null } });
  await client.resource(persistentVolumes).delete(volume);
  await remove(plane, "web");
  await plane.restartControllers();
  await untilDetached(plane);
});

test("a volume whose Pod went while nobody looked is detached when controllers start", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startAttached(stack);
  await plane.stopControllers();
  await remove(plane, "web");
  await plane.restartControllers();
  await untilDetached(plane);
});

test("a driver that does not detach is asked again, and the attachment says why", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startAttached(stack);
  plane.driver.unpublishFailures.push(new TripodError("internal", "the cable is stuck"));
  const told = plane.until(
    volumeAttachments,
    { name: plane.attachment.metadata.name },
    (each) => each?.status?.detachError?.message?.includes("the cable is stuck") === true,
  );
  await remove(plane, "web");
  await told;
  await untilDetached(plane);
});

test("a cloud's volume in the Pod itself is attached for one node at a time, and detached after its Pod", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startAttached(stack, { standIns: { "ebs.csi.aws.com": driverName } });
  const { client, until, driver } = plane;
  const useInline = (name: string, nodeName: string) =>
    client.resource(pods).create({
      metadata: { name, ...where },
      spec: {
        nodeName,
        containers: [{ name: "c", image: "x" }],
        volumes: [{ name: "v", awsElasticBlockStore: { volumeID: "vol-1" } }],
      },
    });
  const unique = `kubernetes.io/csi/${driverName}^vol-1`;
  const isAttached = (nodeName: string) =>
    until(
      nodes,
      { name: nodeName },
      (node) => node?.status?.volumesAttached?.some(({ name }) => name === unique) === true,
    );
  await useInline("inline", "n1");
  await isAttached("n1");
  const inline = (await client.resource(volumeAttachments).list()).items.find(
    ({ spec }) => spec.source.persistentVolumeName === undefined,
  );
  assert.equal(inline?.spec.source.inlineVolumeSpec?.csi?.volumeHandle, "vol-1");
  await useInline("second", "n2");
  assert.match((await refusalOf(plane, "second")) ?? "", /^Multi-Attach error .* already used by pod\(s\) inline$/);
  await remove(plane, "inline");
  await isAttached("n2");
  const [moved] = (await client.resource(volumeAttachments).list()).items.filter(({ spec }) => spec.nodeName === "n2");
  await remove(plane, "second");
  await until(volumeAttachments, { name: moved?.metadata.name ?? "" }, (each) => each === undefined);
  assert.deepEqual(
    [...driver.published].filter((each) => each.startsWith("vol-1 ")),
    [],
  );
});

test("a Pod with a volume that no driver knows keeps no other Pod from its own", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startAttached(stack);
  const awsElasticBlockStore = { volumeID: "aws://nowhere" };
  await plane.client.resource(pods).create({
    metadata: { name: "odd", ...where },
    spec: { nodeName: "n1", containers: [{ name: "c", image: "x" }], volumes: [{ name: "v", awsElasticBlockStore }] },
  });
  await remove(plane, "web");
  await untilDetached(plane);
});

for (const publishReadonly of [false, true])
  test(`a volume for many writers is attached so, and read-only where the driver can (${publishReadonly})`, async () => {
    await using stack = new AsyncDisposableStack();
    const requests: ControllerPublishVolumeRequest[] = [];
    const plane = await startAttached(stack, {}, () => ({
      features: { publishReadonly },
      controller: {
        controllerPublishVolume: async (request) => {
          requests.push(request);
          return {};
        },
      },
    }));
    const { client, until } = plane;
    const shared = {
      accessModes: ["ReadWriteOnce", "ReadWriteMany"] satisfies PersistentVolumeAccessMode[],
      storageClassName: "",
    };
    await client.resource(persistentVolumes).create({
      metadata: { name: "shared" },
      spec: {
        ...shared,
        capacity: { storage: "1Gi" },
        csi: { driver: driverName, volumeHandle: "shared", readOnly: true },
      },
    });
    await client.resource(persistentVolumeClaims).create({
      metadata: { name: "shared", ...where },
      spec: { ...shared, volumeName: "shared", resources: { requests: { storage: "1Gi" } } },
    });
    await client.resource(pods).create({
      metadata: { name: "reader", ...where },
      spec: {
        nodeName: "n2",
        containers: [{ name: "c", image: "x" }],
        volumes: [{ name: "v", persistentVolumeClaim: { claimName: "shared" } }],
      },
    });
    await until(nodes, { name: "n2" }, (node) => (node?.status?.volumesAttached ?? []).length === 1);
    const request = requests.find(({ volumeId }) => volumeId === "shared");
    assert.equal(request?.volumeCapability?.accessMode?.mode, VolumeCapability_AccessMode_Mode.MULTI_NODE_MULTI_WRITER);
    assert.equal(request.readonly, publishReadonly);
  });

test("what a driver that can tell has not attached any more is attached again", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startAttached(stack, { attachments: { checkEveryMs: 200 } }, (driver) => ({
    features: { listPublishedNodes: true },
    controller: {
      listVolumes: async () => ({
        entries: [...driver.volumes.keys()].map((volumeId) => ({
          volume: { volumeId },
          status: {
            publishedNodeIds: [...driver.published]
              .filter((each) => each.startsWith(`${volumeId} `))
              .map((each) => each.slice(volumeId.length + 1)),
          },
        })),
      }),
    },
  }));
  const again = Promise.withResolvers<void>();
  plane.driver.onPublished = () => again.resolve();
  plane.driver.published.clear();
  await again.promise;
  assert.deepEqual([...plane.driver.published], [`id-${plane.volume} id-n1`]);
});
