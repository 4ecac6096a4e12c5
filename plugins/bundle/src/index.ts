export { buildProgram, type PluginBundle, pluginBundle } from "./build-bundle.ts";
export { type Installed, type InstallOptions, installPlugins } from "./install-plugins.ts";
export { ownPlugins } from "./plugins.ts";
export { HostedDhcp } from "@tripod/plugin-dhcp";
