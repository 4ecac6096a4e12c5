import type { KubernetesObject } from "@tripod/api/kubernetes";
import { age } from "./age.ts";

/** A column of `kubectl get`; those of priority 1 show with -o wide alone. */
export interface Column<T extends KubernetesObject = KubernetesObject> {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  readonly priority?: 1;
  readonly description?: string;
  /** Undefined prints as "". */
  cell(object: T): string | number | boolean | undefined;
}

/** A column of texts. */
export const textColumn = <T extends KubernetesObject>(
  name: string,
  cell: (object: T) => string | undefined,
  options: { readonly wide?: true; readonly description?: string } = {},
): Column<T> => ({
  name,
  type: "string",
  cell,
  ...(options.wide === undefined ? {} : { priority: 1 }),
  ...(options.description === undefined ? {} : { description: options.description }),
});

/** A column of times, printed as how long ago they were. */
export const timeColumn = <T extends KubernetesObject>(
  name: string,
  cell: (object: T) => string | undefined,
): Column<T> => ({
  name,
  type: "date",
  cell(object) {
    const time = cell(object);
    return time === undefined ? undefined : age(time);
  },
});

export const nameColumn: Column = {
  name: "Name",
  type: "string",
  description: "Name must be unique within a namespace.",
  cell: (object) => object.metadata.name,
};

export const ageColumn: Column = {
  name: "Age",
  type: "string",
  description: "Time since the object was created.",
  cell: (object) => age(object.metadata.creationTimestamp),
};
