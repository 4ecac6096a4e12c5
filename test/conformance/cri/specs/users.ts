import assert from "node:assert/strict";
import { SupplementalGroupsPolicy } from "@tripod/api/cri";
import { notImplemented, topic } from "../suite/spec.ts";
import { refused, type World } from "../suite/world.ts";

const value = (number: number) => ({ value: BigInt(number) });
const groupsOf = async (world: World, id: string): Promise<string[]> =>
  (await world.exec(id, "sh", "-c", "grep Groups: /proc/1/status")).split(/\s+/).slice(1).toSorted();
const idOf = (world: World, id: string): Promise<string> => world.exec(id, "sh", "-c", "echo $(id -u):$(id -g)");

async function needPolicy(world: World): Promise<void> {
  const { features } = await world.runtime.status({});
  if (features?.supplementalGroupsPolicy !== true) notImplemented("Status has no feature supplemental_groups_policy");
}

export const users = topic("users and groups", {
  async "a container runs as root unless told otherwise"(world) {
    assert.equal(await idOf(world, await world.run(await world.pod())), "0:0");
  },
  async "run_as_user is the uid"(world) {
    const id = await world.secured(await world.pod(), { runAsUser: value(1001) });
    assert.equal(await world.exec(id, "id", "-u"), "1001");
  },
  async "run_as_username is looked up in the image, with its group"(world) {
    const id = await world.secured(await world.pod(), { runAsUsername: "www" });
    assert.equal(await idOf(world, id), "80:80");
  },
  async "run_as_username that the image does not have is refused"(world) {
    await refused(world.secured(await world.pod(), { runAsUsername: "nobody-has-this-name" }));
  },
  async "run_as_group is the gid"(world) {
    const id = await world.secured(await world.pod(), { runAsUser: value(1001), runAsGroup: value(1002) });
    assert.equal(await idOf(world, id), "1001:1002");
  },
  async "run_as_group without a user is refused"(world) {
    await refused(world.secured(await world.pod(), { runAsGroup: value(1002) }));
  },
  async "the image's user is used when the request names none"(world) {
    for (const [image, expected] of [
      ["user-uid:1", "1002:0"],
      ["user-name:1", "80:80"],
      ["user-uid-group:1", "1003:1004"],
    ] as const) {
      const ref = await world.imageRef(image);
      const id = await world.run(await world.pod(), { image: { image: ref } });
      assert.equal(await idOf(world, id), expected, image);
    }
  },
  async "supplemental groups are added, for the program and for commands in the container"(world) {
    const id = await world.secured(await world.pod(), { supplementalGroups: [1234n, 5678n] });
    const [program, command] = [await groupsOf(world, id), (await world.exec(id, "id", "-G")).split(" ")];
    for (const group of ["1234", "5678"]) {
      assert.ok(program.includes(group), `the program has ${program.join(" ")}`);
      assert.ok(command.includes(group), `the command has ${command.join(" ")}`);
    }
  },
  async "policy Merge adds the groups that the image gives the user"(world) {
    const ref = await world.imageRef("member:1");
    const securityContext = { runAsUser: value(1000), supplementalGroups: [1234n] };
    const id = await world.run(await world.pod(), { image: { image: ref }, linux: { securityContext } });
    assert.deepEqual((await world.exec(id, "id", "-G")).split(" ").toSorted(), ["1000", "1234", "50000"]);
  },
  async "policy Strict adds only the groups of the request"(world) {
    await needPolicy(world);
    const ref = await world.imageRef("member:1");
    const supplementalGroupsPolicy = SupplementalGroupsPolicy.Strict;
    const securityContext = { runAsUser: value(1000), supplementalGroups: [1234n], supplementalGroupsPolicy };
    const id = await world.run(await world.pod(), { image: { image: ref }, linux: { securityContext } });
    assert.deepEqual((await world.exec(id, "id", "-G")).split(" ").toSorted(), ["1000", "1234"]);
  },
  async "the status tells who the container runs as"(world) {
    await needPolicy(world);
    const ref = await world.imageRef("member:1");
    const securityContext = { runAsUser: value(1000), supplementalGroups: [1234n] };
    const id = await world.run(await world.pod(), { image: { image: ref }, linux: { securityContext } });
    const user = (await world.status(id)).user?.linux;
    assert.deepEqual([user?.uid, user?.gid], [1000n, 1000n]);
    assert.deepEqual(
      user?.supplementalGroups.map(Number).toSorted((a, b) => a - b),
      [1000, 1234, 50000],
    );
  },
});
