import { formatQuantity } from "@tripod/api/kubernetes";

/** Bytes as a quantity, with the largest binary suffix that needs no fraction. */
export const sizeText = (bytes: bigint): string => formatQuantity({ nano: bytes * 1_000_000_000n, format: "binary" });
