import { testsInVm } from "./tests-in-vm.ts";

// Run by hand (npm run vm). The kernel on which `npm test` runs may be no NFS client, and its root may not grow ext4 that is in use.
const packages = ["e2fsprogs", "xfsprogs", "btrfs-progs", "nfs-common", "nfs-ganesha", "nfs-ganesha-vfs"];

testsInVm("NFS volumes that the kernel mounts, in a virtual machine", {
  about: /^Linux/,
  packages,
  runs: [
    {
      name: "NFS",
      files: [
        "apps/tripod/src/doctor/nfs-client.test.ts",
        "packages/kubelet/src/volumes/nfs-volume.test.ts",
        "drivers/nfs/src/nfs-driver.test.ts",
        "drivers/nfs/src/nfs-nodes.test.ts",
        "apps/tripod/src/csi/nfs-crash.test.ts",
      ],
    },
  ],
});

testsInVm("ext4 volumes that grow in use, in a virtual machine", {
  about: /^Linux/,
  packages,
  runs: [{ name: "a root that may", files: ["drivers/loop/src/loop-driver.test.ts"] }],
});
