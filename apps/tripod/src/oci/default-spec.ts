import { maskedPaths, readonlyPaths } from "@tripod/kubelet";
import { cgroupVersion } from "@tripod/linux";
import {
  buildEnvironment,
  buildRuntimeSpec,
  type ImageConfig,
  noResources,
  readAccounts,
  resolveUser,
  type RuntimeSpec,
} from "@tripod/oci";

export interface DefaultSpecRequest {
  /** As config.json is to have it, relative to the bundle. */
  readonly rootPath: string;
  readonly terminal: boolean;
  /** Of an image, with the folder in which its accounts are looked up; a shell as root without it. */
  readonly image?: { readonly config: ImageConfig; readonly rootfs: string };
}

/** config.json of a container in namespaces of its own, with the default capabilities and no network. */
export function defaultSpec({ rootPath, terminal, image }: DefaultSpecRequest): RuntimeSpec {
  const execution = image?.config.config ?? {};
  const user = resolveUser(
    { imageUser: execution.User ?? "", supplementalGroups: [], groupsPolicy: "merge" },
    image === undefined ? { passwd: [], group: [] } : readAccounts(image.rootfs),
  );
  const words = [...(execution.Entrypoint ?? []), ...(execution.Cmd ?? [])];
  const spec = buildRuntimeSpec({
    rootfs: rootPath,
    rootReadonly: false,
    args: words.length > 0 ? words : ["sh"],
    cwd: execution.WorkingDir ?? "/",
    environment: buildEnvironment({
      image: execution.Env ?? [],
      own: [],
      terminal,
      hostname: "tripod",
      home: user.home,
    }),
    terminal,
    user,
    noNewPrivileges: true,
    privileged: false,
    capabilities: { add: [], drop: [], ambient: [] },
    rlimits: {},
    oomScoreAdj: 0,
    hostname: "tripod",
    namespaces: {
      network: { kind: "new" },
      ipc: { kind: "new" },
      uts: { kind: "new" },
      pid: { kind: "new" },
      cgroup: { kind: cgroupVersion() === "v2" ? "new" : "host" },
    },
    binds: [],
    devices: [],
    maskedPaths,
    readonlyPaths,
    sysctls: {},
    cgroupsPath: "",
    cgroup: { version: cgroupVersion(), swapLimit: false, hugetlb: false },
    resources: noResources,
    seccomp: { kind: "runtime-default" },
    annotations: {},
  });
  // Where its cgroup is, whoever runs it decides; the score is inherited.
  const { cgroupsPath: _path, ...linux } = spec.linux;
  const { oomScoreAdj: _score, ...process } = spec.process;
  return { ...spec, process, linux } as RuntimeSpec; // which config.json may leave out, unlike ours
}
