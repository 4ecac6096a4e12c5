import { codeOf, messageOf } from "@tripod/base";
import type { StartErrorReason } from "../containers/start-error.ts";

/** The words with which a runtime's refusal begins when it means more than "it did not work" (cri-api's errors package), and what they mean. */
const worded = {
  RegistryUnavailable: "the registry is unavailable",
  SignatureValidationFailed: "the signature validation failed",
} as const;

export interface PullFailure {
  readonly reason: Extract<StartErrorReason, "ErrImagePull" | "InvalidImageName" | keyof typeof worded>;
  /** What the runtime said. */
  readonly why: string;
  /** What the Pod's status says, in upstream's words. */
  readonly message: string;
}

/** Tells what kept an image from being pulled. */
export function pullFailure(image: string, cause: unknown): PullFailure {
  const why = messageOf(cause);
  for (const word of ["RegistryUnavailable", "SignatureValidationFailed"] as const) {
    if (!why.startsWith(word)) continue;
    return {
      reason: word,
      why,
      message: `image pull failed for ${image} because ${worded[word]}${why.slice(word.length)}`,
    };
  }
  const reason = codeOf(cause) === "invalid" ? "InvalidImageName" : "ErrImagePull";
  return { reason, why, message: `failed to pull image "${image}": ${why}` };
}
