import { describe } from "node:test";
import { testDriver } from "@tripod/csi/testing";
import { serveDriver } from "@tripod/csi";
import { interop, noNfsServer, startNfsServer, tempRoot } from "@tripod/testing";
import { openNfsDriver } from "./nfs-driver.ts";

describe(interop({ interface: "CSI", caller: "Tripod's conformance suite", callee: "Tripod's nfs driver" }), {
  skip: noNfsServer,
}, () => {
  const owned = new AsyncDisposableStack();
  testDriver("nfs", {
    start: async () => {
      const server = owned.use(await startNfsServer());
      const folder = owned.use(tempRoot());
      const opened = owned.use(await openNfsDriver({ stateDir: `${folder.path}/state`, nodeId: "node-a" }));
      const endpoint = `${folder.path}/csi.sock`;
      owned.use(await serveDriver({ endpoint, driver: opened.driver }));
      return {
        endpoint,
        parameters: { server: server.server, share: server.share },
        mountFlags: ["noatime", "noexec"],
      };
    },
    stop: () => owned.disposeAsync(),
  });
});
