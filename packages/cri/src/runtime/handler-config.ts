import { TripodError } from "@tripod/base";
import { cgroupVersion } from "@tripod/linux";
import type { RlimitRequest } from "@tripod/oci";

/** A runtime handler: what a RuntimeClass's `handler` names. */
export interface HandlerConfig {
  /** The program, by its path or to be found; the handler's name unless told. */
  readonly program?: string;
  /**
   * How it is called: "conmon", unless told, is an OCI runtime with runc's command line under conmon; "shim" is a containerd shim, of which
   * each container gets one.
   */
  readonly kind?: "conmon" | "shim";
  /** The configuration file that a shim of its own kind is told to read (gVisor's, Kata's); containerd's `ConfigPath`. */
  readonly configPath?: string;
  /** Options before each of an OCI runtime's subcommands; none unless told, `--network=host` for the handler "runsc". */
  readonly arguments?: readonly string[];
  /**
   * Which of the Pod's annotations its containers' config.json gets, as patterns in which `*` stands for anything but `/` and `?` for
   * one character: `io.katacontainers.*`. None unless told: runtimes obey some, so that they are for the operator to allow.
   */
  readonly podAnnotations?: readonly string[];
  /** The same of a container's own annotations. */
  readonly containerAnnotations?: readonly string[];
  /**
   * What privileged containers see of the host's devices: "all" unless told; "allowed" is no nodes but no refusal either, "none" is
   * only those that they ask for.
   */
  readonly privilegedHostDevices?: "all" | "allowed" | "none";
  /** Whether unprivileged containers may write to their own cgroup's files; false unless told. Needs cgroup v2. */
  readonly cgroupWritable?: boolean;
  /** Resource limits over those of the node. */
  readonly defaultRlimits?: RlimitRequest;
}

export type Handlers = Readonly<Record<string, HandlerConfig>>;

/** A handler with everything that it does not say filled in. */
export type HandlerSettings = HandlerConfig &
  Required<Pick<HandlerConfig, "program" | "kind" | "arguments" | "podAnnotations" | "containerAnnotations">>;

const usualArguments: Readonly<Record<string, readonly string[]>> = {
  // Each container has a kernel of its own. Its own TCP stack would take the Pod's addresses away from the next one, and from itself
  // after a restart, for no pause container keeps it; so it uses the Pod's namespace as every other program does.
  runsc: ["--network=host"],
};

/** Names are folders, and what RuntimeClass allows: DNS labels, and underscores as configurations of others have them. */
const namePattern = /^[a-z0-9]([-_.a-z0-9]{0,61}[a-z0-9])?$/;

/** The settings of the handler `name`. */
export const settingsOf = (name: string, handler: HandlerConfig): HandlerSettings => ({
  ...handler,
  program: handler.program ?? name,
  kind: handler.kind ?? "conmon",
  arguments: handler.arguments ?? usualArguments[name] ?? [],
  podAnnotations: handler.podAnnotations ?? [],
  containerAnnotations: handler.containerAnnotations ?? [],
});

/** The handlers of a configuration, "runc" always among them. What a name cannot be, or the machine not keep, is refused. */
export function handlerSettings(configured: Handlers): Map<string, HandlerSettings> {
  const wrong = Object.keys(configured).find((name) => !namePattern.test(name));
  if (wrong !== undefined) {
    throw new TripodError(
      "invalid",
      `runtime handler ${JSON.stringify(wrong)}: a name is lower-case letters, digits, "-", "_" and ".", at most 63`,
    );
  }
  for (const [name, { kind, arguments: options = [], configPath }] of Object.entries(configured)) {
    if (kind === "shim" && options.length > 0) {
      throw new TripodError("invalid", `handler ${name}: a shim takes no arguments; use configPath`);
    }
    if (kind !== "shim" && configPath !== undefined) {
      throw new TripodError("invalid", `handler ${name}: configPath is for a shim; use arguments, or kind: shim`);
    }
  }
  for (const [name, { cgroupWritable }] of Object.entries(configured)) {
    if (cgroupWritable === true && cgroupVersion() !== "v2") {
      throw new TripodError(
        "failed-precondition",
        `handler ${name}: cgroupWritable needs cgroup v2 alone, for on v1 a container could leave its limits; this machine has ${cgroupVersion()}`,
      );
    }
  }
  const all: Handlers = { runc: {}, ...configured };
  return new Map(Object.entries(all).map(([name, handler]) => [name, settingsOf(name, handler)]));
}
