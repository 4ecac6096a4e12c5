import type { Event, EventsV1Event } from "@tripod/api/kubernetes";
import type { ApiObject } from "../api-object.ts";
import { age, type Column, type ResourceDefinition } from "../resource.ts";

const asEvent = (object: ApiObject): Event & ApiObject => object as Event & ApiObject; // decoded as one, or made of one below

/** How the two versions name the same fields: core's, then events.k8s.io's. */
const renamed = [
  ["involvedObject", "regarding"],
  ["message", "note"],
  ["reportingComponent", "reportingController"],
  ["source", "deprecatedSource"],
  ["firstTimestamp", "deprecatedFirstTimestamp"],
  ["lastTimestamp", "deprecatedLastTimestamp"],
  ["count", "deprecatedCount"],
] as const;

function rename(object: ApiObject, apiVersion: string, direction: "toNew" | "toOld"): ApiObject {
  const result: ApiObject = { ...object, apiVersion };
  for (const [old, fresh] of renamed) {
    const [from, to] = direction === "toNew" ? [old, fresh] : [fresh, old];
    delete result[from];
    if (object[from] !== undefined) result[to] = object[from];
  }
  return result;
}

const lastSeen = (event: Event & ApiObject): unknown =>
  event.series?.lastObservedTime ?? event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp;
const firstSeen = (event: Event & ApiObject): unknown =>
  event.firstTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp;
const subject = ({ involvedObject: { kind = "", name = "" } }: Event): string => `${kind.toLowerCase()}/${name}`;

const columnsOf = (view: (object: ApiObject) => Event & ApiObject): Column[] => [
  { name: "Last Seen", type: "string", cell: (object) => age(lastSeen(view(object))) },
  { name: "Type", type: "string", cell: (object) => view(object).type },
  { name: "Reason", type: "string", cell: (object) => view(object).reason },
  { name: "Object", type: "string", cell: (object) => subject(view(object)) },
  { name: "Subobject", type: "string", priority: 1, cell: (object) => view(object).involvedObject.fieldPath },
  {
    name: "Source",
    type: "string",
    priority: 1,
    cell: (object) =>
      [view(object).source?.component || view(object).reportingComponent, view(object).source?.host]
        .filter(Boolean)
        .join(", "),
  },
  { name: "Message", type: "string", cell: (object) => view(object).message?.trim() },
  { name: "First Seen", type: "string", priority: 1, cell: (object) => age(firstSeen(view(object))) },
  {
    name: "Count",
    type: "string",
    priority: 1,
    cell: (object) => view(object).series?.count ?? view(object).count ?? 1,
  },
  { name: "Name", type: "string", priority: 1, cell: (object) => object.metadata.name },
];

const shared = {
  kind: "Event",
  plural: "events",
  singular: "event",
  shortNames: ["ev"],
  namespaced: true,
  nameRule: "subdomain",
  storageName: "events",
  hasStatus: false,
  subresources: [],
} as const;

/** Events as core/v1 spells them; so they are stored. */
export const events: ResourceDefinition = {
  ...shared,
  group: "",
  version: "v1",
  columns: columnsOf(asEvent),
  selectableFields(object) {
    const { involvedObject: about, reason, type, reportingComponent, source } = asEvent(object);
    return {
      "involvedObject.kind": about?.kind ?? "",
      "involvedObject.namespace": about?.namespace ?? "",
      "involvedObject.name": about?.name ?? "",
      "involvedObject.uid": about?.uid ?? "",
      "involvedObject.apiVersion": about?.apiVersion ?? "",
      "involvedObject.resourceVersion": about?.resourceVersion ?? "",
      "involvedObject.fieldPath": about?.fieldPath ?? "",
      reason: reason ?? "",
      type: type ?? "",
      reportingComponent: reportingComponent ?? "",
      source: source?.component ?? reportingComponent ?? "",
    };
  },
  validate(object, errors) {
    const about = asEvent(object).involvedObject;
    if (about === undefined) errors.required("involvedObject");
    else if ((about.namespace ?? "default") !== object.metadata.namespace && about.namespace)
      errors.invalid("involvedObject.namespace", about.namespace, "does not match event.namespace");
  },
};

/** The same Events as events.k8s.io/v1 spells them. */
export const eventsV1: ResourceDefinition = {
  ...shared,
  group: "events.k8s.io",
  version: "v1",
  columns: columnsOf((object) => asEvent(rename(object, "v1", "toOld"))),
  selectableFields(object) {
    const { regarding, reason, type, reportingController } = object as EventsV1Event & ApiObject; // decoded as one
    return {
      "regarding.kind": regarding?.kind ?? "",
      "regarding.namespace": regarding?.namespace ?? "",
      "regarding.name": regarding?.name ?? "",
      "regarding.uid": regarding?.uid ?? "",
      reason: reason ?? "",
      type: type ?? "",
      reportingController: reportingController ?? "",
    };
  },
  fromStored: (object) => rename(object, "events.k8s.io/v1", "toNew"),
  toStored: (object) => rename(object, "v1", "toOld"),
};
