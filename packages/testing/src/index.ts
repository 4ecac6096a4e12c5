export { makeBusyboxRootfs } from "./busybox-rootfs.ts";
export { type ContainerdOptions, startContainerd } from "./containerd.ts";
export { type CriProcess, type CriProcessOptions, startCriProcess } from "./cri-process.ts";
export {
  type DebianProgram,
  debianFiles,
  debianProgram,
  debianPrograms,
  type FetchedDebianProgram,
  fetchDebianProgram,
} from "./debian-program.ts";
export { loopFilesLeft } from "./loop-files-left.ts";
export { type BuiltGoProgram, buildGoProgram, type GoProgram, goProgram } from "./go-program.ts";
export { goPrograms, sidecarPrograms } from "./go-programs.ts";
export { interop, type InteropCell, interopPrefix, peer } from "./interop.ts";
export { findKubectls, type Kubectl, noKubectl } from "./kubectls.ts";
export { type LeakSnapshot, leakSnapshot } from "./leak-snapshot.ts";
export { noNfsServer, startNfsServer, type TestNfsServer } from "./nfs-server.ts";
export { type FieldChoice, randomMessage } from "./random-message.ts";
export { pushBusybox, type PushOptions } from "./push-busybox.ts";
export { type RegistryOptions, startRegistry, type TestRegistry } from "./registry.ts";
export { type SeededRandom, seededRandom } from "./seeded-random.ts";
export { type TempRoot, tempRoot, unmountBelow } from "./temp-root.ts";
export { crunProgram } from "./crun-program.ts";
export { noVm, runInVm, type VmOptions, type VmReport, type VmRun, type VmTest } from "./vm/run-in-vm.ts";
export { until } from "./until.ts";
