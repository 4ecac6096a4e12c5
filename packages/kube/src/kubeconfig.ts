import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { messageOf, TripodError } from "@tripod/base";
import { parse } from "yaml";

/** How to reach an API server and as whom. */
export interface KubeConfig {
  /** "https://HOST:PORT[/PREFIX]", "http://…", or "unix:///PATH" of a socket that serves plain HTTP. */
  readonly server: string;
  /** PEM; without it the system's authorities are trusted. */
  readonly ca?: string;
  /** PEM of the client certificate and its key. */
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
  /** Read anew for each request, because its content is rotated; wins over `token`. */
  readonly tokenFile?: string;
  readonly username?: string;
  readonly password?: string;
  readonly tlsServerName?: string;
  readonly insecureSkipTlsVerify?: boolean;
  /** "default" unless the context says otherwise. */
  readonly namespace: string;
}

type Section = Readonly<Record<string, unknown>>;

const section = (value: unknown): Section =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Section) : {}; // checked on this line

const textOf = (from: Section, key: string): string | undefined => {
  const value = from[key];
  return typeof value === "string" && value !== "" ? value : undefined;
};

function named(config: Section, list: string, name: string, inner: string, path: string): Section {
  const entries = config[list];
  const found = Array.isArray(entries) ? entries.map(section).find((entry) => entry.name === name) : undefined;
  if (found === undefined)
    throw new TripodError("invalid", `read kubeconfig ${path}: ${list} has no entry named ${JSON.stringify(name)}`);
  return section(found[inner]);
}

/** Reads a kubeconfig file. Relative paths in it count from its folder. Users that need a helper program are refused. */
export function readKubeconfig(path: string, options: { readonly context?: string } = {}): KubeConfig {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new TripodError("not-found", `read kubeconfig ${path}: ${messageOf(cause)}; check --kubeconfig`, { cause });
  }
  return parseKubeconfig(text, { path, ...options });
}

/** As readKubeconfig, from text. */
export function parseKubeconfig(
  text: string,
  options: { readonly path: string; readonly context?: string },
): KubeConfig {
  const { path } = options;
  const read = (file: string): string => readFileSync(resolve(dirname(path), file), "utf8");
  try {
    const config = section(parse(text));
    const contextName = options.context ?? textOf(config, "current-context");
    if (contextName === undefined)
      throw new TripodError("invalid", `read kubeconfig ${path}: it has no current-context`);
    const context = named(config, "contexts", contextName, "context", path);
    const cluster = named(config, "clusters", textOf(context, "cluster") ?? "", "cluster", path);
    const userName = textOf(context, "user");
    const user = userName === undefined ? {} : named(config, "users", userName, "user", path);
    if (user.exec !== undefined || user["auth-provider"] !== undefined)
      throw new TripodError(
        "unimplemented",
        `read kubeconfig ${path}: user ${userName} needs a helper program; use a certificate or a token`,
      );
    const data = (from: Section, key: string): string | undefined => {
      const inline = textOf(from, `${key}-data`);
      if (inline !== undefined) return Buffer.from(inline, "base64").toString("utf8");
      const file = textOf(from, key);
      return file === undefined ? undefined : read(file);
    };
    const server = textOf(cluster, "server");
    if (server === undefined) throw new TripodError("invalid", `read kubeconfig ${path}: the cluster has no server`);
    const tokenFile = textOf(user, "tokenFile");
    return withoutUndefined({
      server,
      ca: data(cluster, "certificate-authority"),
      cert: data(user, "client-certificate"),
      key: data(user, "client-key"),
      token: textOf(user, "token"),
      tokenFile: tokenFile === undefined ? undefined : resolve(dirname(path), tokenFile),
      username: textOf(user, "username"),
      password: textOf(user, "password"),
      tlsServerName: textOf(cluster, "tls-server-name"),
      insecureSkipTlsVerify: cluster["insecure-skip-tls-verify"] === true ? true : undefined,
      namespace: textOf(context, "namespace") ?? "default",
    });
  } catch (cause) {
    if (cause instanceof TripodError) throw cause;
    throw new TripodError("invalid", `read kubeconfig ${path}: ${messageOf(cause)}`, { cause });
  }
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** The same object without the keys whose value is undefined. */
const withoutUndefined = <T extends object>(object: T): Defined<T> =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Defined<T>; // by the filter
