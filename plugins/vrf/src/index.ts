export { vrf } from "./vrf.ts";
