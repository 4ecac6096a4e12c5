/** Of a container or a Service. */
export const protocols: readonly string[] = ["SCTP", "TCP", "UDP"];

export const portRange = "must be between 1 and 65535, inclusive";

export const isPort = (port: number): boolean => port >= 1 && port <= 65_535;
