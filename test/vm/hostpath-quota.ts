import { quotaFileSystems } from "@tripod/linux/testing";
import { testsInVm } from "./tests-in-vm.ts";

// Run by hand (npm run vm). The kernel on which `npm test` runs may keep no quotas; Debian's does, of ext4 and of xfs.
testsInVm("project quotas and volumes that they limit, in a virtual machine", {
  about: /^Linux/,
  packages: ["e2fsprogs", "xfsprogs", "btrfs-progs"],
  runs: [
    {
      name: "Debian's kernel",
      files: [
        "packages/linux/src/files/project-quota.test.ts",
        "drivers/hostpath/src/hostpath-quota.test.ts",
        "apps/tripod/src/csi/quota-crash.test.ts",
      ],
    },
    ...quotaFileSystems.map((type) => ({
      name: `hostpath on ${type} with project quotas`,
      files: ["drivers/hostpath/src/hostpath-driver.test.ts"],
      env: { TRIPOD_TEST_HOSTPATH_DISK: type },
      only: "^hostpath ", // conformance there is of the first run
    })),
  ],
});
