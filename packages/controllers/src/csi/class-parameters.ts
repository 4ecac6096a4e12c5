/** Parameters of a class that are for Kubernetes, not for the driver, start so. */
export const reservedPrefix = "csi.storage.k8s.io/";

/** The parameters of a class that its driver gets. */
export const driverParameters = (parameters: Readonly<Record<string, string>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(parameters).filter(([key]) => !key.startsWith(reservedPrefix)));
