import { join } from "node:path";

/** A Pod as its names on disk tell it. */
export interface PodIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** The folder of a Pod's logs: NAMESPACE_NAME_UID, none of which can contain an underscore. */
export const podLogFolder = (podLogsDir: string, { namespace, name, uid }: PodIdentity): string =>
  join(podLogsDir, `${namespace}_${name}_${uid}`);

/** The Pod that a log folder belongs to; undefined for a name of another form. */
export function identityOfLogFolder(folder: string): PodIdentity | undefined {
  const [namespace, name, uid, ...rest] = folder.split("_");
  return namespace === undefined || name === undefined || uid === undefined || rest.length > 0
    ? undefined
    : { namespace, name, uid };
}
