import { createHash } from "node:crypto";
import { join, resolve } from "node:path";

/** Where everything of one instance lives. Paths are absolute. */
export interface Layout {
  /** The folder given with --root; undefined for the system-wide instance. */
  readonly root: string | undefined;
  /** "" for the system-wide instance, else 8 hex digits that follow from the root's path. */
  readonly instance: string;
  readonly etcDir: string;
  readonly configFile: string;
  /** Registry hosts in containerd's layout: certs.d/HOST/hosts.toml. */
  readonly certsDir: string;
  readonly libDir: string;
  readonly runDir: string;
  readonly criSocket: string;
  /** Blobs, image records and partial downloads. */
  readonly contentDir: string;
  readonly snapshotsDir: string;
  /** SQLite records of the CRI server. */
  readonly recordsDir: string;
  readonly sandboxesDir: string;
  readonly containersDir: string;
  readonly cniConfDir: string;
  /** Where our own plugins are installed. */
  readonly cniBinDir: string;
  /** Where plugins are looked for, in order. */
  readonly cniBinDirs: readonly string[];
  /** libcni's result cache (has a `results` folder in it). */
  readonly cniCacheDir: string;
  /** host-local's data, a folder a network. */
  readonly cniDataDir: string;
  readonly kubeletDir: string;
  readonly pluginsRegistryDir: string;
  /** Where FlexVolume drivers are installed, a folder each. */
  readonly flexDriversDir: string;
  readonly podLogsDir: string;
  readonly apiserverDir: string;
  readonly pkiDir: string;
  readonly csiStateDir: string;
  readonly traceDir: string;
  /** The administrator's kubeconfig. */
  readonly kubeconfig: string;
  /** The cgroup, relative to each hierarchy's root, under which every Pod of this instance runs. */
  readonly cgroupParent: string;
  /** The bridge of the default network; at most 15 characters. */
  readonly bridge: string;
}

/** The layout of the instance under `root`, or of the system-wide one when there is none. */
export function layoutOf(root?: string): Layout {
  const base = root === undefined ? undefined : resolve(root);
  const instance = base === undefined ? "" : createHash("sha256").update(base).digest("hex").slice(0, 8);
  const at = (system: string, own: string): string => (base === undefined ? system : join(base, own));
  const etcDir = at("/etc/tripod", "etc");
  const libDir = at("/var/lib/tripod", "lib");
  const runDir = at("/run/tripod", "run");
  const kubeletDir = at("/var/lib/kubelet", "kubelet");
  const cniBinDir = at("/opt/cni/bin", "cni/bin");
  return {
    root: base,
    instance,
    etcDir,
    configFile: join(etcDir, "config.yaml"),
    certsDir: join(etcDir, "certs.d"),
    libDir,
    runDir,
    criSocket: join(runDir, "tripod.sock"),
    contentDir: join(libDir, "content"),
    snapshotsDir: join(libDir, "snapshots"),
    recordsDir: join(libDir, "records"),
    sandboxesDir: join(runDir, "sandboxes"),
    containersDir: join(runDir, "containers"),
    cniConfDir: at("/etc/cni/net.d", "cni/net.d"),
    cniBinDir,
    cniBinDirs: [...new Set([cniBinDir, "/opt/cni/bin", "/usr/lib/cni"])],
    cniCacheDir: at("/var/lib/cni", "lib/cni"),
    cniDataDir: at("/var/lib/cni/networks", "lib/cni/networks"),
    kubeletDir,
    pluginsRegistryDir: join(kubeletDir, "plugins_registry"),
    flexDriversDir: at("/usr/libexec/kubernetes/kubelet-plugins/volume/exec", "kubelet/volume-plugins"),
    podLogsDir: at("/var/log/pods", "log/pods"),
    apiserverDir: join(libDir, "apiserver"),
    pkiDir: join(libDir, "pki"),
    csiStateDir: join(libDir, "csi"),
    traceDir: join(libDir, "trace"),
    kubeconfig: at("/etc/tripod/kubeconfig", "kubeconfig"),
    cgroupParent: base === undefined ? "/tripod" : `/tripod-${instance}`,
    bridge: base === undefined ? "tripod0" : `tri-${instance}`,
  };
}
