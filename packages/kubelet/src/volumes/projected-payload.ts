import type { Pod, ProjectedVolumeSource } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import type { ConfigSource } from "../containers/environment.ts";
import type { PodFacts } from "../containers/field-value.ts";
import { configMapPayload, secretPayload } from "./config-payload.ts";
import { downwardPayload } from "./downward-payload.ts";
import type { PayloadFile } from "./payload.ts";

/** Asks for a token of the Pod's service account, bound to the Pod. */
export type TokenSource = (
  pod: Pod,
  request: { readonly audience: string | undefined; readonly expirationSeconds: number },
) => Promise<{ readonly token: string; readonly expirationTimestamp: string }>;

export interface ProjectedInput {
  readonly source: ConfigSource;
  readonly facts: PodFacts;
  readonly token: TokenSource;
}

/** The one user id that every container of the Pod runs as; undefined when they differ or leave it open. */
function commonUser(pod: Pod): number | undefined {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const users = new Set(
    containers.map(({ securityContext }) => securityContext?.runAsUser ?? pod.spec?.securityContext?.runAsUser),
  );
  return users.size === 1 ? [...users][0] : undefined;
}

/** The files of a projected volume, all its sources over one another in order. */
export async function projectedPayload(
  pod: Pod,
  volume: ProjectedVolumeSource,
  input: ProjectedInput,
): Promise<Map<string, PayloadFile>> {
  const defaultMode = volume.defaultMode ?? 0o644;
  const payload = new Map<string, PayloadFile>();
  const add = (files: ReadonlyMap<string, PayloadFile>): void => {
    for (const [path, file] of files) payload.set(path, file);
  };
  for (const { configMap, secret, downwardAPI, serviceAccountToken, ...rest } of volume.sources ?? []) {
    if (configMap !== undefined) add(await configMapPayload(pod, configMap, { ...input, defaultMode }));
    else if (secret !== undefined) add(await secretPayload(pod, secret, { ...input, defaultMode }));
    else if (downwardAPI !== undefined) add(downwardPayload(pod, downwardAPI.items ?? [], { ...input, defaultMode }));
    else if (serviceAccountToken !== undefined) {
      const { audience, expirationSeconds = 3600, path } = serviceAccountToken;
      const { token } = await input.token(pod, { audience, expirationSeconds });
      const uid = commonUser(pod);
      const guarded = uid !== undefined || pod.spec?.securityContext?.fsGroup !== undefined;
      // A token that one user or one group can be given is given to no one else.
      payload.set(path, {
        data: Buffer.from(token),
        mode: guarded ? 0o600 : defaultMode,
        ...(uid === undefined ? {} : { uid }),
      });
    } else {
      throw new TripodError(
        "unimplemented",
        `projected source ${Object.keys(rest).join(", ")}: not known to this kubelet`,
      );
    }
  }
  return payload;
}
