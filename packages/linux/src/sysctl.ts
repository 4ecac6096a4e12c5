import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand, TripodError } from "@tripod/base";
import { inNamespaces, type NamespacePaths } from "./namespaces/in-namespaces.ts";

/**
 * The file of a kernel parameter: "net/ipv4/conf/eth0.5/forwarding", or with dots for slashes "net.ipv4.conf.eth0/5.forwarding".
 * Which of the two it is, its first separator says (sysctl.d(5)). Never outside /proc/sys.
 */
export function sysctlFile(name: string): string {
  const dotted = /[./]/.exec(name)?.[0] === ".";
  const path = dotted ? name.replace(/[./]/g, (separator) => (separator === "." ? "/" : ".")) : name;
  const parts = path.split("/");
  if (path.includes("\0") || parts.length < 2 || parts.some((part) => part === "" || part === "." || part === "..")) {
    throw new TripodError("invalid", `${JSON.stringify(name)} is not the name of a kernel parameter`);
  }
  return join("/proc/sys", path);
}

/** A kernel parameter's value without the line end. net.* belongs to a net, kernel.shm* to an ipc, kernel.hostname to a uts namespace. */
export function readSysctl(name: string, namespaces: NamespacePaths = {}): string {
  const file = sysctlFile(name);
  // Which namespace's value is meant, the kernel tells by the thread that opens the file: all in one synchronous step.
  return attempt("read", name, () => inNamespaces(namespaces, () => readFileSync(file, "utf8").trimEnd()));
}

/** Sets a kernel parameter; see readSysctl(). */
export function writeSysctl(name: string, options: { readonly value: string } & NamespacePaths): void {
  const file = sysctlFile(name);
  const { value, ...namespaces } = options;
  attempt("write", name, () => inNamespaces(namespaces, () => writeFileSync(file, value, { flag: "r+" })));
}

/**
 * The same for a parameter of an IPC namespace that a user namespace owns: the kernel takes it from that one's root alone, so a process
 * (util-linux's nsenter) becomes that.
 */
export async function writeSysctlAsRootOf(
  user: string,
  { name, value, ipc }: { readonly name: string; readonly value: string; readonly ipc: string },
): Promise<void> {
  const write = 'printf %s "$1" > "$2"';
  const file = sysctlFile(name);
  const command = [`--user=${user}`, `--ipc=${ipc}`, "sh", "-c", write, "sh", value, file];
  const { exitCode, stderr } = await runCommand("nsenter", command, { okExitCodes: "any" });
  if (exitCode === 0) return;
  const why = stderr.toString().trim().slice(0, 500) || `exit code ${exitCode}`;
  throw new TripodError("invalid", `write sysctl ${name}: the kernel refuses this value: ${why}`);
}

function attempt<T>(verb: string, name: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    // Errors of node:fs are ErrnoExceptions; others have no code and pass on.
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT") {
      throw new TripodError(
        "not-found",
        `${verb} sysctl ${name}: this kernel has no such parameter (or its namespace is gone)`,
        {
          cause,
        },
      );
    }
    if (code === "EINVAL")
      throw new TripodError("invalid", `${verb} sysctl ${name}: the kernel refuses this value`, { cause });
    if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
      throw new TripodError("permission-denied", `${verb} sysctl ${name}: ${code}`, { cause });
    }
    throw cause;
  }
}
