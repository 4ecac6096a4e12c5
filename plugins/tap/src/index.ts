export { tap } from "./tap.ts";
