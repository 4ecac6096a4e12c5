import { CgroupDriver } from "@tripod/api/cri";
import type { Pod } from "@tripod/api/kubernetes";
import { isTripodError } from "@tripod/base";
import { cgroupChildren, slicePath } from "@tripod/linux";
import type { CriClient } from "../cri/cri-client.ts";
import { qosClassOf } from "../pods/pod-facts.ts";

/** Where Pods have their cgroups: one group a QoS class, one a Pod, named as the runtime's cgroup driver wants it. */
export interface PodCgroups {
  /** The Pod's, relative to each hierarchy's root. */
  of(pod: Pod): string;
  /** Every one that a Pod may have had, whatever its QoS class was: for cleaning up after a Pod that nobody knows any more. */
  possible(uid: string): string[];
  /** The uids of the Pods that have one. */
  uids(): string[];
}

const classes = ["", "burstable", "besteffort"];

/** `parent` is the instance's, "/tripod-1a2b". */
export function podCgroups(parent: string, driver: "cgroupfs" | "systemd"): PodCgroups {
  const folder = (name: string): string =>
    driver === "cgroupfs"
      ? [`${parent}/kubepods`, ...(name === "" ? [] : [name])].join("/")
      : slicePath(`${[parent.slice(1), "kubepods", ...(name === "" ? [] : [name])].join("-")}.slice`);
  const group = (name: string, uid: string): string => {
    if (driver === "cgroupfs") return `${folder(name)}/pod${uid}`;
    const above = folder(name);
    // A dash would be a level of its own.
    return `${above}/${above.slice(above.lastIndexOf("/") + 1, -".slice".length)}-pod${uid.replaceAll("-", "_")}.slice`;
  };
  const uidIn = (name: string): string[] => {
    const found = driver === "cgroupfs" ? /^pod(.*)$/.exec(name)?.[1] : /-pod([^-]*)\.slice$/.exec(name)?.[1];
    return found === undefined ? [] : [driver === "cgroupfs" ? found : found.replaceAll("_", "-")];
  };
  return {
    of: (pod) => {
      const qos = qosClassOf(pod);
      return group(qos === "Guaranteed" ? "" : qos.toLowerCase(), pod.metadata?.uid ?? "");
    },
    possible: (uid) => classes.map((name) => group(name, uid)),
    uids: () => classes.flatMap((name) => cgroupChildren(folder(name))).flatMap(uidIn),
  };
}

/** Asks the runtime for its driver when somebody first wants to know, and again after a failure; one that is too old to tell has cgroupfs. */
export function askForPodCgroups(parent: string, cri: CriClient): () => Promise<PodCgroups> {
  const ask = async (): Promise<"cgroupfs" | "systemd"> => {
    try {
      const { linux } = await cri.runtime.runtimeConfig({});
      return linux?.cgroupDriver === CgroupDriver.SYSTEMD ? "systemd" : "cgroupfs";
    } catch (error) {
      if (isTripodError(error, "unimplemented")) return "cgroupfs";
      throw error;
    }
  };
  let known: PodCgroups | undefined;
  return async () => (known ??= podCgroups(parent, await ask()));
}
