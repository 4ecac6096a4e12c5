export { firewall } from "./firewall.ts";
