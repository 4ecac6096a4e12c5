import { onFreshHost, testPluginContract } from "@tripod/cni/testing";
import { loopback } from "./loopback.ts";

if (onFreshHost(import.meta.url)) testPluginContract({ plugin: loopback, config: {}, ifname: "lo" });
