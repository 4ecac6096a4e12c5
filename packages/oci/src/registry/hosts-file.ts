import { readdir, readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { isNodeError, messageOf, TripodError } from "@tripod/base";
import { parse } from "smol-toml";
import { arrayAt, objectAt, optionalStringAt, stringAt } from "../spec/json.ts";
import { type Capability, defaultHost, isLoopback, type RegistryHost, type RegistryTls } from "./registry-host.ts";

/**
 * The places to ask for images of `host`, in order: mirrors, then the registry itself. Read anew at each pull from
 * `certsDir/HOST/hosts.toml` in containerd's layout (docs/hosts.md there): HOST with its port as "name_5000_" or "name:5000",
 * else `_default`. A folder without hosts.toml may hold docker's *.crt, *.cert and *.key.
 */
export async function loadHosts(certsDir: string, host: string): Promise<RegistryHost[]> {
  const colon = host.startsWith("[") ? host.indexOf("]:") + 1 : host.indexOf(":");
  const names =
    colon > 0 ? [`${host.slice(0, colon)}_${host.slice(colon + 1)}_`, host, "_default"] : [host, "_default"];
  for (const name of names) {
    const dir = join(certsDir, name);
    try {
      return await fromToml(dir, await readFile(join(dir, "hosts.toml"), "utf8"), host);
    } catch (error) {
      if (!isNodeError(error, "ENOENT", "ENOTDIR")) throw error;
    }
    const tls = await dockerCertificates(dir);
    if (tls !== undefined) return [{ ...defaultHost(host), tls }];
  }
  return [defaultHost(host)];
}

async function fromToml(dir: string, text: string, host: string): Promise<RegistryHost[]> {
  const file = join(dir, "hosts.toml");
  let document: Record<string, unknown>;
  try {
    document = parse(text);
  } catch (cause) {
    throw new TripodError("invalid", `registry configuration ${file}: ${messageOf(cause).split("\n")[0]}`, { cause });
  }
  const hosts: RegistryHost[] = [];
  const mirrors = document.host === undefined ? {} : objectAt(document.host, `${file}: host`);
  for (const [url, table] of Object.entries(mirrors)) {
    hosts.push(await hostOf(url, objectAt(table, `${file}: a [host] table`), { dir, file, origin: false }));
  }
  const server = optionalStringAt(document.server, `${file}: server`);
  if (server === undefined || server === "") {
    // Without a server the registry itself comes last, with what the file says at its top.
    const own = await hostOf(defaultHost(host).base, { ...document, override_path: true }, { dir, file, origin: true });
    hosts.push({ ...own, httpFallback: isLoopback(host) });
  } else hosts.push(await hostOf(server, document, { dir, file, origin: true }));
  return hosts;
}

interface Place {
  readonly dir: string;
  readonly file: string;
  readonly origin: boolean;
}

async function hostOf(text: string, table: Record<string, unknown>, place: Place): Promise<RegistryHost> {
  // A name and password in a URL are not used, and not told.
  const where = `registry configuration ${place.file}: ${text.replace(/^([a-z+]+:\/\/)?[^/]*@/i, "$1")}`;
  const hasScheme = /^https?:\/\//.test(text);
  if (!hasScheme && text.includes("://"))
    throw new TripodError("invalid", `${where}: only http:// and https:// are known`);
  if (!URL.canParse(hasScheme ? text : `https://${text}`)) throw new TripodError("invalid", `${where}: is not a URL`);
  const url = new URL(hasScheme ? text : `https://${text}`);
  const path = url.pathname.replace(/\/+$/, "");
  const base = `${url.origin}${table.override_path === true || path.endsWith("/v2") ? path : `${path}/v2`}`;
  return {
    base,
    capabilities: capabilitiesOf(table.capabilities, where),
    origin: place.origin,
    httpFallback: !hasScheme && isLoopback(url.host),
    tls: await tlsOf(table, place.dir, where),
    headers: headersOf(table.header, where),
  };
}

function capabilitiesOf(value: unknown, where: string): ReadonlySet<Capability> {
  if (value === undefined) return new Set(["pull", "resolve", "push"]);
  const set = new Set<Capability>();
  for (const item of arrayAt(value, `${where}: capabilities`)) {
    if (item === "pull" || item === "resolve" || item === "push") set.add(item);
    else
      throw new TripodError("invalid", `${where}: capabilities: ${JSON.stringify(item)} is not pull, resolve or push`);
  }
  return set;
}

function headersOf(value: unknown, where: string): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, item] of Object.entries(value === undefined ? {} : objectAt(value, `${where}: header`))) {
    if (!/^[A-Za-z0-9-]+$/.test(name))
      throw new TripodError("invalid", `${where}: header: bad name ${JSON.stringify(name)}`);
    headers[name] = Array.isArray(item)
      ? item.map((part) => stringAt(part, `${where}: header.${name}`))
      : stringAt(item, `${where}: header.${name}`);
  }
  return headers;
}

async function tlsOf(table: Record<string, unknown>, dir: string, where: string): Promise<RegistryTls> {
  const load = async (path: unknown, key: string): Promise<string> => {
    const name = stringAt(path, `${where}: ${key}`);
    try {
      return await readFile(isAbsolute(name) ? name : join(dir, name), "utf8");
    } catch (cause) {
      throw new TripodError("invalid", `${where}: ${key}: cannot read ${name}: ${messageOf(cause)}`, { cause });
    }
  };
  const ca = table.ca === undefined ? [] : Array.isArray(table.ca) ? table.ca : [table.ca];
  // "file.pem" (both in one), ["file.pem"], or [["cert", "key"]]; the first pair is used, as Node takes one identity a connection.
  const client: unknown = Array.isArray(table.client) ? table.client[0] : table.client;
  const [cert, key] = Array.isArray(client) ? client : [client, client];
  return {
    ...(table.skip_verify === true ? { skipVerify: true } : {}),
    ...(ca.length === 0 ? {} : { ca: await Promise.all(ca.map((path) => load(path, "ca"))) }),
    ...(cert === undefined ? {} : { cert: await load(cert, "client"), key: await load(key || cert, "client") }),
  };
}

async function dockerCertificates(dir: string): Promise<RegistryTls | undefined> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch (error) {
    if (isNodeError(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  const read = (name: string): Promise<string> => readFile(join(dir, name), "utf8");
  const ca = await Promise.all(names.filter((name) => name.endsWith(".crt")).map(read));
  const cert = names.find((name) => name.endsWith(".cert") && names.includes(name.replace(/cert$/, "key")));
  if (ca.length === 0 && cert === undefined) return undefined;
  return {
    ...(ca.length === 0 ? {} : { ca }),
    ...(cert === undefined ? {} : { cert: await read(cert), key: await read(cert.replace(/cert$/, "key")) }),
  };
}
