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
export { compact, Fields, isJsonObject, type JsonObject, type JsonValue } from "./json.ts";
export {
  deleteCommands,
  deleteRules,
  fixedChain,
  listTable,
  makeTable,
  type NftRule,
  type NftTable,
  type NftTableContent,
  withRuleLock,
} from "./nft-rules.ts";
export { applyOperations, type ApplyOptions } from "./links/apply-operations.ts";
export {
  chainedResult,
  checkInterface,
  differs,
  reportedInterface,
  reportedIps,
  reportedResult,
} from "./links/check-interface.ts";
export {
  attachmentOf,
  hostLinkAlias,
  hostLinkName,
  type NetworkAttachment,
  ownerOfAlias,
} from "./links/host-link.ts";
export { AttachmentTaken } from "./links/attachment-taken.ts";
export { ipamOrder } from "./links/ipam-order.ts";
export {
  configFields,
  type LinkConfig,
  type LowerConfig,
  parseLinkConfig,
  parseLowerConfig,
  requestedMac,
} from "./links/link-config.ts";
export { defineLinkPlugin, type LinkPlaces, type LinkPluginDefinition } from "./links/link-plugin.ts";
export { checkMtu, lowerLink } from "./links/lower-link.ts";
export {
  addMasquerade,
  collectMasquerade,
  countMasquerade,
  deleteMasquerade,
  masqueradeComment,
  masqueradeMatches,
  masqueradePrefix,
} from "./links/masquerade.ts";
export type { Operation } from "./links/operation.ts";
export {
  familiesOf,
  type InterfaceOptions,
  planForwarding,
  planInterface,
  planRoutes,
} from "./links/plan-interface.ts";
export { settleAddresses } from "./links/settle-addresses.ts";
export { Teardown } from "./links/teardown.ts";
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
