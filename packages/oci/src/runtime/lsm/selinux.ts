import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { TripodError } from "@tripod/base";

/** Parts of an SELinux context; "" is the default of each. */
export interface SelinuxOptions {
  readonly user: string;
  readonly role: string;
  readonly type: string;
  readonly level: string;
}

export interface SelinuxLabels {
  /** Of the processes. */
  readonly process: string;
  /** Of what the low-level runtime mounts for them. */
  readonly mount: string;
}

/** Whether this kernel enforces, or at least knows, SELinux. */
export const selinuxEnabled = (sys = "/sys"): boolean => existsSync(join(sys, "fs/selinux/enforce"));

/** Two categories that follow from the Pod, so that its containers share files with one another and with nobody else. */
export function categoriesOf(podId: string): string {
  const hash = createHash("sha256").update(podId).digest();
  const first = hash.readUInt16BE(0) % 1024;
  const second = (first + 1 + (hash.readUInt16BE(2) % 1023)) % 1024;
  return `s0:c${Math.min(first, second)},c${Math.max(first, second)}`;
}

/** Refuses what cannot be part of a context; the kernel decides whether its policy knows the rest. */
export function checkSelinuxOptions(options: SelinuxOptions): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === "") continue;
    const pattern = name === "level" ? /^[a-z0-9.,:-]{1,255}$/i : /^[a-z0-9_.-]{1,255}$/i;
    if (!pattern.test(value)) {
      throw new TripodError("invalid", `selinux: ${name} ${JSON.stringify(value)} cannot be part of a context`);
    }
  }
}

/** The contexts of a container of the Pod. */
export function selinuxLabels(options: SelinuxOptions, podId: string): SelinuxLabels {
  checkSelinuxOptions(options);
  const level = options.level || categoriesOf(podId);
  const user = options.user || "system_u";
  return {
    process: `${user}:${options.role || "system_r"}:${options.type || "container_t"}:${level}`,
    mount: `${user}:object_r:container_file_t:${level}`,
  };
}
