import type { CriConfig } from "../cri-config.ts";

import { snapshotterKinds } from "@tripod/oci";

/**
 * What servers under test are configured with: the cgroup driver that the environment asks for (TRIPOD_TEST_CGROUP_DRIVER), and its snapshotter
 * (TRIPOD_TEST_SNAPSHOTTER).
 */
export const testConfig = (): CriConfig => {
  const snapshotter = snapshotterKinds.find((kind) => kind === process.env["TRIPOD_TEST_SNAPSHOTTER"]);
  return {
    ...(process.env["TRIPOD_TEST_CGROUP_DRIVER"] === "systemd" && { cgroupDriver: "systemd" as const }),
    ...(snapshotter !== undefined && { snapshotter }),
  };
};
