import type { Resource } from "../../registry/resource.ts";
import { earlierGroupVersions } from "./earlier-group-versions.ts";
import { volumeGroupSnapshotClasses } from "./volume-group-snapshot-class.ts";
import { volumeGroupSnapshotContents } from "./volume-group-snapshot-content.ts";
import { volumeGroupSnapshots } from "./volume-group-snapshot.ts";
import { volumePopulators } from "./volume-populator.ts";
import { volumeSnapshotClasses } from "./volume-snapshot-class.ts";
import { volumeSnapshotContents } from "./volume-snapshot-content.ts";
import { volumeSnapshots } from "./volume-snapshot.ts";

/** Snapshots, snapshots of groups, and what fills volumes: upstream's custom resources for storage. */
export const allSnapshotResources: readonly Resource[] = [
  volumeSnapshotClasses,
  volumeSnapshotContents,
  volumeSnapshots,
  volumeGroupSnapshotClasses,
  volumeGroupSnapshotContents,
  volumeGroupSnapshots,
  ...earlierGroupVersions,
  volumePopulators,
];
