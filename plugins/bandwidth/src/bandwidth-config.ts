import { TripodError } from "@tripod/base";
import { configFields, Fields, type PluginCall } from "@tripod/cni/sdk";
import { type TokenBucket, tokenBucket } from "@tripod/linux";

/** How fast a container may be; undefined for as fast as it can. */
export interface BandwidthConfig {
  /** What goes to the container. */
  readonly ingress: TokenBucket | undefined;
  /** What comes from it. */
  readonly egress: TokenBucket | undefined;
}

/** How long a packet may wait before it is dropped; upstream's. */
const latencyMs = 25;
/** The kernel counts bursts in bytes, in 32 bits. */
const mostBurst = 0xffffffff * 8 - 1;

function parseBucket(fields: Fields, way: "ingress" | "egress"): TokenBucket | undefined {
  const rateBits = fields.optionalInteger(`${way}Rate`, 0, Number.MAX_SAFE_INTEGER) ?? 0;
  const burstBits = fields.optionalInteger(`${way}Burst`, 0, Number.MAX_SAFE_INTEGER) ?? 0;
  if (rateBits === 0 && burstBits === 0) return undefined;
  if (rateBits < 8 || burstBits < 8)
    throw new TripodError(
      "invalid",
      `bandwidth: ${way}Rate (bits a second) and ${way}Burst (bits) must both be given, and be 8 or more`,
    );
  if (burstBits > mostBurst)
    throw new TripodError("invalid", `bandwidth: ${way}Burst is more than the kernel takes, ${mostBurst} bits`);
  return tokenBucket(Math.floor(rateBits / 8), { burst: Math.floor(burstBits / 8), latencyMs });
}

/** Reads the keys, or the capability `bandwidth` where there are none. Throws "invalid". */
export function parseBandwidthConfig(call: Pick<PluginCall, "config" | "args">): BandwidthConfig {
  const fields = configFields("bandwidth", call);
  const keys = ["ingressRate", "ingressBurst", "egressRate", "egressBurst"];
  const runtime = new Fields(fields.objectAt("runtimeConfig"), "bandwidth runtimeConfig");
  const source = keys.some((key) => fields.has(key))
    ? fields
    : new Fields(runtime.objectAt("bandwidth"), "bandwidth runtimeConfig.bandwidth");
  return { ingress: parseBucket(source, "ingress"), egress: parseBucket(source, "egress") };
}
