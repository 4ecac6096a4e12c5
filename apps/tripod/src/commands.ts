import type { Command } from "commander";

interface CommandEntry {
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** Every command of the CLI, in the order in which help shows them. */
export const commands: Readonly<Record<string, CommandEntry>> = {
  up: {
    summary: "bring up the node with its embedded control plane",
    load: async () => (await import("./node/up.ts")).upCommand(),
  },
  down: {
    summary: "remove the node's Pods and everything it made",
    load: async () => (await import("./node/down.ts")).downCommand(),
  },
  demo: {
    summary: "show the whole way of a Pod on this machine, then clean up",
    load: async () => (await import("./demo/demo.ts")).demoCommand(),
  },
  doctor: {
    summary: "check what this machine has, and say how to mend what it lacks",
    load: async () => (await import("./doctor/doctor-command.ts")).doctorCommand(),
  },
  cri: {
    summary: "run the container runtime alone, for any kubelet",
    load: async () => (await import("./node/cri.ts")).criCommand(),
  },
  node: {
    summary: "run the kubelet (and the runtime) against any API server",
    load: async () => (await import("./node/node.ts")).nodeCommand(),
  },
  apiserver: {
    summary: "run the API server alone",
    load: async () => (await import("./node/apiserver.ts")).apiserverCommand(),
  },
  controllers: {
    summary: "run the scheduler and the controllers alone",
    load: async () => (await import("./node/controllers.ts")).controllersCommand(),
  },
  image: {
    summary: "pull, build, list, push and move images",
    load: async () => (await import("./image/index.ts")).imageCommand(),
  },
  oci: {
    summary: "make, check and run OCI bundles by hand",
    load: async () => (await import("./oci/index.ts")).ociCommand(),
  },
  cni: {
    summary: "run CNI operations by hand, install the plugins",
    load: async () => (await import("./cni/index.ts")).cniCommand(),
  },
  net: {
    summary: "look at the node's container network",
    load: async () => (await import("./net/index.ts")).netCommand(),
  },
  csi: {
    summary: "serve CSI drivers, call any by hand, see what they are asked",
    load: async () => (await import("./csi/index.ts")).csiCommand(),
  },
  volume: {
    summary: "look at claims and volumes, and what they wait for",
    load: async () => (await import("./volume/volume-command.ts")).volumeCommand(),
  },
  trace: {
    summary: "print what happened to a Pod, hop by hop, with times",
    load: async () => (await import("./trace/trace-command.ts")).traceCommand(),
  },
  completion: {
    summary: "print a completion script for bash, zsh or fish",
    load: async () => (await import("./completion.ts")).completionCommand(),
  },
  version: {
    summary: "print the versions of Tripod and of what it speaks",
    load: async () => (await import("./version.ts")).versionCommand(),
  },
};
