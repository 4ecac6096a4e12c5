import { runDhcpDaemon } from "../daemon.ts";

// The daemon as a process of its own, for what a test kills.
process.exitCode = await runDhcpDaemon(process.argv.slice(2));
