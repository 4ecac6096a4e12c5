export { macvlan } from "./macvlan.ts";
