export { vlan } from "./vlan.ts";
