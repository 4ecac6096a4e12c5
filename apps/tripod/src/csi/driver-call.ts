import { readFileSync } from "node:fs";
import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import { quantityValue } from "@tripod/api/quantity";
import { isTripodError, messageOf, TripodError } from "@tripod/base";
import { connectDriver, type CsiDriverClient, listPages } from "@tripod/csi";
import { Command } from "commander";
import { columns } from "../image/human.ts";
import { parseDocument } from "yaml";

/** What every command that calls a driver may be told. */
export interface CallOptions {
  readonly endpoint?: string;
  readonly timeout: string;
  readonly json?: true;
  readonly secretsFile?: string;
}

/** Adds those options. */
export const withCallOptions = (command: Command): Command =>
  command
    .option("--endpoint <endpoint>", "the driver's socket, as in unix:///run/csi.sock (default: $CSI_ENDPOINT)")
    .option("--timeout <seconds>", "how long the call may take", "60")
    .option("--secrets-file <file>", "secrets for the call, as `key: value` in YAML or JSON")
    .option("--json", "print the reply as JSON, in protobuf's form");

/** Connects to the driver that the options name, and says of a failure which call it was. */
export async function withDriver(
  options: CallOptions,
  work: (client: CsiDriverClient) => Promise<void>,
): Promise<void> {
  const endpoint = options.endpoint ?? process.env.CSI_ENDPOINT;
  if (endpoint === undefined || endpoint === "")
    throw new TripodError(
      "invalid",
      "which driver? name its socket: --endpoint unix:///run/csi.sock, or set CSI_ENDPOINT",
    );
  const seconds = Number(options.timeout);
  if (!Number.isFinite(seconds) || seconds <= 0)
    throw new TripodError("invalid", `--timeout ${options.timeout}: not a number of seconds`);
  using client = connectDriver(endpoint, { timeoutMs: seconds * 1000 });
  try {
    await work(client);
  } catch (error) {
    if (!isTripodError(error)) throw error;
    throw new TripodError(
      error.code,
      `${grpcNames[error.code] ?? error.code.toUpperCase()}: ${error.message}${hintOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

/** The names that drivers' authors know codes by. */
const grpcNames: Readonly<Record<string, string>> = {
  invalid: "INVALID_ARGUMENT",
  "not-found": "NOT_FOUND",
  "already-exists": "ALREADY_EXISTS",
  "failed-precondition": "FAILED_PRECONDITION",
  "permission-denied": "PERMISSION_DENIED",
  aborted: "ABORTED",
  "out-of-range": "OUT_OF_RANGE",
  exhausted: "RESOURCE_EXHAUSTED",
  unimplemented: "UNIMPLEMENTED",
  unavailable: "UNAVAILABLE",
  timeout: "DEADLINE_EXCEEDED",
  internal: "INTERNAL",
};

function hintOf(error: TripodError): string {
  if (error.code === "unimplemented")
    return /\bcsi\.v1\.Identity\b/.test(error.message)
      ? "; is this a CSI driver's socket?"
      : "; tripod csi info shows what the driver can do";
  if (error.code === "timeout") return "; --timeout lets the call take longer";
  if (error.code === "aborted") return "; another call for it is pending: try again";
  return "";
}

/** All of a list that a driver may give in pages; the first reply with the entries of every page. */
export async function allPages<E, M extends { entries: E[]; nextToken: string }>(
  ask: (page: { readonly maxEntries: number; readonly startingToken: string }) => Promise<M>,
): Promise<M> {
  const [all, ...others] = await Array.fromAsync(listPages(ask));
  if (all === undefined) throw new TripodError("corrupt", "list: the driver answered nothing");
  for (const { entries } of others) for (const entry of entries) all.entries.push(entry);
  all.nextToken = "";
  return all;
}

export const print = (text: string): boolean => process.stdout.write(`${text}\n`);

/** Prints a reply: as JSON when that is asked for, else as `text` makes it. */
export function printReply<D extends DescMessage>(
  options: { readonly json?: true },
  reply: { readonly schema: D; readonly message: MessageShape<D>; readonly text: () => string },
): void {
  print(options.json === true ? JSON.stringify(toJson(reply.schema, reply.message), null, 2) : reply.text());
}

/** The name of a number of one of the protocol's enumerations. */
export const enumName = (values: Readonly<Record<string, number>>, number: number): string =>
  Object.entries(values).find(([, value]) => value === number)?.[0] ?? String(number);

/** "key value" lines, without those that are empty. */
export const facts = (rows: readonly (readonly [string, string])[]): string =>
  columns(rows.filter(([, value]) => value !== "").map(([key, value]) => [`${key}:`, value]));

/** For options given as key=value, several times. */
export function keyValue(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new TripodError("invalid", `${JSON.stringify(text)}: not key=value`);
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Bytes of a quantity, as 10Gi; 0 for none. */
export function bytesOf(text: string | undefined): bigint {
  if (text === undefined) return 0n;
  try {
    return quantityValue(text);
  } catch (cause) {
    throw new TripodError("invalid", `size ${JSON.stringify(text)}: not a quantity, as 10Gi is (${messageOf(cause)})`, {
      cause,
    });
  }
}

/** For options that are whole numbers. */
export function wholeNumber(text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) throw new TripodError("invalid", `${JSON.stringify(text)}: not a whole number`);
  return BigInt(text);
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new TripodError("invalid", `secrets ${file}: ${messageOf(cause)}; check --secrets-file`, { cause });
  }
}

/** The secrets of a file. Their values are printed nowhere. */
export function secretsOf({ secretsFile }: CallOptions): Record<string, string> {
  if (secretsFile === undefined) return {};
  const document = parseDocument(textOf(secretsFile));
  const found: unknown = document.errors.length === 0 ? document.toJS() : undefined;
  if (typeof found !== "object" || found === null || Object.values(found).some((value) => typeof value !== "string"))
    throw new TripodError("invalid", `secrets ${secretsFile}: not a map of strings`);
  return { ...found } as Record<string, string>; // just checked
}
