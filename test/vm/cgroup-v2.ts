import { testsInVm } from "./tests-in-vm.ts";

// Run by hand (npm run vm).
const cri = ["packages/cri/src/stats/stats.test.ts"];

// The machine on which `npm test` runs may have cgroup v1 and no systemd; this one has a kernel of its own, v2 alone, and systemd.
testsInVm("what depends on cgroup v2 and systemd, in a virtual machine", {
  about: /cgroup cgroup2fs, init systemd/,
  runs: [
    {
      name: "cgroup v2, cgroupfs",
      files: ["packages/linux/src/cgroups/cgroups.test.ts", ...cri],
    },
    {
      name: "cgroup v2, systemd",
      files: ["packages/cri/src/runtime/cgroup-driver.test.ts", ...cri],
      env: { TRIPOD_TEST_CGROUP_DRIVER: "systemd" },
    },
  ],
});
