import type { Container } from "@tripod/api/kubernetes";

/** The container's pull policy; without one, a moving tag is pulled always and a fixed one when it is missing. */
export function pullPolicyOf({
  imagePullPolicy,
  image = "",
}: Pick<Container, "image" | "imagePullPolicy">): "Always" | "IfNotPresent" | "Never" {
  if (imagePullPolicy === "Always" || imagePullPolicy === "Never" || imagePullPolicy === "IfNotPresent") {
    return imagePullPolicy;
  }
  if (image.includes("@")) return "IfNotPresent";
  const tag = /:([^/:]+)$/.exec(image)?.[1] ?? "latest";
  return tag === "latest" ? "Always" : "IfNotPresent";
}
