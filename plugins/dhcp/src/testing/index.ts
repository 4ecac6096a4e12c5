export { DhcpLan, Dnsmasq } from "./dhcp-lan.ts";
