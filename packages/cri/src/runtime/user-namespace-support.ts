import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Layout, messageOf, TripodError } from "@tripod/base";
import { createUserNamespace, removeNamespace } from "@tripod/linux";
import type { CriContext } from "../context.ts";
import { runtimeOf } from "./handler.ts";

const problems = new WeakMap<object, Promise<string | undefined>>();

/** Why this machine cannot run Pods in user namespaces; undefined when it can. Tried once, for the life of the server. */
export function userNamespaceProblem(context: Pick<CriContext, "layout" | "images">): Promise<string | undefined> {
  let problem = problems.get(context.images);
  if (problem === undefined) {
    problem = probe(context);
    problems.set(context.images, problem);
  }
  return problem;
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
