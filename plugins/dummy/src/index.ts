export { dummy } from "./dummy.ts";
