/** The header in which a SPDY client lists, and the server picks, the protocol of the streams. */
export const protocolVersionHeader = "x-stream-protocol-version";
/** The header in which a refusal lists what would have been accepted. */
export const acceptedVersionsHeader = "x-accepted-stream-protocol-versions";

/** What a protocol of exec and attach can do. */
export interface CommandProtocol {
  readonly name: string;
  /** The result is a metav1.Status in JSON; before v4 it is a message, and nothing when all went well. */
  readonly statusIsJson: boolean;
  readonly resizes: boolean;
  /** WebSocket: a message [255, channel] ends one channel. */
  readonly closesChannels: boolean;
  /** WebSocket: text messages, the channel as a digit and the data in base64. */
  readonly base64: boolean;
}

const protocol = (name: string, version: number, base64 = false): CommandProtocol => ({
  name,
  statusIsJson: version >= 4,
  resizes: version >= 3,
  closesChannels: version >= 5,
  base64,
});

/** Exec and attach over SPDY, best first. */
export const spdyCommandProtocols: readonly CommandProtocol[] = [
  protocol("v4.channel.k8s.io", 4),
  protocol("v3.channel.k8s.io", 3),
  protocol("v2.channel.k8s.io", 2),
  protocol("channel.k8s.io", 1),
];

/** Exec and attach over WebSocket, best first. The nameless one is for clients that offer no subprotocol. Channels never vary. */
export const webSocketCommandProtocols: readonly CommandProtocol[] = [
  protocol("v5.channel.k8s.io", 5),
  protocol("v4.channel.k8s.io", 4),
  protocol("v4.base64.channel.k8s.io", 4, true),
  protocol("channel.k8s.io", 3),
  protocol("base64.channel.k8s.io", 3, true),
  protocol("", 3),
];

/** Port-forward over SPDY. */
export const portForwardProtocol = "portforward.k8s.io";
/** Port-forward as SPDY inside WebSocket messages. */
export const tunnelledPortForwardProtocol = "SPDY/3.1+portforward.k8s.io";
/** Port-forward with two WebSocket channels a port. */
export const channelPortForwardProtocols: readonly string[] = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"];

/** The channels of exec and attach over WebSocket. */
export const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** The first of the client's names that the server knows, in the client's order. */
export function negotiate(offered: readonly string[], known: readonly string[]): string | undefined {
  return offered.find((name) => known.includes(name));
}

/** The names in a header that may be repeated or comma-separated. */
export function offeredProtocols(header: string | readonly string[] | undefined): string[] {
  const lines = header === undefined ? [] : typeof header === "string" ? [header] : header;
  return lines.flatMap((line) => line.split(",").map((name) => name.trim())).filter((name) => name !== "");
}
