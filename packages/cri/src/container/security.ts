import { isAbsolute, join } from "node:path";
import {
  type LinuxContainerSecurityContext,
  type SecurityProfile,
  SecurityProfile_ProfileType as ProfileType,
  SupplementalGroupsPolicy,
} from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import type { SeccompChoice, UserRequest } from "@tripod/oci";

/** The filter that a request names; none means unconfined, as the kubelet means it. A relative Localhost path is below `root`. */
export function seccompOf(profile: SecurityProfile | undefined, root: string): SeccompChoice {
  switch (profile?.profileType) {
    case ProfileType.RuntimeDefault:
      return { kind: "runtime-default" };
    case ProfileType.Localhost: {
      const path = profile.localhostRef;
      if (path === "") throw new TripodError("invalid", "seccomp: a Localhost profile needs its path");
      return { kind: "localhost", path: isAbsolute(path) ? path : join(root, path) };
    }
    default:
      return { kind: "unconfined" };
  }
}

/** Who the request wants the container to be. */
export const userOf = (
  security: LinuxContainerSecurityContext | undefined,
  imageUser: string | undefined,
): UserRequest => {
  if (security?.runAsGroup !== undefined && security.runAsUser === undefined && security.runAsUsername === "") {
    throw new TripodError("invalid", "container: a group to run as needs a user to run as");
  }
  return {
    ...(security?.runAsUser !== undefined && { uid: Number(security.runAsUser.value) }),
    ...(security?.runAsGroup !== undefined && { gid: Number(security.runAsGroup.value) }),
    ...(security !== undefined && security.runAsUsername !== "" && { username: security.runAsUsername }),
    imageUser: imageUser ?? "",
    supplementalGroups: (security?.supplementalGroups ?? []).map(Number),
    groupsPolicy: security?.supplementalGroupsPolicy === SupplementalGroupsPolicy.Strict ? "strict" : "merge",
  };
};
