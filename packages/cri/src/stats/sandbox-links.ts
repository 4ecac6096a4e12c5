import { type Link, openRtnetlink } from "@tripod/linux";
import type { CriContext } from "../context.ts";
import type { SandboxRecord } from "../records/sandbox-record.ts";
import { namespacesAlive } from "../sandbox/namespaces.ts";
import { sandboxPaths } from "../sandbox/paths.ts";

/** The sandbox's interfaces without loopback, read in its namespace; undefined when it uses the host's, or its namespace is gone. */
export function sandboxLinks(context: CriContext, sandbox: SandboxRecord): Link[] | undefined {
  const { net } = sandboxPaths(context, sandbox);
  if (net === undefined || !namespacesAlive(context, sandbox)) return undefined;
  using rtnetlink = openRtnetlink({ netns: net });
  return rtnetlink.links().filter((link) => !link.loopback);
}
