import { Registration } from "@tripod/api/plugin-registration";
import { messageOf, TripodError } from "@tripod/base";
import { GrpcChannel } from "@tripod/grpc";

const callTimeoutMs = 10_000;

/** What a plugin says of itself on its registration socket. */
export interface PluginDescription {
  readonly type: string;
  readonly name: string;
  /** The socket on which it serves; its registration socket when it names none. */
  readonly endpoint: string;
}

/** CSI drivers speak version 1 of the interface. */
const isSupported = (version: string): boolean => /^v?1(\.|$)/.test(version);

/**
 * Asks the plugin behind a registration socket who it is, lets `accept` take it in, and tells it the outcome. A refusal is told to the plugin
 * and thrown.
 */
export async function registerPlugin(
  socket: string,
  accept: (plugin: PluginDescription) => Promise<void>,
  signal: AbortSignal,
): Promise<PluginDescription> {
  using channel = new GrpcChannel({ socket });
  const registration = channel.client(Registration);
  const call = { signal, timeoutMs: callTimeoutMs };
  const info = await registration.getInfo({}, call);
  const plugin = { type: info.type, name: info.name, endpoint: info.endpoint === "" ? socket : info.endpoint };
  try {
    if (plugin.type !== "CSIPlugin") {
      throw new TripodError(
        "unimplemented",
        `plugin ${plugin.name}: this kubelet takes no plugins of type ${plugin.type}`,
      );
    }
    if (!info.supportedVersions.some(isSupported)) {
      throw new TripodError(
        "invalid",
        `plugin ${plugin.name}: none of its versions ${info.supportedVersions.join(", ")} is 1.x`,
      );
    }
    await accept(plugin);
  } catch (error) {
    await registration
      .notifyRegistrationStatus({ pluginRegistered: false, error: messageOf(error) }, call)
      .catch(() => undefined); // the refusal itself is what counts
    throw error;
  }
  await registration.notifyRegistrationStatus({ pluginRegistered: true, error: "" }, call);
  return plugin;
}
