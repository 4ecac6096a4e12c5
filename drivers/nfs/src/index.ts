export { type NfsDriver, nfsDriverName, type NfsDriverOptions, openNfsDriver } from "./nfs-driver.ts";
