export { storageConformance, type StorageUnderTest } from "../storage/conformance.ts";
