import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { NamespaceMode } from "@tripod/api/cri";
import { notImplemented, topic } from "../suite/spec.ts";
import { refused, type World } from "../suite/world.ts";

const { POD, CONTAINER, NODE, TARGET } = NamespaceMode;
const mapping = { containerId: 0, hostId: 100_000, length: 65_536 };
const mapped = { mode: POD, uids: [mapping], gids: [mapping] };
const linuxWith = (usernsOptions: object) => ({ securityContext: { namespaceOptions: { usernsOptions } } });

async function needUserNamespaces(world: World): Promise<void> {
  const { runtimeHandlers } = await world.runtime.status({});
  const handler = runtimeHandlers.find(({ name }) => name === (world.session.target.handler ?? ""));
  if (handler?.features?.userNamespaces !== true) notImplemented("the handler has no feature user_namespaces");
}

export const userNamespaces = topic("user namespaces", {
  async "POD: a container's ids are mapped as asked, its root is root inside and nobody of note outside"(world) {
    await needUserNamespaces(world);
    const linux = linuxWith(mapped);
    const id = await world.run(await world.sandbox({ linux }), { linux });
    for (const map of ["uid_map", "gid_map"])
      assert.deepEqual((await world.exec(id, "cat", `/proc/self/${map}`)).split(/\s+/), ["0", "100000", "65536"]);
    assert.equal(await world.exec(id, "id", "-u"), "0");
    await world.exec(id, "touch", "/root/written");
  },
  async "POD: containers of the sandbox share the user namespace"(world) {
    await needUserNamespaces(world);
    const linux = linuxWith(mapped);
    const sandbox = await world.sandbox({ linux });
    const ns = async () => world.exec(await world.run(sandbox, { linux }), "readlink", "/proc/self/ns/user");
    assert.equal(await ns(), await ns());
  },
  async "POD: what a container writes into an id-mapped mount belongs to the id of the node"(world) {
    await needUserNamespaces(world);
    const linux = linuxWith(mapped);
    const hostPath = world.folder();
    const mounts = [{ hostPath, containerPath: "/mnt", uidMappings: [mapping], gidMappings: [mapping] }];
    const id = await world.run(await world.sandbox({ linux }), { linux, mounts });
    await world.exec(id, "touch", "/mnt/file");
    assert.equal(statSync(join(hostPath, "file")).uid, 0);
  },
  async "NODE: a container's ids are the node's"(world) {
    const linux = linuxWith({ mode: NODE });
    const id = await world.run(await world.sandbox({ linux }), { linux });
    assert.deepEqual((await world.exec(id, "cat", "/proc/self/uid_map")).split(/\s+/), ["0", "0", "4294967295"]);
  },
  async "more than one mapping is refused"(world) {
    await needUserNamespaces(world);
    const both = [mapping, { containerId: 70_000, hostId: 300_000, length: 10 }];
    await refused(world.sandbox({ linux: linuxWith({ mode: POD, uids: both, gids: both }) }));
  },
  async "a mapping without the container's root is refused"(world) {
    await needUserNamespaces(world);
    const uids = [{ ...mapping, containerId: 1 }];
    await refused(world.sandbox({ linux: linuxWith({ mode: POD, uids, gids: uids }) }));
  },
  async "modes CONTAINER and TARGET are refused"(world) {
    await needUserNamespaces(world);
    for (const mode of [CONTAINER, TARGET]) await refused(world.sandbox({ linux: linuxWith({ mode }) }));
  },
});
