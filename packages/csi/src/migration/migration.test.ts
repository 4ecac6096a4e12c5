import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CSIPersistentVolumeSource, PersistentVolume, StorageClass } from "@tripod/api/kubernetes";
import { isTripodError } from "@tripod/base";
import { inTreeDriverOfProvisioner, migratedClass } from "./migrate-class.ts";
import { asCsiVolume, inTreeDriverOf, migratedTo } from "./migrate-volume.ts";

const volume = (spec: object, metadata: PersistentVolume["metadata"] = {}): PersistentVolume => ({
  metadata: { name: "pv", ...metadata },
  spec: { capacity: { storage: "10Gi" }, accessModes: ["ReadWriteOnce"], ...spec },
});

describe("a volume of a kind that was built in", () => {
  const rows: { why: string; given: PersistentVolume; csi: CSIPersistentVolumeSource }[] = [
    {
      why: "EBS by its bare id",
      given: volume({ awsElasticBlockStore: { volumeID: "vol-1", fsType: "ext4" } }),
      csi: { driver: "ebs.csi.aws.com", volumeHandle: "vol-1", fsType: "ext4", volumeAttributes: { partition: "0" } },
    },
    {
      why: "EBS by a URL",
      given: volume({ awsElasticBlockStore: { volumeID: "aws://us-east-1a/vol-2", partition: 3, readOnly: true } }),
      csi: { driver: "ebs.csi.aws.com", volumeHandle: "vol-2", readOnly: true, volumeAttributes: { partition: "3" } },
    },
    {
      why: "a disk of GCE in one zone",
      given: volume({ gcePersistentDisk: { pdName: "d" } }, { labels: { "topology.kubernetes.io/zone": "z-a" } }),
      csi: {
        driver: "pd.csi.storage.gke.io",
        volumeHandle: "projects/UNSPECIFIED/zones/z-a/disks/d",
        volumeAttributes: { partition: "" },
      },
    },
    {
      why: "a disk of GCE in two zones",
      given: volume(
        { gcePersistentDisk: { pdName: "d" } },
        { labels: { "topology.kubernetes.io/zone": "r1-a__r1-b" } },
      ),
      csi: {
        driver: "pd.csi.storage.gke.io",
        volumeHandle: "projects/UNSPECIFIED/regions/r1/disks/d",
        volumeAttributes: { partition: "" },
      },
    },
    {
      why: "Cinder",
      given: volume({ cinder: { volumeID: "c" } }),
      csi: { driver: "cinder.csi.openstack.org", volumeHandle: "c" },
    },
    {
      why: "a disk of Azure",
      given: volume({ azureDisk: { diskName: "d", diskURI: "/subscriptions/d", fsType: "xfs" } }),
      csi: {
        driver: "disk.csi.azure.com",
        volumeHandle: "/subscriptions/d",
        fsType: "xfs",
        volumeAttributes: { kind: "Managed", fstype: "xfs" },
      },
    },
    {
      why: "a share of Azure",
      given: volume({
        azureFile: { shareName: "s", secretName: "azure-storage-account-acc-secret" },
        claimRef: { namespace: "ns" },
      }),
      csi: {
        driver: "file.csi.azure.com",
        volumeHandle: "#acc#s#pv#ns",
        volumeAttributes: { sharename: "s" },
        nodeStageSecretRef: { name: "azure-storage-account-acc-secret", namespace: "ns" },
      },
    },
    {
      why: "vSphere",
      given: volume({ vsphereVolume: { volumePath: "[ds] v", storagePolicyName: "gold" } }),
      csi: {
        driver: "csi.vsphere.vmware.com",
        volumeHandle: "[ds] v",
        volumeAttributes: { storagepolicyname: "gold" },
      },
    },
    {
      why: "Portworx",
      given: volume({ portworxVolume: { volumeID: "p" } }),
      csi: { driver: "pxd.portworx.com", volumeHandle: "p" },
    },
  ];
  for (const { why, given, csi } of rows)
    test(`${why} is its driver's`, () => {
      assert.deepEqual(asCsiVolume(given)?.spec.csi, csi);
      assert.equal(inTreeDriverOf(given), csi.driver);
    });

  test("where another driver stands in, that learns the size and nothing of the cloud", () => {
    const given = volume(
      {
        awsElasticBlockStore: { volumeID: "<volume-id>", fsType: "ext4" },
        nodeAffinity: { required: { nodeSelectorTerms: [] } },
      },
      { annotations: { [migratedTo]: "loop.csi.tripod.dev" } },
    );
    const migrated = asCsiVolume(given);
    assert.deepEqual(migrated?.spec.csi, {
      driver: "loop.csi.tripod.dev",
      volumeHandle: "<volume-id>",
      fsType: "ext4",
      volumeAttributes: { "loop.csi.tripod.dev/static-capacity-bytes": "10737418240" },
    });
    assert.equal(migrated.spec.nodeAffinity, undefined);
    assert.equal(given.spec.csi, undefined, "the volume itself stays as it is");
  });

  test("its zone becomes the driver's", () => {
    const given = volume(
      { awsElasticBlockStore: { volumeID: "v" } },
      { labels: { "topology.kubernetes.io/zone": "a" } },
    );
    assert.deepEqual(asCsiVolume(given)?.spec.nodeAffinity?.required?.nodeSelectorTerms, [
      { matchExpressions: [{ key: "topology.ebs.csi.aws.com/zone", operator: "In", values: ["a"] }] },
    ]);
  });

  test("other volumes stay as they are, and sources that make no sense are refused", () => {
    const csi = volume({ csi: { driver: "d", volumeHandle: "h" } });
    assert.equal(asCsiVolume(csi), csi);
    assert.equal(asCsiVolume(volume({ hostPath: { path: "/x" } })), undefined);
    const bad = volume({ awsElasticBlockStore: { volumeID: "aws://zone/disk" } });
    assert.throws(
      () => asCsiVolume(bad),
      (error) => isTripodError(error, "invalid"),
    );
  });
});

describe("a class whose provisioner was built in", () => {
  const storageClass = (parts: Partial<StorageClass>): StorageClass => ({
    metadata: { name: "c" },
    provisioner: "kubernetes.io/aws-ebs",
    ...parts,
  });

  test("is its driver's, with the driver's parameters", () => {
    const given = storageClass({ parameters: { type: "gp2", fsType: "xfs", iopsPerGB: "3", zones: "a,b" } });
    assert.equal(inTreeDriverOfProvisioner(given.provisioner), "ebs.csi.aws.com");
    assert.deepEqual(migratedClass(given, "ebs.csi.aws.com"), {
      metadata: { name: "c" },
      provisioner: "ebs.csi.aws.com",
      parameters: {
        type: "gp2",
        "csi.storage.k8s.io/fstype": "xfs",
        iopspergb: "3",
        allowautoiopspergbincrease: "true",
      },
      allowedTopologies: [{ matchLabelExpressions: [{ key: "topology.ebs.csi.aws.com/zone", values: ["a", "b"] }] }],
    });
  });

  test("tells a driver that stands in the file system alone", () => {
    const given = storageClass({ parameters: { type: "gp2", fsType: "xfs", zone: "a" } });
    const { provisioner, parameters, allowedTopologies } = migratedClass(given, "loop.csi.tripod.dev");
    assert.equal(provisioner, "loop.csi.tripod.dev");
    assert.deepEqual(parameters, { "csi.storage.k8s.io/fstype": "xfs" });
    assert.equal(allowedTopologies, undefined);
  });

  test("may not have zones twice; any other class stays as it is", () => {
    const twice = storageClass({ parameters: { zone: "a" }, allowedTopologies: [{ matchLabelExpressions: [] }] });
    assert.throws(
      () => migratedClass(twice, "ebs.csi.aws.com"),
      (error) => isTripodError(error, "invalid"),
    );
    const other = storageClass({ provisioner: "x.example.com" });
    assert.equal(migratedClass(other, "y"), other);
  });
});
