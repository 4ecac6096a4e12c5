import type { Event, EventsV1Event, KubernetesObject } from "@tripod/api/kubernetes";
import type { FieldErrors } from "../registry/field-errors.ts";
import { defineResource } from "../registry/resource.ts";
import { age } from "../table/age.ts";
import { type Column, textColumn } from "../table/column.ts";

/** How the two versions name the same fields: core's, then that of events.k8s.io. */
const renamed = [
  ["involvedObject", "regarding"],
  ["message", "note"],
  ["reportingComponent", "reportingController"],
  ["source", "deprecatedSource"],
  ["firstTimestamp", "deprecatedFirstTimestamp"],
  ["lastTimestamp", "deprecatedLastTimestamp"],
  ["count", "deprecatedCount"],
] as const;

function rename(object: object, direction: "toNew" | "toCore"): Record<string, unknown> {
  const result: Record<string, unknown> = { ...object };
  for (const [core, fresh] of renamed) {
    const [from, to] = direction === "toNew" ? [core, fresh] : [fresh, core];
    const value = result[from];
    delete result[from];
    if (value !== undefined) result[to] = value;
  }
  return result;
}

// The two conversions rename fields of one version to those of the other; nothing else differs between the types.
const toCore = (event: EventsV1Event): Event => ({ ...rename(event, "toCore"), apiVersion: "v1" }) as Event;
const toNew = (event: KubernetesObject): EventsV1Event =>
  ({ ...rename(event, "toNew"), apiVersion: "events.k8s.io/v1" }) as EventsV1Event;

const lastSeen = (event: Event): string | undefined =>
  event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp;
const firstSeen = (event: Event): string | undefined =>
  event.firstTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp;

function subject({ involvedObject }: Event): string {
  const { kind = "", name = "" } = involvedObject ?? {};
  return name === "" ? kind.toLowerCase() : `${kind.toLowerCase()}/${name}`;
}

const source = (event: Event): string =>
  [event.source?.component || event.reportingComponent, event.source?.host].filter(Boolean).join(", ");

function columnsOf<T extends KubernetesObject>(view: (object: T) => Event): Column<T>[] {
  return [
    textColumn<T>("Last Seen", (object) => age(lastSeen(view(object)))),
    textColumn<T>("Type", (object) => view(object).type),
    textColumn<T>("Reason", (object) => view(object).reason),
    textColumn<T>("Object", (object) => subject(view(object))),
    textColumn<T>("Subobject", (object) => view(object).involvedObject?.fieldPath, { wide: true }),
    textColumn<T>("Source", (object) => source(view(object)), { wide: true }),
    textColumn<T>("Message", (object) => view(object).message?.trim()),
    textColumn<T>("First Seen", (object) => age(firstSeen(view(object))), { wide: true }),
    {
      name: "Count",
      type: "string",
      priority: 1,
      cell: (object) => view(object).series?.count ?? view(object).count ?? 1,
    },
    textColumn<T>("Name", (object) => object.metadata.name, { wide: true }),
  ];
}

const shared = {
  kind: "Event",
  plural: "events",
  singular: "event",
  shortNames: ["ev"],
  namespaced: true,
  nameRule: "subdomain",
  storageName: "events",
} as const;

function checkNamespace(event: Event, field: string, errors: FieldErrors): void {
  const about = event.involvedObject?.namespace ?? "";
  // What has no namespace of its own is told of in "default", or wherever its reporter sits.
  if (about !== "" && about !== event.metadata.namespace)
    errors.invalid(field, about, "does not match event.namespace");
}

/** Events as core/v1 spells them, which is how they are stored. */
export const events = defineResource<Event>({
  ...shared,
  group: "",
  version: "v1",
  columns: columnsOf<Event>((event) => event),
  selectableFields({ involvedObject: about, reason, type, reportingComponent, source: from, metadata: _metadata }) {
    return {
      "involvedObject.kind": about?.kind ?? "",
      "involvedObject.namespace": about?.namespace ?? "",
      "involvedObject.name": about?.name ?? "",
      "involvedObject.uid": about?.uid ?? "",
      "involvedObject.apiVersion": about?.apiVersion ?? "",
      "involvedObject.resourceVersion": about?.resourceVersion ?? "",
      "involvedObject.fieldPath": about?.fieldPath ?? "",
      reason: reason ?? "",
      reportingComponent: reportingComponent ?? "",
      source: from?.component || reportingComponent || "",
      type: type ?? "",
    };
  },
  validate: (event, errors) => checkNamespace(event, "involvedObject.namespace", errors),
});

/** The same Events as events.k8s.io/v1 spells them. */
export const eventsV1 = defineResource<EventsV1Event>({
  ...shared,
  group: "events.k8s.io",
  version: "v1",
  columns: columnsOf<EventsV1Event>(toCore),
  selectableFields({ regarding, reason, type, reportingController }) {
    return {
      "regarding.kind": regarding?.kind ?? "",
      "regarding.namespace": regarding?.namespace ?? "",
      "regarding.name": regarding?.name ?? "",
      "regarding.uid": regarding?.uid ?? "",
      "regarding.apiVersion": regarding?.apiVersion ?? "",
      "regarding.resourceVersion": regarding?.resourceVersion ?? "",
      "regarding.fieldPath": regarding?.fieldPath ?? "",
      reason: reason ?? "",
      reportingController: reportingController ?? "",
      type: type ?? "",
    };
  },
  validate: (event, errors) => checkNamespace(toCore(event), "regarding.namespace", errors),
  conversion: { fromStored: toNew, toStored: toCore },
});
