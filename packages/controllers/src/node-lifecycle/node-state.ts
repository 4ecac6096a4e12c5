import type { Node } from "@tripod/api/kubernetes";

/** Put on a node by whoever knows that it is down and will not come back as it was. */
const outOfServiceTaint = "node.kubernetes.io/out-of-service";

export const isOutOfService = ({ spec }: Node): boolean =>
  spec?.taints?.some(({ key }) => key === outOfServiceTaint) === true;

export const isReady = ({ status }: Node): boolean =>
  status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") === true;
