export { type Callee, type CalleeCall, noUpstream, ownCallee, upstreamCallee } from "./callee.ts";
export { onFreshHost } from "./on-fresh-host.ts";
export { type ContractOptions, testPluginContract } from "./plugin-contract.ts";
