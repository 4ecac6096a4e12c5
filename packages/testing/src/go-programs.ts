import type { GoProgram } from "./go-program.ts";

const criTools = "sigs.k8s.io/cri-tools";

/** The programs of others that tests run against Tripod, each at a version that the Go module proxy serves. */
export const goPrograms = {
  kubelet: { module: "k8s.io/kubernetes", version: "v1.37.2", command: "cmd/kubelet" },
  crictl: { module: criTools, version: "v1.37.0", command: "cmd/crictl" },
  /** The oldest that is served. */
  oldCrictl: { module: criTools, version: "v1.34.0", command: "cmd/crictl" },
} as const satisfies Record<string, GoProgram>;
