import type { LinuxSandboxSecurityContext } from "@tripod/api/cri";
import { checkSelinuxOptions } from "@tripod/oci";
import { checkNamespaceModes } from "../container/namespace-choice.ts";
import { apparmorOf, seccompOf, userOf } from "../container/security.ts";

/**
 * Refuses a sandbox's security context that makes no sense. A sandbox has no process but the init of a shared PID namespace, so that
 * most of it waits for that one, or says what its containers may ask for.
 */
export function checkSandboxSecurity(security: LinuxSandboxSecurityContext | undefined): void {
  if (security === undefined) return;
  checkNamespaceModes("sandbox", security.namespaceOptions);
  userOf({ ...security, runAsUsername: "" }, undefined);
  seccompOf(security, "/");
  apparmorOf({ ...security, apparmorProfile: "" });
  if (security.selinuxOptions !== undefined) checkSelinuxOptions(security.selinuxOptions);
}
