// What a plugin needs, without the runtime: this is all that a plugin's executable carries.
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
