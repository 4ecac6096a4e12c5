export { CniError, cniCodes } from "./cni-error.ts";
export { withFileLock } from "./file-lock.ts";
export { pluginMarker } from "./find-plugin.ts";
export {
  type Cidr,
  containsIp,
  formatCidr,
  formatIp,
  type Ip,
  type IpFamily,
  lastOf,
  networkOf,
  parseCidr,
  parseIp,
  plus,
  sameIp,
  tryParseIp,
} from "./ip.ts";
export { Fields, isJsonObject, type JsonObject, type JsonValue } from "./json.ts";
export {
  deleteCommands,
  deleteRules,
  listTable,
  makeTable,
  type NftRule,
  type NftTable,
  type NftTableContent,
  withRuleLock,
} from "./nft-rules.ts";
export {
  type AttachmentKey,
  type CniCommand,
  type CniPlugin,
  definePlugin,
  type PluginCall,
  type PluginDefinition,
} from "./plugin.ts";
export { type PluginOutcome, type PluginProcess, pluginOutcome, runPluginMain } from "./plugin-main.ts";
export { type CniDns, type CniInterface, type CniIp, type CniResult, type CniRoute, emptyResult } from "./result.ts";
export { compactDns, parseDns, parseRoutes } from "./result-wire.ts";
export { currentVersion, supportedVersions } from "./version.ts";
export {
  type Attachment,
  CniRuntime,
  type CniRuntimeOptions,
  type CollectOptions,
  type PluginCallEnd,
  type PluginCallStart,
} from "./cni-runtime.ts";
export { listConfDir, readConfDir } from "./conf-dir.ts";
export { networkConfigToJson } from "./network-config.ts";
export type { NetworkStatus } from "./conf-watch.ts";
export { type LintFinding, lintNetworks, type LintReport } from "./lint.ts";
export { defaultConflist, type DefaultConflistOptions } from "./default-conflist.ts";
export { isOwnPlugin } from "./find-plugin.ts";
export {
  attachmentName,
  type AttachmentView,
  type LinkView,
  networkView,
  type NetworkView,
  type RuleView,
} from "./network-view.ts";
export { type NetworkConfig, parseNetworkConfig, type PluginConfig } from "./network-config.ts";
export { PluginInvoker } from "./plugin-invoker.ts";
export type { CachedAttachment } from "./result-cache.ts";
export { parseResult, resultToJson } from "./result-wire.ts";
