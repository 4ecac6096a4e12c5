export { type DriverUnderTest, testDriver } from "./conformance.ts";
