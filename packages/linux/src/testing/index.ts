export { FreshNetns } from "./fresh-netns.ts";
export { TemporaryFolder } from "./temporary-folder.ts";
