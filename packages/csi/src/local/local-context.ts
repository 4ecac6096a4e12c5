import type { LocalRecords } from "./local-records.ts";
import type { LocalTopology } from "./local-topology.ts";
import type { VolumeStorage } from "./volume-storage.ts";

/** What the parts of a local driver share. */
export interface LocalContext {
  readonly driverName: string;
  readonly records: LocalRecords;
  readonly storage: VolumeStorage;
  readonly topology: LocalTopology;
  /** Whether volumes must be attached before they are published. */
  readonly attach: boolean;
}
