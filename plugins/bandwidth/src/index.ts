export { bandwidth } from "./bandwidth.ts";
