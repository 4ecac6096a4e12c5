import { testsInVm } from "./tests-in-vm.ts";

// Run by hand (npm run vm). The kernel on which `npm test` runs may be no NFS client, and its root may not grow ext4 that is in use.
testsInVm("storage by a kernel that has an NFS client and a root that may grow ext4 in use, in a virtual machine", {
  about: /^Linux/,
  packages: ["e2fsprogs", "xfsprogs", "btrfs-progs", "nfs-common", "nfs-ganesha", "nfs-ganesha-vfs"],
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
    { name: "ext4 that grows in use", files: ["drivers/loop/src/loop-driver.test.ts"] },
  ],
});
