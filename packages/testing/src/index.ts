export { makeBusyboxRootfs } from "./busybox-rootfs.ts";
export { pushBusybox } from "./push-busybox.ts";
export { type RegistryOptions, startRegistry, type TestRegistry } from "./registry.ts";
export { type TempRoot, tempRoot, unmountBelow } from "./temp-root.ts";
