export { bridge } from "./bridge.ts";
