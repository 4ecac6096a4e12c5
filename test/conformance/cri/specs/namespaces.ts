import assert from "node:assert/strict";
import { readlinkSync } from "node:fs";
import { NamespaceMode } from "@tripod/api/cri";
import { processesWith } from "../suite/host-processes.ts";
import { skip, topic } from "../suite/spec.ts";
import type { ContainerInit, Sandbox, World } from "../suite/world.ts";

const { POD, CONTAINER, NODE, TARGET } = NamespaceMode;
type Options = NonNullable<NonNullable<NonNullable<ContainerInit["linux"]>["securityContext"]>["namespaceOptions"]>;

const withNamespaces = (namespaceOptions: Options): ContainerInit => ({
  linux: { securityContext: { namespaceOptions } },
});
const sandboxWith = (world: World, namespaceOptions: Options): Promise<Sandbox> =>
  world.sandbox({ linux: { securityContext: { namespaceOptions } } });
const namespaceIn = (world: World, id: string, kind: string): Promise<string> =>
  world.exec(id, "readlink", `/proc/self/ns/${kind}`);
const ours = (kind: string): string => readlinkSync(`/proc/self/ns/${kind}`);

export const namespaces = topic("namespaces", {
  async "containers of a sandbox share network, IPC and hostname, and nothing else"(world) {
    const sandbox = await sandboxWith(world, { pid: CONTAINER });
    const change = withNamespaces({ pid: CONTAINER });
    const [first, second] = [await world.run(sandbox, change), await world.run(sandbox, change)];
    for (const kind of ["net", "ipc", "uts"])
      assert.equal(await namespaceIn(world, first, kind), await namespaceIn(world, second, kind), kind);
    for (const kind of ["pid", "mnt"])
      assert.notEqual(await namespaceIn(world, first, kind), await namespaceIn(world, second, kind), kind);
    for (const kind of ["net", "ipc", "uts", "pid", "mnt"])
      assert.notEqual(await namespaceIn(world, first, kind), ours(kind), `${kind} is the node's`);
  },
  async "sandboxes share no namespace"(world) {
    const [first, second] = [await world.run(await world.pod()), await world.run(await world.sandbox())];
    for (const kind of ["net", "ipc", "uts", "pid", "mnt"])
      assert.notEqual(await namespaceIn(world, first, kind), await namespaceIn(world, second, kind), kind);
  },
  async "shared memory of one container is seen by the others of its sandbox, and by no other"(world) {
    const sandbox = await world.sandbox();
    const [first, second] = [await world.run(sandbox), await world.run(sandbox)];
    await world.exec(first, "sh", "-c", "echo shared >/dev/shm/word");
    assert.equal(await world.exec(second, "cat", "/dev/shm/word"), "shared");
    await world.execFails(await world.run(await world.pod()), "cat", "/dev/shm/word");
  },
  async "pid CONTAINER: a container's program is the first process, and alone"(world) {
    const sandbox = await sandboxWith(world, { pid: CONTAINER });
    await world.run(sandbox, withNamespaces({ pid: CONTAINER }));
    const command = ["sh", "-c", "echo pid $$; ls -d /proc/[0-9]* | wc -l; exit 0"];
    const text = await world.output(sandbox, "", { command, ...withNamespaces({ pid: CONTAINER }) });
    assert.match(text, /^pid 1\n\s*[123]$/);
  },
  async "pid POD: containers of the sandbox see one another, and none is the first process"(world) {
    const sandbox = await sandboxWith(world, { pid: POD });
    const word = world.unique("seen");
    const command = ["sh", "-c", "echo $$; while :; do sleep 1000; done", word];
    const first = await world.run(sandbox, { command, ...withNamespaces({ pid: POD }) });
    const second = await world.run(sandbox, withNamespaces({ pid: POD }));
    assert.equal(await namespaceIn(world, first, "pid"), await namespaceIn(world, second, "pid"));
    assert.notEqual(await namespaceIn(world, first, "pid"), ours("pid"));
    assert.match(await world.exec(second, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'"), new RegExp(word));
    assert.notEqual((await world.log(first))[0]?.text, "1");
  },
  async "pid POD: an end of one container leaves the others running"(world) {
    const sandbox = await sandboxWith(world, { pid: POD });
    const change = withNamespaces({ pid: POD });
    const stays = await world.run(sandbox, change);
    const ends = await world.shell(sandbox, "exit 3", change);
    assert.equal((await world.exited(ends)).exitCode, 3);
    assert.equal(await world.exec(stays, "echo", "here"), "here");
  },
  async "pid NODE: a container sees the node's processes"(world) {
    const word = world.unique("seen");
    const sandbox = await sandboxWith(world, { pid: NODE });
    await world.run(await world.pod(), { command: ["sh", "-c", "while :; do sleep 1000; done", word] });
    if (processesWith(word).length === 0) skip("the runtime's processes cannot be seen from here");
    const id = await world.run(sandbox, withNamespaces({ pid: NODE }));
    assert.match(await world.exec(id, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'"), new RegExp(word));
  },
  async "pid TARGET: a container joins another one's processes"(world) {
    const sandbox = await sandboxWith(world, { pid: CONTAINER });
    const word = world.unique("seen");
    const command = ["sh", "-c", "while :; do sleep 1000; done", word];
    const target = await world.run(sandbox, { command, ...withNamespaces({ pid: CONTAINER }) });
    const id = await world.run(sandbox, withNamespaces({ pid: TARGET, targetId: target }));
    assert.equal(await namespaceIn(world, id, "pid"), await namespaceIn(world, target, "pid"));
    assert.match(await world.exec(id, "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline"), new RegExp(word));
  },
  async "ipc NODE is the node's, POD is not"(world) {
    const sandbox = await sandboxWith(world, { ipc: NODE });
    const id = await world.run(sandbox, withNamespaces({ ipc: NODE }));
    assert.equal(await namespaceIn(world, id, "ipc"), ours("ipc"));
    assert.notEqual(await namespaceIn(world, await world.run(await world.pod()), "ipc"), ours("ipc"));
  },
  async "network NODE is the node's: its links, no address of the sandbox's own"(world) {
    const sandbox = await sandboxWith(world, { network: NODE });
    const id = await world.run(sandbox, withNamespaces({ network: NODE }));
    assert.equal(await namespaceIn(world, id, "net"), ours("net"));
    assert.equal((await world.sandboxStatus(sandbox.id)).network?.ip ?? "", "");
  },
});
