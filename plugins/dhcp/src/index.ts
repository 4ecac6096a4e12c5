export { dhcp } from "./dhcp.ts";
export { HostedDhcp } from "./hosted-dhcp.ts";
