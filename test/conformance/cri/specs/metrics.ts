import assert from "node:assert/strict";
import { topic } from "../suite/spec.ts";

/** cAdvisor's names, by which dashboards ask for them. */
const names = [
  [
    "container",
    "last_seen processes sockets start_time_seconds threads threads_max ulimits_soft file_descriptors oom_events_total",
  ],
  ["container", "blkio_device_usage_total hugetlb_max_usage_bytes hugetlb_usage_bytes"],
  [
    "container_cpu",
    "cfs_periods_total cfs_throttled_periods_total cfs_throttled_seconds_total system_seconds_total usage_seconds_total user_seconds_total",
  ],
  [
    "container_fs",
    "inodes_free inodes_total limit_bytes reads_bytes_total reads_total usage_bytes writes_bytes_total writes_total",
  ],
  [
    "container_memory",
    "cache failcnt failures_total kernel_usage mapped_file max_usage_bytes rss swap usage_bytes working_set_bytes",
  ],
  ["container_network", "receive_bytes_total receive_errors_total receive_packets_dropped_total receive_packets_total"],
  [
    "container_network",
    "transmit_bytes_total transmit_errors_total transmit_packets_dropped_total transmit_packets_total",
  ],
  [
    "container_pressure",
    "cpu_stalled_seconds_total cpu_waiting_seconds_total io_stalled_seconds_total io_waiting_seconds_total",
  ],
  ["container_pressure", "memory_stalled_seconds_total memory_waiting_seconds_total"],
  [
    "container_spec",
    "cpu_period cpu_quota cpu_shares memory_limit_bytes memory_reservation_limit_bytes memory_swap_limit_bytes",
  ],
].flatMap(([group, rest = ""]) => rest.split(" ").map((name) => `${group}_${name}`));

export const metrics = topic("metrics", {
  async "ListMetricDescriptors describes cAdvisor's 56 metrics, each once"({ runtime }) {
    const { descriptors } = await runtime.listMetricDescriptors({});
    const found = descriptors.map(({ name }) => name);
    assert.deepEqual(
      names.filter((name) => !found.includes(name)),
      [],
    );
    assert.equal(new Set(found).size, found.length);
    for (const { name, help, labelKeys } of descriptors) {
      assert.notEqual(help, "", `${name} has no help`);
      assert.equal(new Set(labelKeys).size, labelKeys.length, `${name} has a label twice`);
    }
  },
  async "ListPodSandboxMetrics tells of every sandbox with its containers, in described terms only"(world) {
    const described = new Map(
      (await world.runtime.listMetricDescriptors({})).descriptors.map(({ name, labelKeys }) => [
        name,
        labelKeys.length,
      ]),
    );
    const sandbox = await world.sandbox();
    const id = await world.run(sandbox);
    const { podMetrics } = await world.runtime.listPodSandboxMetrics({});
    const found = podMetrics.find(({ podSandboxId }) => podSandboxId === sandbox.id);
    assert.ok(found, "the sandbox is not there");
    const container = found.containerMetrics.find(({ containerId }) => containerId === id);
    assert.ok(container, "the container is not there");
    for (const metric of [...found.metrics, ...container.metrics]) {
      assert.equal(metric.labelValues.length, described.get(metric.name), `labels of ${metric.name}`);
      assert.ok(metric.value !== undefined, `${metric.name} has no value`);
    }
    const all = new Set([...found.metrics, ...container.metrics].map(({ name }) => name));
    for (const name of [
      "container_cpu_usage_seconds_total",
      "container_memory_working_set_bytes",
      "container_network_receive_bytes_total",
    ])
      assert.ok(all.has(name), `${name} is not there`);
  },
});
