export { flannel } from "./flannel.ts";
