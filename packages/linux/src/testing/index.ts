export { FreshNetns } from "./fresh-netns.ts";
export { QuotaDisk, quotaFileSystems, writeAsContainer } from "./quota-disk.ts";
export { TemporaryFolder } from "./temporary-folder.ts";
