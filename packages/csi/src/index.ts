export { accessModeOf } from "./access-mode.ts";
export { controllerCapabilitiesOf, nodeCapabilitiesOf, pluginCapabilitiesOf } from "./capabilities.ts";
export { checkRequest } from "./check-request.ts";
export { connectDriver, type ConnectDriverOptions, type CsiDriverClient } from "./connect-driver.ts";
export {
  type ControllerMethods,
  defineDriver,
  type Driver,
  type DriverFeatures,
  type GroupControllerMethods,
  type NodeMethods,
  type SnapshotMetadataMethods,
} from "./driver.ts";
export { parseEndpoint } from "./endpoint.ts";
export { listPages } from "./list-pages.ts";
export { DriverRegistration, type RegistrationOptions } from "./registration.ts";
export { secretDataOf } from "./secret-data.ts";
export { serveDriver, type ServedDriver, type ServeDriverOptions } from "./serve-driver.ts";
export { type PluginWatcher, type RegisteredPlugin, watchPlugins, type WatchPluginsOptions } from "./watch-plugins.ts";
