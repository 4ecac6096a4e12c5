export { imageCommand } from "./image-command.ts";
