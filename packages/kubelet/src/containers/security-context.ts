import { join } from "node:path";
import { NamespaceMode, SecurityProfile_ProfileType, SupplementalGroupsPolicy } from "@tripod/api/cri";
import type { Container, Pod, SeccompProfile } from "@tripod/api/kubernetes";
import type { ContainerConfigInit, SandboxConfigInit } from "../cri/cri-client.ts";
import { type IdRange, usernsOptionsOf } from "../pods/user-namespaces.ts";
import { StartError } from "./start-error.ts";

type SandboxSecurity = NonNullable<NonNullable<SandboxConfigInit["linux"]>["securityContext"]>;
type ContainerSecurity = NonNullable<NonNullable<ContainerConfigInit["linux"]>["securityContext"]>;

/** What the image says about its user, by CRI's ImageStatus. */
export interface ImageUser {
  readonly uid: number | undefined;
  readonly username: string;
}

/** What of /proc and /sys a container does not see, unless its Pod says procMount Unmasked. */
export const maskedPaths = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
/** What of /proc it may only read. */
export const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const int64 = (value: number | undefined) => (value === undefined ? undefined : { value: BigInt(value) });

function seccomp(profile: SeccompProfile | undefined, seccompDir: string) {
  switch (profile?.type) {
    case "RuntimeDefault":
      return { profileType: SecurityProfile_ProfileType.RuntimeDefault };
    case "Localhost":
      return {
        profileType: SecurityProfile_ProfileType.Localhost,
        localhostRef: join(seccompDir, profile.localhostProfile ?? ""),
      };
    default:
      return { profileType: SecurityProfile_ProfileType.Unconfined };
  }
}

/** Which namespaces a Pod shares with the host, and its containers with one another. */
export function namespaceOptions(pod: Pod, users: IdRange | undefined, targetId?: string) {
  const { hostNetwork, hostPID, hostIPC, shareProcessNamespace } = pod.spec ?? {};
  const pid = hostPID
    ? NamespaceMode.NODE
    : targetId !== undefined
      ? NamespaceMode.TARGET
      : shareProcessNamespace
        ? NamespaceMode.POD
        : NamespaceMode.CONTAINER;
  return {
    network: hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD,
    ipc: hostIPC ? NamespaceMode.NODE : NamespaceMode.POD,
    pid,
    targetId: targetId ?? "",
    ...usernsOptionsOf(users),
  };
}

const groupsOf = (pod: Pod): bigint[] => {
  const { fsGroup, supplementalGroups = [] } = pod.spec?.securityContext ?? {};
  return [...(fsGroup === undefined ? [] : [fsGroup]), ...supplementalGroups].map(BigInt);
};

const groupsPolicyOf = (pod: Pod) =>
  pod.spec?.securityContext?.supplementalGroupsPolicy === "Strict"
    ? SupplementalGroupsPolicy.Strict
    : SupplementalGroupsPolicy.Merge;

/** The sandbox's security: what is common to the Pod, and privileged when any of its containers is. */
export function sandboxSecurity(pod: Pod, seccompDir: string, users?: IdRange): SandboxSecurity {
  const context = pod.spec?.securityContext ?? {};
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  return {
    namespaceOptions: namespaceOptions(pod, users),
    runAsUser: int64(context.runAsUser),
    runAsGroup: int64(context.runAsUser === undefined ? undefined : context.runAsGroup),
    supplementalGroups: groupsOf(pod),
    supplementalGroupsPolicy: groupsPolicyOf(pod),
    privileged: containers.some((container) => container.securityContext?.privileged === true),
    seccomp: seccomp({ type: "RuntimeDefault", ...context.seccompProfile }, seccompDir),
  };
}

/** Refuses a root user where the Pod forbids one. */
function checkNonRoot(pod: Pod, container: Container, image: ImageUser, runAsUser: number | undefined): void {
  const wanted = container.securityContext?.runAsNonRoot ?? pod.spec?.securityContext?.runAsNonRoot ?? false;
  if (!wanted) return;
  const refuse = (why: string): never => {
    throw new StartError("CreateContainerConfigError", `container ${container.name}: ${why}`);
  };
  if (runAsUser === 0) refuse("runAsNonRoot is set, and so is runAsUser 0; ask for another user");
  if (runAsUser !== undefined) return;
  if (image.username !== "") {
    refuse(`runAsNonRoot is set, and the image's user ${image.username} is a name that may be root; set runAsUser`);
  }
  if ((image.uid ?? 0) === 0) refuse("runAsNonRoot is set, and the image runs as root; set runAsUser");
}

/** One container's security: its own settings before the Pod's, and the image's user last. */
export function containerSecurity(
  pod: Pod,
  container: Container,
  options: {
    readonly image: ImageUser;
    readonly seccompDir: string;
    readonly users?: IdRange | undefined;
    readonly targetId?: string;
  },
): ContainerSecurity {
  const context = container.securityContext ?? {};
  const podContext = pod.spec?.securityContext ?? {};
  const runAsUser = context.runAsUser ?? podContext.runAsUser;
  checkNonRoot(pod, container, options.image, runAsUser);
  const unmasked = context.procMount === "Unmasked";
  return {
    privileged: context.privileged ?? false,
    readonlyRootfs: context.readOnlyRootFilesystem ?? false,
    capabilities: {
      addCapabilities: context.capabilities?.add ?? [],
      dropCapabilities: context.capabilities?.drop ?? [],
    },
    namespaceOptions: namespaceOptions(pod, options.users, options.targetId),
    runAsUser: int64(runAsUser ?? (options.image.username === "" ? options.image.uid : undefined)),
    runAsUsername: runAsUser === undefined ? options.image.username : "",
    runAsGroup: int64(context.runAsGroup ?? podContext.runAsGroup),
    supplementalGroups: groupsOf(pod),
    supplementalGroupsPolicy: groupsPolicyOf(pod),
    noNewPrivs: context.allowPrivilegeEscalation === false,
    maskedPaths: unmasked ? [] : maskedPaths,
    readonlyPaths: unmasked ? [] : readonlyPaths,
    seccomp: seccomp(context.seccompProfile ?? podContext.seccompProfile, options.seccompDir),
  };
}
