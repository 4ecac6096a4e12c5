export { maskedPaths, readonlyPaths } from "./containers/security-context.ts";
export type { KubeletOptions } from "./kubelet-options.ts";
export { kubeletVersion } from "./node/node-object.ts";
export type { KubeletTls } from "./server/kubelet-server.ts";
export { type Kubelet, startKubelet } from "./start-kubelet.ts";
