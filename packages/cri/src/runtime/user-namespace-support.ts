import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Layout, messageOf, TripodError } from "@tripod/base";
import { createUserNamespace, removeNamespace } from "@tripod/linux";
import type { CriContext } from "../context.ts";
import { runtimeOf } from "./handler.ts";

interface Trial {
  readonly at: number;
  readonly problem: Promise<string | undefined>;
}

const trials = new WeakMap<object, Trial>();

/** What does not work may have been mended a minute later. */
const retryMs = 60_000;

/** Why this machine cannot run Pods in user namespaces; undefined when it can, and then it is not tried again. */
export async function userNamespaceProblem(
  context: Pick<CriContext, "layout" | "images">,
): Promise<string | undefined> {
  const last = trials.get(context.images);
  const problem = await last?.problem;
  const isOver = last === undefined || (problem !== undefined && performance.now() - last.at > retryMs);
  if (!isOver) return problem;
  // Another caller may have begun meanwhile.
  if (trials.get(context.images) === last) {
    trials.set(context.images, { at: performance.now(), problem: probe(context) });
  }
  return await trials.get(context.images)?.problem;
}

/** A "failed-precondition" error that says why, where it does not. */
export async function checkUserNamespaces(context: CriContext, handler: string): Promise<void> {
  const { userNamespaces } = await runtimeOf(context, handler).features();
  const problem = userNamespaces
    ? await userNamespaceProblem(context)
    : `the runtime of handler ${JSON.stringify(handler)} does not say that it has them (\`features\`)`;
  if (problem !== undefined)
    throw new TripodError("failed-precondition", `sandbox: no user namespaces here: ${problem}`);
}

/** Where the namespace that is tried stands meanwhile. */
const probePin = (layout: Layout): string => join(layout.runDir, "userns-probe");

/** What a crash in the middle of trying has left. */
export const removeProbe = ({ layout }: Pick<CriContext, "layout">): void => removeNamespace(probePin(layout));

async function probe({ layout, images }: Pick<CriContext, "layout" | "images">): Promise<string | undefined> {
  const closed = closedFolder(layout.containersDir);
  if (closed !== undefined) {
    return `folder ${closed} is closed to other users, of which a Pod's root is one; chmod o+x it`;
  }
  const userNamespace = probePin(layout);
  const ids = { containerId: 0, hostId: 65_536, length: 65_536 };
  try {
    await createUserNamespace(userNamespace, { uids: ids, gids: ids });
    return await images.idMapProblem({ userNamespace, uids: ids, gids: ids });
  } catch (error) {
    return messageOf(error);
  } finally {
    removeNamespace(userNamespace);
  }
}

/** The first folder on the way to `path` that others may not pass. */
function closedFolder(path: string): string | undefined {
  const above = path === "/" ? undefined : closedFolder(dirname(path));
  return above ?? ((statSync(path).mode & 0o001) === 0 ? path : undefined);
}
