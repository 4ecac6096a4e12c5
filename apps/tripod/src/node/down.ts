import { existsSync, readdirSync } from "node:fs";
import { RuntimeService } from "@tripod/api/cri";
import { isTripodError, type Layout, layoutOf, messageOf, silentLogger, TripodError } from "@tripod/base";
import { GrpcChannel } from "@tripod/grpc";
import { instanceCgroups } from "@tripod/cri";
import {
  detachLoop,
  isMountPoint,
  killCgroup,
  loopDevices,
  loopsOf,
  mountInfo,
  openRtnetlink,
  removeCgroup,
  unmount,
  waitForExit,
} from "@tripod/linux";
import { Images } from "@tripod/oci";
import { Command } from "commander";
import { runningDaemon } from "./instance-lock.ts";
import { enterInstance, requireRoot } from "./node-process.ts";
import { requireOwnFolder } from "./own-folder.ts";
import { removeHandContainers } from "../oci/container-commands.ts";
import { isUnder, removeFolders } from "./remove-folders.ts";
import { type Config, loadConfig } from "./config.ts";
import { startRuntime } from "./runtime.ts";

const say = (text: string): boolean => process.stdout.write(`tripod: ${text}\n`);

/** How long a daemon may take to stop before it is killed, in milliseconds. */
const stopWithinMs = 15_000;

async function stopDaemon(layout: Layout): Promise<void> {
  const pid = runningDaemon(layout);
  if (pid === undefined) return;
  say(`stopping the daemon (process ${pid})`);
  process.kill(pid, "SIGTERM");
  try {
    await waitForExit(pid, { signal: AbortSignal.timeout(stopWithinMs) });
  } catch (error) {
    if (!isTripodError(error, "cancelled", "timeout") && !(error instanceof DOMException)) throw error;
    say(`the daemon did not stop within ${stopWithinMs / 1000} s; killing it`);
    process.kill(pid, "SIGKILL");
    await waitForExit(pid, {});
  }
}

/** The configured handlers; a configuration that is wrong must not keep anything from being removed. */
function handlersOf(layout: Layout): Config["cri"] {
  try {
    return loadConfig(layout).cri;
  } catch (error) {
    say(`${messageOf(error)}; going on as if it named no runtime handlers`);
    return {};
  }
}

/** Removes every sandbox through the runtime itself, so that networks, namespaces and containers go the way they came. */
async function removePods(layout: Layout): Promise<void> {
  if (!existsSync(layout.recordsDir)) return;
  await using stack = new AsyncDisposableStack();
  enterInstance(layout, stack);
  await startRuntime({ layout, log: silentLogger, config: handlersOf(layout) }, stack);
  using channel = new GrpcChannel({ socket: layout.criSocket });
  const runtime = channel.client(RuntimeService);
  const { items } = await runtime.listPodSandbox({});
  const errors: unknown[] = [];
  for (const { id, metadata } of items) {
    say(`removing Pod ${metadata?.namespace}/${metadata?.name}`);
    try {
      await runtime.stopPodSandbox({ podSandboxId: id });
      await runtime.removePodSandbox({ podSandboxId: id });
    } catch (error) {
      errors.push(
        new TripodError("internal", `remove Pod ${metadata?.namespace}/${metadata?.name}: ${messageOf(error)}`, {
          cause: error,
        }),
      );
    }
  }
  if (errors.length > 0) throw new AggregateError(errors);
}

/** Images mounted by hand may be anywhere. */
async function unmountImages(layout: Layout): Promise<void> {
  if (!existsSync(layout.contentDir)) return;
  await using images = await Images.open({ layout, log: silentLogger });
  for (const target of images.unmount({ detach: true })) say(`unmounted ${target}`);
  await images.endLazyStarts();
}

/** Unmounts everything below the folders, deepest first. */
function unmountBelow(dirs: readonly string[]): void {
  const targets = mountInfo()
    .map((entry) => entry.mountPoint)
    .filter((target) => dirs.some((dir) => isUnder(target, dir)));
  for (const target of targets.reverse()) {
    if (isMountPoint(target)) unmount(target, { detach: true });
  }
}

/** Lets go of the block devices that show files below the folder, as volumes in use as raw devices, or that hold those. */
function detachBelow(dir: string): void {
  for (const { backingFile } of loopDevices())
    if (isUnder(backingFile, dir)) for (const { path } of loopsOf(backingFile)) detachLoop(path);
}

function removeBridge(layout: Layout): void {
  using netlink = openRtnetlink({});
  if (netlink.findLink(layout.bridge) !== undefined) netlink.linkDelete(layout.bridge);
}

async function down(options: { root?: string }): Promise<void> {
  requireRoot();
  const layout = layoutOf(options.root);
  if (!existsSync(layout.libDir) && !existsSync(layout.runDir)) {
    say(`nothing to remove: no instance at ${layout.root ?? layout.libDir}`);
    return;
  }
  requireOwnFolder(layout, "remove the instance");
  await stopDaemon(layout);
  // Every step gets its turn: one Pod whose CNI plugin is gone must not leave the rest on the machine.
  const failures: unknown[] = [];
  const steps: readonly (() => Promise<void> | void)[] = [
    () => removePods(layout),
    () => removeHandContainers(layout, handlersOf(layout)),
    ...instanceCgroups(layout).map((cgroup) => () => killCgroup(cgroup)),
    () => unmountImages(layout),
    // What keeps a device open is found by where that is bound.
    () => detachBelow(layout.kubeletDir),
    () => unmountBelow([layout.kubeletDir, layout.runDir, layout.libDir]),
    () => detachBelow(layout.csiStateDir),
    () => removeBridge(layout),
    ...instanceCgroups(layout).map((cgroup) => () => removeCgroup(cgroup)),
    () => removeFolders(layout),
  ];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0)
    throw new AggregateError(failures, "removed all that could be; what the following names may be left behind");
  const kept = [layout.etcDir, layout.cniConfDir].filter((dir) => existsSync(dir) && readdirSync(dir).length > 0);
  say(kept.length === 0 ? "removed" : `removed; what you wrote yourself stays in ${kept.join(" and ")}`);
}

/** `tripod down`. */
export function downCommand(): Command {
  return new Command("down")
    .description(
      "Stop the daemon and remove every Pod, volume, network and file that this instance made; volumes' data too",
    )
    .option("--root <dir>", "the instance's folder")
    .addHelpText("after", "\nExample:\n  tripod down --root /tmp/node")
    .action((options: { root?: string }) => down(options));
}
