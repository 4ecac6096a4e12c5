export { staticIpam } from "./static.ts";
