import { TripodError } from "@tripod/base";

/** What to run: the request's command replaces the image's entrypoint and with it its arguments; its args alone replace only those. */
export function commandOf(
  request: { readonly command: readonly string[]; readonly args: readonly string[] },
  image: { readonly Entrypoint?: readonly string[]; readonly Cmd?: readonly string[] },
): string[] {
  const words =
    request.command.length > 0
      ? [...request.command, ...request.args]
      : [...(image.Entrypoint ?? []), ...(request.args.length > 0 ? request.args : (image.Cmd ?? []))];
  if (words.length === 0)
    throw new TripodError("invalid", "container: neither the request nor the image says what to run");
  return words;
}
