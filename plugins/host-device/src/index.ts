export { hostDevice } from "./host-device.ts";
