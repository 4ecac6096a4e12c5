import type { SELinuxOption } from "@tripod/api/cri";
import { checkSelinuxOptions, selinuxEnabled, type SelinuxLabels, selinuxLabels } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import { sandboxConfigOf, type SandboxRecord } from "../records/sandbox-record.ts";

/**
 * The contexts of a container, where the operator and the kernel have SELinux: its own options, else its Pod's. Elsewhere options are
 * checked, and then have no effect, as Kubernetes documents it: Pods carry them on every machine.
 */
export function selinuxOf(
  context: Pick<CriContext, "config" | "log">,
  sandbox: SandboxRecord,
  options: SELinuxOption | undefined,
): SelinuxLabels | undefined {
  const chosen = options ?? sandboxConfigOf(sandbox).linux?.securityContext?.selinuxOptions;
  const { user = "", role = "", type = "", level = "" } = chosen ?? {};
  checkSelinuxOptions({ user, role, type, level });
  if (context.config.selinux !== true || !selinuxEnabled()) {
    if (options !== undefined) {
      context.log.info(
        { sandbox: sandbox.id, user, role, type, level },
        "container: SELinux options have no effect here",
      );
    }
    return undefined;
  }
  return selinuxLabels({ user, role, type, level }, sandbox.id);
}
