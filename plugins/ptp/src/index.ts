export { ptp } from "./ptp.ts";
