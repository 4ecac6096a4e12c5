import type { LazyStart } from "../cri-config.ts";

/** By which a Pod asks for, or refuses, containers that start before their image is whole: "true" or "false". */
export const lazyStartAnnotation = "lazy-start.tripod.dev";

/** Whether an image is to be pulled so that its containers can start before it is whole. */
export function startsLazily(setting: LazyStart, annotations: Readonly<Record<string, string>>): boolean {
  const wish = annotations[lazyStartAnnotation];
  return setting === "on" ? wish !== "false" : setting === "annotation" && wish === "true";
}
