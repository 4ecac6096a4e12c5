export { makeBusyboxRootfs } from "./busybox-rootfs.ts";
export { type ContainerdOptions, startContainerd } from "./containerd.ts";
export { type CriProcess, type CriProcessOptions, startCriProcess } from "./cri-process.ts";
export { interop, type InteropCell, interopPrefix, peer } from "./interop.ts";
export { findKubectls, type Kubectl, noKubectl } from "./kubectls.ts";
export { type LeakSnapshot, leakSnapshot } from "./leak-snapshot.ts";
export { pushBusybox } from "./push-busybox.ts";
export { type RegistryOptions, startRegistry, type TestRegistry } from "./registry.ts";
export { type TempRoot, tempRoot, unmountBelow } from "./temp-root.ts";
