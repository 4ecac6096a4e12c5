import { createPublicKey, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { isNodeError, messageOf, TripodError } from "@tripod/base";
import { arrayAt, objectAt, parseJson, stringAt } from "../spec/json.ts";
import { type IdentityRule, parseIdentityRule } from "./identity-rule.ts";

/** What an image must satisfy before it is let in (containers-policy.json(5), "Policy Requirements"). */
export type Requirement =
  | { readonly kind: "accept" }
  /** `why` is there for requirements that are not known here: they refuse, rather than be passed over. */
  | { readonly kind: "reject"; readonly why: string }
  | { readonly kind: "signed"; readonly keys: readonly KeyObject[]; readonly identity: IdentityRule };

/** Which images are let in: requirements by scope, the most specific one alone counts. */
export interface Policy {
  readonly file: string;
  readonly byDefault: readonly Requirement[];
  /** "" is the default of all registries; else "host", "host/namespace", "host/repository:tag", "host/repository@digest", "*.domain". */
  readonly docker: ReadonlyMap<string, readonly Requirement[]>;
}

/** Reads `etcDir/policy.json`, anew at each use; undefined without one: then everything is let in. What cannot be read lets nothing in. */
export async function loadPolicy(etcDir: string): Promise<Policy | undefined> {
  const file = join(etcDir, "policy.json");
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
  const where = `signature policy ${file}`;
  const object = objectAt(parseJson(bytes, where), where);
  onlyKeys(object, ["default", "transports"], where);
  const read = { where, dir: etcDir };
  const byDefault = await requirementsAt(object.default, { ...read, where: `${where}: default` });
  const transports = object.transports === undefined ? {} : objectAt(object.transports, `${where}: transports`);
  const scopes = transports.docker === undefined ? {} : objectAt(transports.docker, `${where}: transports.docker`);
  const docker = new Map<string, readonly Requirement[]>();
  for (const [scope, value] of Object.entries(scopes))
    docker.set(scope, await requirementsAt(value, { ...read, where: `${where}: docker ${JSON.stringify(scope)}` }));
  return { file, byDefault, docker };
}

interface Read {
  readonly where: string;
  readonly dir: string;
}

function onlyKeys(object: Record<string, unknown>, known: readonly string[], where: string): void {
  for (const key of Object.keys(object))
    if (!known.includes(key)) throw new TripodError("invalid", `${where}: ${JSON.stringify(key)} is not known here`);
}

async function requirementsAt(value: unknown, read: Read): Promise<Requirement[]> {
  const list = arrayAt(value, read.where, 100);
  if (list.length === 0) throw new TripodError("invalid", `${read.where}: must be a list of at least one requirement`);
  return Promise.all(list.map((item, index) => requirementAt(item, { ...read, where: `${read.where}[${index}]` })));
}

async function requirementAt(value: unknown, read: Read): Promise<Requirement> {
  const { where } = read;
  const object = objectAt(value, where);
  const type = stringAt(object.type, `${where}.type`);
  if (type === "insecureAcceptAnything" || type === "reject") {
    onlyKeys(object, ["type"], where);
    return type === "reject" ? { kind: "reject", why: "it is rejected" } : { kind: "accept" };
  }
  if (type !== "sigstoreSigned") return { kind: "reject", why: `it asks for ${type}, which is not known here` };
  for (const key of [
    "fulcio",
    "pki",
    "rekorPublicKeyPath",
    "rekorPublicKeyPaths",
    "rekorPublicKeyData",
    "rekorPublicKeyDatas",
  ])
    if (object[key] !== undefined)
      return { kind: "reject", why: `it asks for ${key}, which is not known here; give keys` };
  const sources = ["keyPath", "keyPaths", "keyData", "keyDatas"];
  onlyKeys(object, ["type", "signedIdentity", ...sources], where);
  const given = sources.filter((key) => object[key] !== undefined);
  const [source = ""] = given;
  if (given.length !== 1) throw new TripodError("invalid", `${where}: must have one of ${sources.join(", ")}`);
  const items = source.endsWith("s") ? arrayAt(object[source], `${where}.${source}`, 100) : [object[source]];
  if (items.length === 0) throw new TripodError("invalid", `${where}.${source}: must name a key`);
  const texts = items.map((item) => stringAt(item, `${where}.${source}`));
  return {
    kind: "signed",
    keys: await Promise.all(texts.map((text) => keyAt(text, { ...read, source }))),
    identity: parseIdentityRule(object.signedIdentity, `${where}.signedIdentity`),
  };
}

/** A public key: PEM in a file (a path relative to the policy's folder is one there), or base64 of PEM. */
async function keyAt(text: string, { where, dir, source }: Read & { readonly source: string }): Promise<KeyObject> {
  const at = `${where}.${source}`;
  const path = resolve(dir, text);
  let key: KeyObject;
  try {
    const pem = source.startsWith("keyData") ? Buffer.from(text, "base64") : await readFile(path);
    key = createPublicKey(pem);
  } catch (cause) {
    const what = source.startsWith("keyData") ? "is not base64 of a public key in PEM" : `cannot use ${path}`;
    throw new TripodError("invalid", `${at}: ${what}: ${messageOf(cause)}`, { cause });
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const fits =
    (type === "ec" && details?.namedCurve === "prime256v1") ||
    (type === "rsa" && (details?.modulusLength ?? 0) >= 2048) ||
    type === "ed25519";
  if (!fits)
    throw new TripodError("invalid", `${at}: must be a key for ECDSA P-256, RSA of at least 2048 bits, or Ed25519`);
  return key;
}
