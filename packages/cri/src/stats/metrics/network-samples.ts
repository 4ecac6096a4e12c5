import type { Link } from "@tripod/linux";
import type { Sample } from "./descriptors.ts";

export const networkSamples = (links: readonly Link[]): Sample[] =>
  links.flatMap(({ name, statistics }): Sample[] => {
    if (statistics === undefined) return [];
    const labels = [name];
    return [
      { name: "container_network_receive_bytes_total", value: statistics.rxBytes, labels },
      { name: "container_network_receive_packets_total", value: statistics.rxPackets, labels },
      { name: "container_network_receive_packets_dropped_total", value: statistics.rxDropped, labels },
      { name: "container_network_receive_errors_total", value: statistics.rxErrors, labels },
      { name: "container_network_transmit_bytes_total", value: statistics.txBytes, labels },
      { name: "container_network_transmit_packets_total", value: statistics.txPackets, labels },
      { name: "container_network_transmit_packets_dropped_total", value: statistics.txDropped, labels },
      { name: "container_network_transmit_errors_total", value: statistics.txErrors, labels },
    ];
  });
