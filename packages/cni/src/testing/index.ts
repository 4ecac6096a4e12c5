export { AddressPool } from "./address-pool.ts";
export { type AttachmentSuiteOptions, testAttachments } from "./attachment-suite.ts";
export { type CallerOptions, callerOf, type CallOptions } from "./caller-of.ts";
export { type Callee, type CalleeCall, noUpstream, ownCallee, upstreamCallee, upstreamDir } from "./callee.ts";
export { compareWithUpstream, type ComparisonOptions } from "./compare-with-upstream.ts";
export { exchange, type ExchangeOptions } from "./exchange.ts";
export { lacksLinkKind } from "./lacks-link-kind.ts";
export {
  type NetworkSnapshot,
  networkSnapshot,
  snapshotDifferences,
  type SnapshotOptions,
} from "./network-snapshot.ts";
export { onFreshHost } from "./on-fresh-host.ts";
export { type ContractOptions, type ExecutableContractOptions, testPluginContract } from "./plugin-contract.ts";
export { outsideAddresses, Uplink } from "./uplink.ts";
