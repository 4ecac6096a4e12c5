export { netCommand } from "./net-command.ts";
