import { testsInVm } from "./tests-in-vm.ts";

// Run by hand (npm run vm). The kernel on which `npm test` runs may make no interfaces of these kinds; Debian's does.
testsInVm("CNI plugins whose interfaces not every kernel makes, in a virtual machine", {
  about: /^Linux/,
  packages: ["containernetworking-plugins"],
  runs: [
    {
      name: "Debian's kernel",
      files: ["ipvlan", "vlan", "dummy", "vrf", "macvlan", "tap"].map((name) => `plugins/${name}/src/${name}.test.ts`),
    },
  ],
});
