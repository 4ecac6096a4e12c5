// Made by tools/gen-kubernetes.ts; do not edit.
import type { EventSource, ObjectReference } from "./core-v1.ts";
import type { ListMeta, ObjectMeta, TypeMeta } from "./meta-v1.ts";
import type { MicroTime, Time } from "./scalars.ts";

export interface Event extends TypeMeta {
  metadata: ObjectMeta;
  eventTime: MicroTime;
  series?: EventSeries;
  reportingController?: string;
  reportingInstance?: string;
  action?: string;
  reason?: string;
  regarding?: ObjectReference;
  related?: ObjectReference;
  note?: string;
  type?: string;
  deprecatedSource?: EventSource;
  deprecatedFirstTimestamp?: Time;
  deprecatedLastTimestamp?: Time;
  deprecatedCount?: number;
}

export interface EventSeries {
  count: number;
  lastObservedTime: MicroTime;
}

export interface EventList extends TypeMeta {
  metadata: ListMeta;
  items: Event[];
}
