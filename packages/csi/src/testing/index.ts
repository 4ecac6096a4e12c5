export { testDriver } from "./conformance.ts";
export type { DriverUnderTest } from "./driver-suite.ts";
