import * as v from "valibot";
import { linuxSchema } from "./linux-schema.ts";
import { processSchema } from "./process-schema.ts";
import { absolutePath, between, idMappings, stringMap, strings } from "./spec-values.ts";

const hooks = v.exactOptional(
  v.array(
    v.object({
      path: absolutePath,
      args: v.exactOptional(strings),
      env: v.exactOptional(strings),
      timeout: v.exactOptional(between(1, Number.MAX_SAFE_INTEGER)),
    }),
  ),
);

const mount = v.pipe(
  v.object({
    destination: v.string(),
    source: v.exactOptional(v.string()),
    type: v.exactOptional(v.string()),
    options: v.exactOptional(strings),
    uidMappings: v.exactOptional(idMappings),
    gidMappings: v.exactOptional(idMappings),
  }),
  v.check(
    ({ uidMappings, gidMappings }) => (uidMappings === undefined) === (gidMappings === undefined),
    "must have uidMappings and gidMappings together",
  ),
);

/** Semantic Versioning 2.0.0; of this specification, 1. */
const version = v.pipe(
  v.string(),
  v.regex(
    /^1\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/,
    'must be a version 1, "1.0.2" and the like',
  ),
);

/** config.json of a Linux container, as a schema. What it does not name may be there. Specification 1.3: config.md. */
export const specSchema = v.object({
  ociVersion: version,
  root: v.object({
    path: v.pipe(v.string(), v.nonEmpty("must name a folder")),
    readonly: v.exactOptional(v.boolean()),
  }),
  process: v.exactOptional(processSchema),
  hostname: v.exactOptional(v.string()),
  domainname: v.exactOptional(v.string()),
  mounts: v.exactOptional(v.array(mount)),
  hooks: v.exactOptional(
    v.object({
      prestart: hooks,
      createRuntime: hooks,
      createContainer: hooks,
      startContainer: hooks,
      poststart: hooks,
      poststop: hooks,
    }),
  ),
  annotations: v.exactOptional(stringMap),
  linux: v.exactOptional(linuxSchema),
});

export type CheckedSpec = v.InferOutput<typeof specSchema>;
