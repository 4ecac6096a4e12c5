import type { Digest } from "../digest.ts";
import type { ExecutionConfig, ImageConfig } from "../spec/image-config.ts";
import type { Platform } from "../spec/platform.ts";
import type { ImageSpec } from "./image-spec.ts";

/** The config of an image that is built on `base` as `spec` says, with one more layer if there is one. */
export function mergeConfig(
  base: ImageConfig | undefined,
  spec: ImageSpec,
  added: { readonly diffId: Digest | undefined; readonly created: string; readonly platform: Platform },
): ImageConfig {
  const before: ExecutionConfig = base?.config ?? {};
  const { diffId, created, platform } = added;
  const names = (list: readonly string[] | undefined): Record<string, object> =>
    Object.fromEntries((list ?? []).map((item) => [item, {}]));
  const ports = { ...before.ExposedPorts, ...names(spec.ports) };
  const volumes = { ...before.Volumes, ...names(spec.volumes) };
  const labels = { ...before.Labels, ...spec.labels };
  const env = mergeEnv(before.Env ?? [], spec.env ?? {});
  const entrypoint = spec.entrypoint ?? before.Entrypoint;
  // As with docker: whoever sets an entry point does not want the arguments that were meant for another one.
  const cmd = spec.cmd ?? (spec.entrypoint === undefined ? before.Cmd : undefined);
  const user = spec.user ?? before.User;
  const workdir = spec.workdir ?? before.WorkingDir;
  const stopSignal = spec.stopSignal ?? before.StopSignal;
  const some = (map: object): boolean => Object.keys(map).length > 0;
  const config: ExecutionConfig = {
    ...(user === undefined ? {} : { User: user }),
    ...(some(ports) ? { ExposedPorts: ports } : {}),
    ...(env.length > 0 ? { Env: env } : {}),
    ...(entrypoint === undefined ? {} : { Entrypoint: entrypoint }),
    ...(cmd === undefined ? {} : { Cmd: cmd }),
    ...(some(volumes) ? { Volumes: volumes } : {}),
    ...(workdir === undefined ? {} : { WorkingDir: workdir }),
    ...(some(labels) ? { Labels: labels } : {}),
    ...(stopSignal === undefined ? {} : { StopSignal: stopSignal }),
  };
  const { os, architecture, variant } = base ?? platform;
  return {
    created,
    architecture,
    os,
    ...(variant === undefined ? {} : { variant }),
    config,
    rootfs: { type: "layers", diff_ids: [...(base?.rootfs.diff_ids ?? []), ...(diffId === undefined ? [] : [diffId])] },
    history: [
      ...(base?.history ?? []),
      { created, created_by: "tripod image build", ...(diffId === undefined && { empty_layer: true }) },
    ],
  };
}

function mergeEnv(before: readonly string[], more: Readonly<Record<string, string>>): string[] {
  const map = new Map(before.map((item) => [item.split("=")[0] ?? "", item]));
  for (const [name, value] of Object.entries(more)) map.set(name, `${name}=${value}`);
  return [...map.values()];
}
