export { onFreshHost } from "./on-fresh-host.ts";
export { type ContractOptions, testPluginContract } from "./plugin-contract.ts";
