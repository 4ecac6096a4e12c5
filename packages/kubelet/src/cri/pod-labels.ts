/** Labels by which a runtime's sandboxes and containers are found again; the names that every CRI tool knows. */
export const podNameLabel = "io.kubernetes.pod.name";
export const podNamespaceLabel = "io.kubernetes.pod.namespace";
export const podUidLabel = "io.kubernetes.pod.uid";
export const containerNameLabel = "io.kubernetes.container.name";

/** Annotations of a container that let a restarted kubelet know what it was made from. */
export const containerHashAnnotation = "io.kubernetes.container.hash";
export const restartCountAnnotation = "io.kubernetes.container.restartCount";
export const terminationMessagePathAnnotation = "io.kubernetes.container.terminationMessagePath";
export const terminationMessagePolicyAnnotation = "io.kubernetes.container.terminationMessagePolicy";
export const preStopHandlerAnnotation = "io.kubernetes.container.preStopHandler";
export const podGracePeriodAnnotation = "io.kubernetes.pod.terminationGracePeriod";
