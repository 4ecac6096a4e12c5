import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { loopDevices, mountInfo } from "@tripod/linux";
import { debianFiles, debianProgram, debianPrograms, noKubectl, until } from "@tripod/testing";
import { TestNode } from "./node.ts";

/** What people keep on volumes, run as they run it. */
interface Database {
  readonly name: string;
  readonly fsType: string;
  readonly storage: string;
  readonly image: string;
  readonly command: string;
  /** Succeeds once the database serves. */
  readonly ready: string;
  /** Writes something more, which `turn` (a digit) tells from what was written before. */
  readonly write: (turn: number) => string;
  /** Prints a checksum of all that is in it. */
  readonly checksum: string;
}

const databases: readonly Database[] = [
  {
    name: "etcd",
    fsType: "ext4",
    storage: "256Mi",
    image: "registry.tripod.dev/databases/etcd:1",
    command: "exec etcd --data-dir=/data/etcd",
    ready: "etcdctl endpoint health",
    write: (turn) =>
      `for i in $(seq 40); do etcdctl put turn-${turn}-$i $(head -c 300 /dev/urandom | sha256sum | cut -c1-64) >/dev/null; done`,
    checksum: "etcdctl get --prefix '' | sha256sum",
  },
  {
    name: "postgres",
    fsType: "xfs",
    storage: "400Mi",
    image: "registry.tripod.dev/databases/postgres:1",
    command:
      "[ -d /data/pg ] || initdb -D /data/pg -E UTF8 --no-locale -A trust -U postgres >/dev/null; exec postgres -D /data/pg -k /tmp -c listen_addresses=",
    ready: "pg_isready -h /tmp",
    write: (turn) =>
      `psql -qh /tmp -U postgres -c "create table t${turn} as select i, md5(random()::text) as v from generate_series(1, 20000) i"`,
    checksum:
      "for t in $(psql -Ath /tmp -U postgres -c \"select relname from pg_class where relname like 't_' order by 1\"); do psql -Ath /tmp -U postgres -c \"select md5(string_agg(v, ',' order by i)) from $t\"; done",
  },
];

const classes = databases
  .map(
    ({ name, fsType }) => `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: ${name} }
provisioner: loop.csi.tripod.dev
parameters: { csi.storage.k8s.io/fstype: ${fsType} }
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
---`,
  )
  .join("");
const snapshotClass = `
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotClass
metadata: { name: loop }
driver: loop.csi.tripod.dev
deletionPolicy: Delete
`;

const claim = ({ name, storage }: Database, claimName: string, snapshot?: string): string => `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: ${claimName} }
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ${name}
  resources: { requests: { storage: ${storage} } }
  ${snapshot === undefined ? "" : `dataSource: { apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: ${snapshot} }`}
---`;

const pod = ({ image, command, ready }: Database, claimName: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${claimName} }
spec:
  terminationGracePeriodSeconds: 10
  securityContext: { runAsUser: 65534, runAsGroup: 65534, fsGroup: 65534, fsGroupChangePolicy: OnRootMismatch }
  containers:
    - name: main
      image: ${image}
      command: [sh, -c, ${JSON.stringify(command)}]
      env: [{ name: ETCDCTL_API, value: "3" }, { name: PATH, value: "/usr/lib/postgresql/15/bin:/usr/bin:/bin" }]
      readinessProbe: { exec: { command: [sh, -c, ${JSON.stringify(ready)}] }, periodSeconds: 1, timeoutSeconds: 5 }
      volumeMounts: [{ name: data, mountPath: /data }]
  volumes: [{ name: data, persistentVolumeClaim: { claimName: ${claimName} } }]
`;

const missing = Object.values([debianPrograms.etcd, debianPrograms.etcdctl, debianPrograms.postgres])
  .map(debianProgram)
  .find((each) => "skip" in each);
const skip = noKubectl ?? (missing !== undefined && "skip" in missing ? missing.skip : false);

describe("databases on claims", { skip }, () => {
  const stack = new AsyncDisposableStack();
  let node: TestNode;
  before(async () => {
    const trees = (...programs: (typeof debianPrograms)[keyof typeof debianPrograms][]) => programs.map(debianFiles);
    const images = [
      { name: "databases/etcd:1", trees: trees(debianPrograms.etcd, debianPrograms.etcdctl) },
      { name: "databases/postgres:1", trees: trees(debianPrograms.postgres) },
    ];
    node = stack.use(await TestNode.start({ images }));
    await node.apply(classes);
    await node.apply(snapshotClass);
  });
  after(() => stack.disposeAsync());
  const ready = (name: string) => node.kubectl(["wait", "--for=condition=Ready", `pod/${name}`, "--timeout=120s"]);
  const run = (name: string, command: string) => node.text("exec", name, "--", "sh", "-c", command);
  const replace = async (database: Database): Promise<void> => {
    await node.kubectl(["delete", `pod/${database.name}`, "--timeout=60s"]);
    await node.apply(pod(database, database.name));
    await ready(database.name);
  };

  for (const database of databases) {
    const { name, checksum, write } = database;
    const sums = { atSnapshot: "", last: "" };
    const asLast = async (): Promise<void> => assert.equal(await run(name, checksum), sums.last);

    test(`${name} keeps what was written from one Pod to the next`, async () => {
      await node.apply(claim(database, name) + pod(database, name));
      await ready(name);
      await run(name, write(1));
      sums.atSnapshot = await run(name, checksum);
      await node.apply(`
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: { name: ${name} }
spec: { volumeSnapshotClassName: loop, source: { persistentVolumeClaimName: ${name} } }
`);
      await node.kubectl([
        "wait",
        "--for=jsonpath={.status.readyToUse}=true",
        `volumesnapshot/${name}`,
        "--timeout=60s",
      ]);
      await run(name, write(2));
      sums.last = await run(name, checksum);
      assert.notEqual(sums.last, sums.atSnapshot);
      await replace(database);
      await asLast();
    });

    test(`${name} serves on while the node's daemon is killed and started again, and after it`, async () => {
      await node.kill("SIGKILL");
      await node.up();
      await asLast();
      await run(name, write(3));
      sums.last = await run(name, checksum);
      await replace(database);
      await asLast();
    });

    test(`${name} on a volume from the snapshot, taken while it ran, holds what it held then`, async () => {
      const restored = `${name}-restored`;
      await node.apply(claim(database, restored, name) + pod(database, restored));
      await ready(restored);
      assert.equal(await run(restored, checksum), sums.atSnapshot);
      await run(restored, write(4));
      await asLast();
      await node.kubectl(["delete", `pod/${restored}`, `pvc/${restored}`, `volumesnapshot/${name}`, "--timeout=60s"]);
    });
  }

  test("when all is deleted, no device and no mount is left", async () => {
    const names = databases.flatMap(({ name }) => [`pod/${name}`, `pvc/${name}`]);
    await node.kubectl(["delete", ...names, "--timeout=60s"]);
    await until("the volumes are deleted", async () => (await node.text("get", "pv", "-o", "name")) === "");
    await until("no loop device is left", () =>
      loopDevices().every(({ backingFile }) => !backingFile.startsWith(node.root)),
    );
    assert.deepEqual(
      mountInfo().filter(
        ({ mountPoint }) => mountPoint.startsWith(node.root) && mountPoint.includes("kubernetes.io~csi"),
      ),
      [],
    );
  });
});
