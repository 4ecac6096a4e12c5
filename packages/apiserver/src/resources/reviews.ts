import type {
  KubernetesObject,
  SelfSubjectAccessReview,
  SelfSubjectReview,
  SelfSubjectRulesReview,
  SubjectAccessReviewStatus,
} from "@tripod/api/kubernetes";
import { isAllowed } from "../auth/authorize.ts";
import { defineResource, type Resource, type User } from "../registry/resource.ts";
import { nameColumn } from "../table/column.ts";

/** A question about the caller: answered at once and never stored. */
export interface Review<T extends KubernetesObject = KubernetesObject> extends Resource<T> {
  answer(review: T, user: User): T;
}

const defineReview = <T extends KubernetesObject>(
  kind: string,
  group: string,
  answer: (review: T, user: User) => T,
): Review<T> => ({
  ...defineResource<T>({
    group,
    version: "v1",
    kind,
    plural: `${kind.toLowerCase()}s`,
    singular: kind.toLowerCase(),
    namespaced: false,
    nameRule: "subdomain",
    verbs: ["create"],
    columns: [nameColumn],
  }),
  answer,
});

function accessOf({ spec }: SelfSubjectAccessReview, user: User): SubjectAccessReviewStatus {
  const { resourceAttributes: asked, nonResourceAttributes } = spec ?? {};
  const { group = "", resource: plural = "", subresource, namespace, name, verb = "" } = asked ?? {};
  const allowed =
    asked === undefined
      ? isAllowed(user, { verb: nonResourceAttributes?.verb ?? "", path: nonResourceAttributes?.path ?? "" })
      : isAllowed(user, {
          verb,
          resource: {
            group,
            plural,
            subresource: subresource || undefined,
            namespace: namespace || undefined,
            name: name || undefined,
          },
        });
  return { allowed, ...(allowed ? {} : { reason: `no rule allows it to ${JSON.stringify(user.name)}` }) };
}

/** `kubectl auth can-i`, `kubectl auth can-i --list` and `kubectl auth whoami`. */
export const reviews: readonly Review[] = [
  defineReview<SelfSubjectAccessReview>("SelfSubjectAccessReview", "authorization.k8s.io", (review, user) => ({
    ...review,
    status: accessOf(review, user),
  })),
  defineReview<SelfSubjectRulesReview>("SelfSubjectRulesReview", "authorization.k8s.io", (review, user) => {
    const isMaster = user.groups.includes("system:masters");
    const own = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"];
    const rule = isMaster
      ? { verbs: ["*"], apiGroups: ["*"], resources: ["*"] }
      : { verbs: ["create"], apiGroups: ["authorization.k8s.io"], resources: own };
    const paths = isMaster
      ? { verbs: ["*"], nonResourceURLs: ["*"] }
      : { verbs: ["get"], nonResourceURLs: ["/healthz", "/livez", "/readyz", "/version"] };
    return { ...review, status: { resourceRules: [rule], nonResourceRules: [paths], incomplete: !isMaster } };
  }),
  defineReview<SelfSubjectReview>(
    "SelfSubjectReview",
    "authentication.k8s.io",
    (review, { name, uid, groups, extra }) => ({
      ...review,
      status: {
        userInfo: {
          username: name,
          groups: [...groups],
          ...(uid === undefined ? {} : { uid }),
          ...(extra === undefined ? {} : { extra }),
        },
      },
    }),
  ),
];

/** The review that a resource is, if it is one. */
export const reviewOf = (resource: Resource): Review | undefined => reviews.find((each) => each === resource);
