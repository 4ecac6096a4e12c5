import { TripodError } from "@tripod/base";
import {
  fitsVolumeId,
  isOnDelete,
  onDeletes,
  shareProblem,
  shortName,
  subDirProblem,
  type VolumeIdentity,
} from "./volume-id.ts";

/** What a StorageClass asks for. */
export interface ClassParameters {
  readonly identity: VolumeIdentity;
  /** Of the volume's folder; undefined leaves it as it is. */
  readonly mode?: number;
}

const known = ["server", "share", "subDir", "mountPermissions", "onDelete"];
const ofProvisioner = "csi.storage.k8s.io/";
/** Names in `subDir` and the parameters that external-provisioner tells them by (--extra-create-metadata). */
const templates: Readonly<Record<string, string>> = {
  "${pvc.metadata.name}": "csi.storage.k8s.io/pvc/name",
  "${pvc.metadata.namespace}": "csi.storage.k8s.io/pvc/namespace",
  "${pv.metadata.name}": "csi.storage.k8s.io/pv/name",
};

/** Parameters are known by their names in any case, as csi-driver-nfs takes them. */
export function readClassParameters(name: string, parameters: Readonly<Record<string, string>>): ClassParameters {
  const refuse = (why: string): never => {
    throw new TripodError("invalid", `create volume ${name}: ${why}`);
  };
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(parameters)) {
    const parameter = known.find((each) => each.toLowerCase() === key.toLowerCase());
    if (parameter !== undefined) found.set(parameter, value);
    else if (!key.startsWith(ofProvisioner)) refuse(`parameter ${key} is unknown; known are ${known.join(", ")}`);
  }
  const server = found.get("server") ?? refuse("the StorageClass names no server");
  const share = found.get("share") ?? refuse("the StorageClass names no share");
  const path = `/${share.replace(/^\/+|\/+$/g, "")}`;
  const onDelete = found.get("onDelete") ?? "delete";
  if (!isOnDelete(onDelete)) return refuse(`onDelete ${onDelete} is none of ${onDeletes.join(", ")}`);
  const template = found.get("subDir") ?? "";
  const subDir = template === "" ? name : fillTemplate(template, parameters, refuse).replace(/^\/+|\/+$/g, "");
  const problem = shareProblem(server, path) ?? subDirProblem(subDir);
  if (problem !== undefined) refuse(problem);
  const mode = readMode(found.get("mountPermissions") ?? "0777");
  if (mode === undefined) refuse("mountPermissions is no octal number as 0750 is");
  const of = (short: string): VolumeIdentity =>
    template === ""
      ? { server, path, subDir: short, name: "", onDelete }
      : { server, path, subDir, name: short, onDelete };
  const identity = of(shortName(name, (short) => fitsVolumeId(of(short))));
  return { identity, ...(mode !== undefined && mode !== 0 && { mode }) };
}

/** An octal number of permission bits; undefined when it is none. */
export const readMode = (text: string): number | undefined =>
  /^[0-7]{1,5}$/.test(text) ? Number.parseInt(text, 8) & 0o7777 : undefined;

function fillTemplate(
  template: string,
  parameters: Readonly<Record<string, string>>,
  refuse: (why: string) => never,
): string {
  return template.replace(/\$\{[^}]*\}/g, (word) => {
    const key = templates[word] ?? refuse(`${word} in subDir is none of ${Object.keys(templates).join(", ")}`);
    const value =
      parameters[key] ?? refuse(`${word} is unknown; run external-provisioner with --extra-create-metadata`);
    // A claim's name may not lead to another folder.
    return value.includes("/") || value.startsWith(".") ? refuse(`${word} is ${JSON.stringify(value)}`) : value;
  });
}
