import type { CriConfig } from "../cri-config.ts";

/** What servers under test are configured with: the cgroup driver that the environment asks for, TRIPOD_TEST_CGROUP_DRIVER. */
export const testConfig = (): CriConfig =>
  process.env["TRIPOD_TEST_CGROUP_DRIVER"] === "systemd" ? { cgroupDriver: "systemd" } : {};
