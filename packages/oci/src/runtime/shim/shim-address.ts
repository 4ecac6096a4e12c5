import { fromBinary } from "@bufbuild/protobuf";
import { BootstrapResultSchema } from "@tripod/api/containerd-task";
import { TripodError } from "@tripod/base";

/** How a shim is reached. */
export interface ShimAddress {
  /** Path of its unix socket. */
  readonly socket: string;
  /** Of its task service. */
  readonly version: 2 | 3;
}

interface Printed {
  readonly address: string;
  readonly protocol: string;
  readonly version: number;
}

function parsePrinted(output: Buffer): Printed {
  const text = output.toString().trim();
  if (text.startsWith("{")) {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new TripodError("corrupt", `shim: ${JSON.stringify(text.slice(0, 200))} is not JSON`, { cause });
    }
    const { address = "", protocol = "", version = 0 } = value as Partial<Printed>; // checked by the caller, field by field
    return { address, protocol, version };
  }
  if (/^[a-z+]+:\/\/[^\n]+$/.test(text) || text.startsWith("/"))
    return { address: text, protocol: "ttrpc", version: 2 };
  try {
    const { address, protocol, version } = fromBinary(BootstrapResultSchema, output);
    return { address, protocol, version };
  } catch (cause) {
    throw new TripodError("corrupt", `shim: it printed ${JSON.stringify(text.slice(0, 200))} in place of its address`, {
      cause,
    });
  }
}

/** What `start` prints: the bare address (containerd 1), JSON (1.7, 2.0) or a BootstrapResult (2.3). */
export function parseShimAddress(output: Buffer): ShimAddress {
  const { address, protocol, version } = parsePrinted(output);
  const socket = /^(?:unix:\/\/)?(\/.+)$/.exec(address)?.[1];
  if (socket === undefined) {
    throw new TripodError("unimplemented", `shim: its address ${JSON.stringify(address)} is not a unix socket's`);
  }
  if (protocol !== "ttrpc") {
    throw new TripodError("unimplemented", `shim: it speaks ${JSON.stringify(protocol)}; only ttrpc is spoken here`);
  }
  if (version !== 2 && version !== 3) {
    throw new TripodError("unimplemented", `shim: its task service has version ${version}; 2 and 3 are spoken here`);
  }
  return { socket, version };
}
