export { sbr } from "./sbr.ts";
