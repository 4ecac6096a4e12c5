import { isAbsolute, join } from "node:path";
import {
  type LinuxContainerSecurityContext,
  type LinuxSandboxSecurityContext,
  type SecurityProfile,
  SecurityProfile_ProfileType as ProfileType,
  SupplementalGroupsPolicy,
} from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import type { ApparmorChoice, SeccompChoice, UserRequest } from "@tripod/oci";
import type { CriContext } from "../context.ts";

/** A profile in the words of the annotations that SecurityProfile has replaced. */
type NamedProfile =
  | { readonly kind: "unconfined" }
  | { readonly kind: "runtime-default" }
  | { readonly kind: "localhost"; readonly name: string };

/** A profile of either form; undefined when the request has none. */
function profileOf(what: string, profile: SecurityProfile | undefined, text: string): NamedProfile | undefined {
  if (profile === undefined) {
    if (text === "") return undefined;
    if (text === "unconfined") return { kind: "unconfined" };
    if (text === "runtime/default" || text === "docker/default") return { kind: "runtime-default" };
    const name = text.startsWith("localhost/") ? text.slice("localhost/".length) : "";
    if (name !== "") return { kind: "localhost", name };
    throw new TripodError(
      "invalid",
      `${what}: profile ${JSON.stringify(text)} is neither runtime/default, unconfined nor localhost/NAME`,
    );
  }
  const ref = profile.localhostRef;
  if (profile.profileType !== ProfileType.Localhost && ref !== "") {
    throw new TripodError(
      "invalid",
      `${what}: ${JSON.stringify(ref)} is named, but the profile's type is not Localhost`,
    );
  }
  switch (profile.profileType) {
    case ProfileType.RuntimeDefault:
      return { kind: "runtime-default" };
    case ProfileType.Unconfined:
      return { kind: "unconfined" };
    case ProfileType.Localhost: {
      const name = ref.replace(/^localhost\//, "");
      if (name === "") throw new TripodError("invalid", `${what}: a Localhost profile needs its name`);
      return { kind: "localhost", name };
    }
    default:
      throw new TripodError("invalid", `${what}: there is no profile type ${String(profile.profileType)}`);
  }
}

type Filtered = Pick<LinuxContainerSecurityContext | LinuxSandboxSecurityContext, "seccomp" | "seccompProfilePath">;

/** The filter that a request names; none means unconfined, as the kubelet means it. A relative Localhost path is below `root`. */
export function seccompOf(security: Filtered | undefined, root: string): SeccompChoice {
  const profile = profileOf("seccomp", security?.seccomp, security?.seccompProfilePath ?? "");
  if (profile === undefined) return { kind: "unconfined" };
  if (profile.kind !== "localhost") return profile;
  const { name } = profile;
  return { kind: "localhost", path: isAbsolute(name) ? name : join(root, name) };
}

/**
 * The AppArmor profile that a request names. None is the default one, except for a privileged container, which only a profile by name
 * confines.
 */
export function apparmorOf(
  security: Pick<LinuxContainerSecurityContext, "apparmor" | "apparmorProfile" | "privileged"> | undefined,
): ApparmorChoice {
  const profile = profileOf("apparmor", security?.apparmor, security?.apparmorProfile ?? "");
  if (profile?.kind === "localhost") return { kind: "localhost", profile: profile.name };
  if (security?.privileged === true || profile?.kind === "unconfined") return { kind: "unconfined" };
  return { kind: "runtime-default", asked: profile !== undefined };
}

/** Where relative paths of Localhost profiles begin. */
export const seccompRootOf = (context: Pick<CriContext, "config" | "layout">): string =>
  context.config.seccompProfileRoot ?? join(context.layout.kubeletDir, "seccomp");

/** Who the request wants the container to be. */
export const userOf = (
  security:
    | Pick<
        LinuxContainerSecurityContext,
        "runAsUser" | "runAsGroup" | "runAsUsername" | "supplementalGroups" | "supplementalGroupsPolicy"
      >
    | undefined,
  imageUser: string | undefined,
): UserRequest => {
  if (security?.runAsGroup !== undefined && security.runAsUser === undefined && security.runAsUsername === "") {
    throw new TripodError("invalid", "container: a group to run as needs a user to run as");
  }
  const policy = security?.supplementalGroupsPolicy ?? SupplementalGroupsPolicy.Merge;
  if (policy !== SupplementalGroupsPolicy.Merge && policy !== SupplementalGroupsPolicy.Strict) {
    throw new TripodError("invalid", `container: there is no policy ${String(policy)} for supplemental groups`);
  }
  return {
    ...(security?.runAsUser !== undefined && { uid: Number(security.runAsUser.value) }),
    ...(security?.runAsGroup !== undefined && { gid: Number(security.runAsGroup.value) }),
    ...(security !== undefined && security.runAsUsername !== "" && { username: security.runAsUsername }),
    imageUser: imageUser ?? "",
    supplementalGroups: (security?.supplementalGroups ?? []).map(Number),
    groupsPolicy: policy === SupplementalGroupsPolicy.Strict ? "strict" : "merge",
  };
};
