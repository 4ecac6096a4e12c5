import type { Secret } from "@tripod/api/kubernetes";

/** The content of a Secret as CSI's secret fields want it: text, no base64. */
export const secretDataOf = (secret: Secret): Record<string, string> =>
  Object.fromEntries(
    Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64").toString("utf8")]),
  );
