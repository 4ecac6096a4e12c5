import type { Layout } from "@tripod/base";
import { fuseProblem } from "@tripod/linux";
import { type Config, loadConfig } from "../node/config.ts";
import { type Check, ok, warn } from "./check.ts";

/** Whether containers can start before their images are whole; nothing where that is not configured. */
export function lazyStartCheck(layout: Layout): Check[] {
  const name = "lazy start";
  let cri: Config["cri"];
  try {
    cri = loadConfig(layout).cri;
  } catch {
    return []; // told by the snapshotter's check
  }
  const { lazyStart = "off", snapshotter = "overlay" } = cri;
  if (lazyStart === "off") return [];
  const otherwise = "images are fetched whole before their containers start";
  if (snapshotter !== "overlay")
    return [
      warn(name, `snapshotter ${snapshotter} needs whole layers: ${otherwise}`, "set cri.snapshotter to overlay"),
    ];
  const problem = fuseProblem();
  return [
    problem === undefined
      ? ok(name, `/dev/fuse serves layers while they come in (${lazyStart})`)
      : warn(name, `${problem}: ${otherwise}`, "modprobe fuse; in a container, give it /dev/fuse"),
  ];
}
