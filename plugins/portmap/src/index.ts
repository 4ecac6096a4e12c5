export { portmap } from "./portmap.ts";
