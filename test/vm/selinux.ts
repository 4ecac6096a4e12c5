import { testsInVm } from "./tests-in-vm.ts";

/** Elsewhere it comes with container-selinux; Debian's policy names it as the type of containers' files without knowing it. */
const containerModule =
  "(type container_file_t)(roletype object_r container_file_t)(typeattributeset file_type (container_file_t))";

// Run by hand (npm run vm). Without a policy, which Debian's package has, a kernel knows no contexts.
testsInVm("volumes by a kernel with SELinux, in a virtual machine", {
  about: /^Linux/,
  packages: ["selinux-policy-default", "policycoreutils", "e2fsprogs", "xfsprogs"],
  kernel: ["security=selinux", "enforcing=0"],
  runs: [
    {
      name: "SELinux",
      files: ["packages/kubelet/src/volumes/selinux-mount.test.ts", "drivers/loop/src/selinux.test.ts"],
      prepare: `echo '${containerModule}' >/run/container.cil && semodule --install=/run/container.cil`,
    },
  ],
});
