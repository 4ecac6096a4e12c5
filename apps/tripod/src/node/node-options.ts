import { InvalidArgumentError, Option } from "commander";

/** Parses `--port`. */
export function parsePort(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new InvalidArgumentError("A port is a number from 0 (any free one) to 65535.");
}

/** Parses `--node-name`. */
export function parseNodeName(text: string): string {
  const labels = text.split(".");
  if (text.length <= 63 && labels.every((label) => /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(label))) return text;
  throw new InvalidArgumentError(
    "A Node's name is a DNS name of at most 63 characters: lower-case letters, digits, - and dots.",
  );
}

/** `--log-level`. */
export const logLevelOption = (): Option =>
  new Option("--log-level <level>", "how much is logged (default: the configuration's)").choices([
    "debug",
    "info",
    "warn",
    "error",
  ]);
