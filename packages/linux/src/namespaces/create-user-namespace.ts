import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { failpoint, messageOf, TripodError } from "@tripod/base";
import { cString, libc } from "../libc.ts";
import { bindMount } from "../mounts/bind-mount.ts";
import { check } from "../system-call-error.ts";
import { prepareFile } from "./create-namespaces.ts";
import { inNamespaces } from "./in-namespaces.ts";
import { type NamespaceKind, namespaceKinds } from "./namespace-kind.ts";
import { removeNamespace } from "./remove-namespace.ts";

/** `length` ids from `containerId` on inside a user namespace are those from `hostId` on outside of it. */
export interface IdMapping {
  readonly containerId: number;
  readonly hostId: number;
  readonly length: number;
}

export interface CreateUserNamespaceOptions {
  readonly uids: IdMapping;
  readonly gids: IdMapping;
  /** Where further new namespaces, owned by the user namespace, are pinned. */
  readonly net?: string;
  readonly ipc?: string;
  readonly uts?: string;
  /** The host name of the new UTS namespace; needs `uts`. */
  readonly hostname?: string;
}

const mapLine = ({ containerId, hostId, length }: IdMapping): string => `${containerId} ${hostId} ${length}\n`;

/**
 * Makes a user namespace and pins it at `path`, with further namespaces that it owns: root in it may do there what root does. As with
 * createNamespaces(), all or none. The kernel gives a process with threads no user namespace, so one of util-linux's unshare lives
 * for the few milliseconds in between; it reads a pipe from this process and so ends with it.
 */
export async function createUserNamespace(path: string, options: CreateUserNamespaceOptions): Promise<void> {
  const kinds = namespaceKinds.filter((kind) => options[kind] !== undefined);
  await using undo = new AsyncDisposableStack();
  const pins: readonly (readonly ["user" | NamespaceKind, string])[] = [
    ["user", path],
    ...kinds.map((kind) => [kind, options[kind] ?? ""] as const),
  ];
  for (const [, pin] of pins) prepareFile(pin);
  {
    await using holder = await startHolder(path, kinds);
    const attempt = (what: string, work: () => void): void => {
      try {
        work();
      } catch (cause) {
        throw new TripodError("failed-precondition", `create user namespace ${path}: ${what}: ${messageOf(cause)}`, {
          cause,
        });
      }
    };
    attempt(`map users ${mapLine(options.uids).trim()}`, () =>
      writeFileSync(`/proc/${holder.pid}/uid_map`, mapLine(options.uids)),
    );
    attempt(`map groups ${mapLine(options.gids).trim()}`, () =>
      writeFileSync(`/proc/${holder.pid}/gid_map`, mapLine(options.gids)),
    );
    for (const [kind, pin] of pins) {
      undo.defer(() => removeNamespace(pin));
      bindMount(`/proc/${holder.pid}/ns/${kind}`, pin, { propagation: "private" });
      failpoint(`linux.namespace.${kind}-pinned`);
    }
  }
  const { uts, hostname } = options;
  if (uts !== undefined && hostname !== undefined) {
    const name = cString(hostname);
    inNamespaces({ uts }, () => check("sethostname", hostname, libc.sethostname(name, name.length - 1)));
  }
  undo.move();
}

/** A process in new namespaces, which waits to be ended. */
async function startHolder(
  path: string,
  kinds: readonly NamespaceKind[],
): Promise<AsyncDisposable & { readonly pid: number }> {
  const child = spawn("unshare", ["--user", ...kinds.map((kind) => `--${kind}`), "cat"], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  const ended = new Promise<string>((resolve) => {
    let words = "";
    child.stderr.on("data", (chunk: Buffer) => {
      words = `${words}${chunk.toString()}`.slice(0, 1000);
    });
    child.once("error", (error) => resolve(`${error.message}; install util-linux`));
    child.once("close", () => resolve(words.trim()));
  });
  // An echo comes from cat, which runs once unshare has done its work.
  child.stdin.on("error", () => {}); // it has ended, which `ended` tells of
  child.stdin.write("\n");
  const words = await Promise.race([once(child.stdout, "data").then(() => undefined), ended]);
  if (words !== undefined || child.pid === undefined) {
    throw new TripodError(
      "failed-precondition",
      `create user namespace ${path}: ${words || "unshare ended"}; see /proc/sys/user/max_user_namespaces`,
    );
  }
  return { pid: child.pid, [Symbol.asyncDispose]: () => end(child, ended) };
}

async function end(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  child.kill("SIGKILL");
  await ended;
}
