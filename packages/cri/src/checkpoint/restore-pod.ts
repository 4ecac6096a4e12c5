import { lstatSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import type { ContainerConfig, PodSandboxConfig } from "@tripod/api/cri";
import { failpoint, messageOf, TripodError } from "@tripod/base";
import { createContainer } from "../container/create.ts";
import type { CriContext } from "../context.ts";
import { sandboxMetadata, sandboxName } from "../records/sandbox-record.ts";
import { removeSandbox } from "../sandbox/remove.ts";
import { runSandbox } from "../sandbox/run.ts";
import { podDumpName, podFolder, requireNoOptions } from "./checkpoint-pod.ts";
import { requireRestores } from "./restore-source.ts";

const maxDumpBytes = 8 * 1024 * 1024;

export interface RestorePodRequest {
  readonly checkpointPath: string;
  readonly config?: PodSandboxConfig | undefined;
  readonly runtimeHandler: string;
  readonly options: Readonly<Record<string, string>>;
  readonly containerConfigs: readonly ContainerConfig[];
}

export interface RestoredPod {
  readonly podSandboxId: string;
  readonly restoredContainers: readonly { readonly name: string; readonly containerId: string }[];
}

/** The archives in a Pod's checkpoint, by their containers' names. */
async function archivesIn(checkpointPath: string): Promise<Map<string, string>> {
  const refuse = (why: string, cause?: unknown): TripodError =>
    new TripodError("invalid", `restore a sandbox: ${checkpointPath} is no checkpoint of one: ${why}`, { cause });
  if (!isAbsolute(checkpointPath)) throw refuse("the path is not absolute");
  const file = join(checkpointPath, podFolder, podDumpName);
  const stat = lstatSync(file, { throwIfNoEntry: false });
  if (stat?.isFile() !== true || stat.size > maxDumpBytes) throw refuse(`it has no plain ${podFolder}/${podDumpName}`);
  let dump: unknown;
  try {
    dump = JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    throw refuse(messageOf(cause), cause);
  }
  const field = (of: unknown, key: string): unknown => Reflect.get(Object(of), key);
  const containers = field(dump, "containers");
  if (field(dump, "version") !== 1 || !Array.isArray(containers)) throw refuse("it is of another version");
  const archives = new Map<string, string>();
  for (const container of containers) {
    const [name, archive] = [field(container, "name"), field(container, "archive")];
    if (typeof name !== "string" || typeof archive !== "string" || !/^[0-9a-f]{64}\.tar$/.test(archive))
      throw refuse("its list of containers is broken");
    archives.set(name, join(checkpointPath, podFolder, archive));
  }
  return archives;
}

/** The archive of each container that is asked for; the names must be those of the checkpoint, each once. */
function matched(configs: readonly ContainerConfig[], archives: ReadonlyMap<string, string>) {
  const names = configs.map(({ metadata }) => metadata?.name ?? "");
  const differs = names.length !== archives.size || new Set(names).size !== names.length;
  const found = configs.flatMap((config, index) => {
    const name = names[index] ?? "";
    const path = archives.get(name);
    return path === undefined ? [] : [{ name, config, path }];
  });
  if (!differs && found.length === configs.length && found.length > 0) return found;
  const has = [...archives.keys()].join(", ");
  throw new TripodError(
    "invalid",
    `restore a sandbox: its checkpoint has the containers ${has}, asked for are ${names.join(", ") || "none"}; name the same`,
  );
}

/**
 * Makes a sandbox, and of a Pod's checkpoint all its containers, each of which goes on once it is started. When any of it fails, nothing
 * of it is left.
 */
export async function restorePod(context: CriContext, request: RestorePodRequest): Promise<RestoredPod> {
  const { checkpointPath, config, runtimeHandler, options, containerConfigs } = request;
  requireNoOptions("restore a sandbox", options);
  if (config === undefined) throw new TripodError("invalid", "RestorePod: the config is missing");
  requireRestores(context, checkpointPath);
  const wanted = matched(containerConfigs, await archivesIn(checkpointPath));
  const name = sandboxName(sandboxMetadata(config));
  if (context.sandboxes.findByName(name) !== undefined) {
    const why = "a sandbox of this name, uid and attempt is there; remove it or raise the attempt";
    throw new TripodError("already-exists", `restore a sandbox: ${why}`);
  }
  const sandbox = await runSandbox(context, config, runtimeHandler);
  try {
    failpoint("cri.restore-pod.sandbox-made");
    const restoredContainers: { readonly name: string; readonly containerId: string }[] = [];
    for (const { name: container, config: of, path } of wanted) {
      const source = { kind: "archive", path } as const;
      restoredContainers.push({
        name: container,
        containerId: (await createContainer(context, sandbox, of, source)).id,
      });
    }
    return { podSandboxId: sandbox.id, restoredContainers };
  } catch (error) {
    await removeSandbox(context, sandbox.id).catch((cleanup: unknown) => {
      throw new AggregateError([error, cleanup], "restore a sandbox: it failed, and so did taking it back");
    });
    throw error;
  }
}
