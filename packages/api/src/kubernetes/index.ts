export type * from "../../gen/kubernetes/types.ts";
export {
  apiVersionOf,
  type GroupVersionKind,
  keyOf,
  type KubernetesObject,
  parseApiVersion,
  type Stored,
} from "./object.ts";
