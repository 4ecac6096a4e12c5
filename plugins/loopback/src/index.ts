export { loopback } from "./loopback.ts";
