// The tokens that a CSI driver is given stand under csi.storage.k8s.io/serviceAccount.tokens.
const secretKey =
  /^(secrets|.*secrets?|password|passwd|(.*\.)?tokens?|identitytoken|registrytoken|auth|authorization|cookie)$/i;
// Field names that match the pattern and name no secret.
const harmless = new Set(["secret", "imagepullsecrets"]);

/** Fields of a CRI container, known by its environment, into whose words variables (so Secrets too) have been expanded. */
const expandedKeys = new Set(["command", "args"]);

/** At most this many characters of one string are kept in a span. */
const maxStringLength = 4096;

/**
 * A copy of `value` fit for a span: secret-looking fields become "[redacted]", bytes their length, bigints strings, and long
 * strings and lists are cut.
 */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === "string") {
    return value.length > maxStringLength ? `${value.slice(0, maxStringLength)}… (${value.length} characters)` : value;
  }
  if (typeof value === "bigint") return value.toString();
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Uint8Array) return `(${value.byteLength} bytes)`;
  if (depth > 16) return "…";
  if (Array.isArray(value)) {
    const kept = value.slice(0, 100).map((item) => redact(item, depth + 1));
    return value.length > kept.length ? [...kept, `… (${value.length} items)`] : kept;
  }
  const copy: Record<string, unknown> = {};
  const isContainer = "envs" in value;
  for (const [key, item] of Object.entries(value)) {
    if (isContainer && expandedKeys.has(key) && Array.isArray(item)) {
      copy[key] = `(${item.length} words)`;
      continue;
    }
    if (key.startsWith("$")) continue; // protobuf-es keeps its type name and unknown fields under such keys
    copy[key] =
      secretKey.test(key) && !harmless.has(key.toLowerCase()) && item !== "" ? "[redacted]" : redact(item, depth + 1);
  }
  return copy;
}
