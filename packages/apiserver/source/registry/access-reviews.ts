import type { SelfSubjectAccessReview, SelfSubjectReview, SelfSubjectRulesReview } from "@tripod/api/kubernetes";
import { isAllowed } from "../auth/authorize.ts";
import type { ApiObject } from "./api-object.ts";
import { nameColumn, type ResourceDefinition, type User } from "./resource.ts";

/** A resource that is answered at once and never stored. */
export interface ReviewDefinition extends ResourceDefinition {
  readonly virtual: "create-only";
  readonly answer: (object: ApiObject, user: User) => ApiObject;
}

const shared = {
  namespaced: false,
  nameRule: "subdomain",
  storageName: "",
  columns: [nameColumn],
  hasStatus: false,
  subresources: [],
  virtual: "create-only",
} as const;

const authorization = { ...shared, group: "authorization.k8s.io", version: "v1" } as const;

/** `kubectl auth can-i`, `kubectl auth can-i --list` and `kubectl auth whoami`. */
export const accessReviews: readonly ReviewDefinition[] = [
  {
    ...authorization,
    kind: "SelfSubjectAccessReview",
    plural: "selfsubjectaccessreviews",
    singular: "selfsubjectaccessreview",
    answer(object, user) {
      const review = object as SelfSubjectAccessReview & ApiObject; // decoded as one
      const { resourceAttributes: asked, nonResourceAttributes: path } = review.spec;
      const allowed = isAllowed(user, {
        verb: asked?.verb ?? path?.verb ?? "",
        ...(asked === undefined
          ? {}
          : {
              resource: {
                group: asked.group ?? "",
                plural: asked.resource ?? "",
                subresource: asked.subresource,
                namespace: asked.namespace,
                name: asked.name,
              },
            }),
        ...(path?.path === undefined ? {} : { path: path.path }),
      });
      return { ...review, status: { allowed, ...(allowed ? {} : { reason: `${user.name} may not` }) } };
    },
  },
  {
    ...authorization,
    kind: "SelfSubjectRulesReview",
    plural: "selfsubjectrulesreviews",
    singular: "selfsubjectrulesreview",
    answer(object, user) {
      const review = object as SelfSubjectRulesReview & ApiObject; // decoded as one
      const all = user.groups.includes("system:masters");
      const rule = all
        ? { verbs: ["*"], apiGroups: ["*"], resources: ["*"] }
        : {
            verbs: ["create"],
            apiGroups: ["authorization.k8s.io"],
            resources: ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
          };
      const paths = all
        ? { verbs: ["*"], nonResourceURLs: ["*"] }
        : { verbs: ["get"], nonResourceURLs: ["/healthz", "/livez", "/readyz", "/version"] };
      return { ...review, status: { resourceRules: [rule], nonResourceRules: [paths], incomplete: !all } };
    },
  },
  {
    ...shared,
    group: "authentication.k8s.io",
    version: "v1",
    kind: "SelfSubjectReview",
    plural: "selfsubjectreviews",
    singular: "selfsubjectreview",
    answer: (object, user) => ({
      ...(object as SelfSubjectReview & ApiObject),
      status: { userInfo: { username: user.name, groups: [...user.groups] } },
    }),
  },
];
