import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CriProcess, startCriProcess } from "./cri-process.ts";

export interface ContainerdOptions {
  /** Where everything of it lives, made when absent: root, state, sockets, log. */
  readonly dir: string;
  /** The image of its pause container, in a registry that it can reach. */
  readonly sandboxImage: string;
  /** Where it finds CNI plugins; Debian's folder of upstream's unless told. */
  readonly cniBinDir?: string;
  readonly cniConfDir: string;
}

/** Starts Debian's containerd, with runc, in the network namespace of this process. Its socket serves CRI and containerd's own API. */
export function startContainerd(options: ContainerdOptions): Promise<CriProcess> {
  const { dir, sandboxImage, cniConfDir, cniBinDir = "/usr/lib/cni" } = options;
  mkdirSync(join(dir, "opt"), { recursive: true });
  const socket = join(dir, "containerd.sock");
  const config = join(dir, "config.toml");
  writeFileSync(
    config,
    `version = 2
root = "${dir}/root"
state = "${dir}/state"
[grpc]
  address = "${socket}"
[ttrpc]
  address = "${socket}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "${dir}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${sandboxImage}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  enable_selinux = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${cniBinDir}"
    conf_dir = "${cniConfDir}"
`,
  );
  return startCriProcess({
    command: ["containerd", "--config", config, "--log-level", "warn"],
    socket,
    logFile: join(dir, "containerd.log"),
  });
}
