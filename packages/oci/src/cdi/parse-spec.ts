import { TripodError } from "@tripod/base";
import * as v from "valibot";
import { hookNames } from "../runtime/spec/runtime-spec.ts";
import { isCdiKind, isCdiName } from "./device-name.ts";

/** The versions of the CDI specification whose files are understood. */
const versions = ["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"];

const text = v.pipe(v.string(), v.nonEmpty());
const whole = v.pipe(v.number(), v.safeInteger());
const id = v.pipe(whole, v.minValue(0), v.maxValue(2 ** 32 - 1));
const assignment = v.pipe(v.string(), v.regex(/^[^=\0]+=/, "must be NAME=VALUE"));
const hostPath = v.pipe(v.string(), v.startsWith("/", "must be absolute"));
const list = <T extends v.GenericSchema>(item: T) => v.optional(v.nullable(v.pipe(v.array(item), v.maxLength(4096))));
const annotations = v.optional(v.nullable(v.record(v.string(), v.string())));

const editsSchema = v.strictObject({
  env: list(assignment),
  deviceNodes: list(
    v.strictObject({
      path: v.pipe(v.string(), v.startsWith("/", "must be absolute")),
      hostPath: v.optional(hostPath),
      type: v.optional(v.picklist(["", "b", "c", "u", "p"])),
      major: v.optional(whole),
      minor: v.optional(whole),
      fileMode: v.optional(v.nullable(whole)),
      permissions: v.optional(v.pipe(v.string(), v.regex(/^(none|[rwm]{0,3})$/, 'must be of "rwm", or none'))),
      uid: v.optional(v.nullable(id)),
      gid: v.optional(v.nullable(id)),
    }),
  ),
  mounts: list(
    v.strictObject({
      hostPath: text,
      containerPath: v.pipe(v.string(), v.startsWith("/", "must be absolute")),
      type: v.optional(v.string()),
      options: list(v.string()),
    }),
  ),
  hooks: list(
    v.strictObject({
      hookName: v.picklist(hookNames, ({ input }) => `there is no hook ${String(input)}`),
      path: hostPath,
      args: list(v.string()),
      env: list(assignment),
      timeout: v.optional(v.nullable(v.pipe(whole, v.minValue(1)))),
    }),
  ),
  additionalGIDs: list(id),
  /** As some files spell it. */
  additionalGids: list(id),
  intelRdt: v.optional(
    v.nullable(
      v.strictObject({
        closID: v.optional(
          v.pipe(v.string(), v.regex(/^(\/|(?!\.\.?$)[^/\n]{0,4095})$/, "must be the name of a folder")),
        ),
        l3CacheSchema: v.optional(v.string()),
        memBwSchema: v.optional(v.string()),
        schemata: list(v.string()),
        enableMonitoring: v.optional(v.boolean()),
        // Up to 1.0.0; the low-level runtimes have dropped them.
        enableCMT: v.optional(v.boolean()),
        enableMBM: v.optional(v.boolean()),
      }),
    ),
  ),
  netDevices: list(v.strictObject({ hostInterfaceName: text, name: text })),
});

const specSchema = v.strictObject({
  cdiVersion: v.picklist(
    versions,
    ({ input }) => `version ${String(input)} is not known; ${versions.at(-1)} is the newest that is`,
  ),
  kind: v.pipe(v.string(), v.check(isCdiKind, "must be VENDOR/CLASS")),
  annotations,
  devices: v.pipe(
    v.array(
      v.strictObject({
        name: v.pipe(v.string(), v.check(isCdiName, "must begin and end with a letter or digit")),
        annotations,
        containerEdits: editsSchema,
      }),
    ),
    v.minLength(1, "there are no devices"),
    v.maxLength(4096),
  ),
  containerEdits: v.optional(v.nullable(editsSchema)),
});

/** What a device changes in config.json; field names are the CDI specification's. */
export type CdiEdits = v.InferOutput<typeof editsSchema>;
export type CdiSpec = v.InferOutput<typeof specSchema>;

/** A spec file's content; what is wrong with it is an "invalid" error that says where. */
export function parseCdiSpec(value: unknown, where: string): CdiSpec {
  const parsed = v.safeParse(specSchema, value);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const why = issue.expected === "never" ? "there is no such field" : issue.message;
    throw new TripodError("invalid", `${where}: ${v.getDotPath(issue) ?? "it"}: ${why}`);
  }
  const names = parsed.output.devices.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new TripodError("invalid", `${where}: device ${twice} is there twice`);
  return parsed.output;
}
