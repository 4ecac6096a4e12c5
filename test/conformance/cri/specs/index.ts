import type { Spec } from "../suite/spec.ts";
import { containers } from "./containers.ts";
import { devices } from "./devices.ts";
import { events } from "./events.ts";
import { execSync } from "./exec-sync.ts";
import { filters } from "./filters.ts";
import { idempotence } from "./idempotence.ts";
import { imageVolumes } from "./image-volumes.ts";
import { images } from "./images.ts";
import { logs } from "./logs.ts";
import { metrics } from "./metrics.ts";
import { mounts } from "./mounts.ts";
import { namespaces } from "./namespaces.ts";
import { networking } from "./networking.ts";
import { repeatedRequests } from "./repeated-requests.ts";
import { resources } from "./resources.ts";
import { runtimeInfo } from "./runtime-info.ts";
import { sandboxes } from "./sandboxes.ts";
import { security } from "./security.ts";
import { stats } from "./stats.ts";
import { stopping } from "./stopping.ts";
import { streamedLists } from "./streamed-lists.ts";
import { streaming } from "./streaming.ts";
import { userNamespaces } from "./user-namespaces.ts";
import { users } from "./users.ts";

/** Every spec of the suite, in the order of the report. */
export const specs: readonly Spec[] = [
  runtimeInfo,
  sandboxes,
  containers,
  idempotence,
  repeatedRequests,
  stopping,
  filters,
  images,
  imageVolumes,
  namespaces,
  userNamespaces,
  users,
  security,
  mounts,
  devices,
  networking,
  logs,
  execSync,
  streaming,
  resources,
  stats,
  metrics,
  events,
  streamedLists,
].flat();
