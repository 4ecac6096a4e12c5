import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { skip, topic } from "../suite/spec.ts";
import { refused } from "../suite/world.ts";

export const devices = topic("devices", {
  async "a device of the node is there, under the name that was asked for"(world) {
    const devices = [{ hostPath: "/dev/zero", containerPath: "/dev/of-host", permissions: "rwm" }];
    const id = await world.run(await world.pod(), { devices });
    assert.equal(await world.exec(id, "sh", "-c", "head -c 3 /dev/of-host | wc -c"), "3");
  },
  async "a device may be read only as far as its permissions go"(world) {
    const hostPath = ["/dev/fuse", "/dev/net/tun", "/dev/loop-control"].find((path) => existsSync(path));
    if (hostPath === undefined) skip("this machine has neither /dev/fuse nor /dev/net/tun nor /dev/loop-control");
    const devices = [{ hostPath, containerPath: "/dev/of-host", permissions: "r" }];
    const id = await world.run(await world.pod(), { devices });
    await world.exec(id, "sh", "-c", "exec 3</dev/of-host");
    assert.match(await world.execFails(id, "sh", "-c", "exec 3>/dev/of-host"), /Operation not permitted/);
  },
  async "a device that was not asked for cannot be opened even with a node made for it"(world) {
    const id = await world.run(await world.pod());
    await world.exec(id, "mknod", "/dev/made", "c", "1", "11");
    assert.match(await world.execFails(id, "sh", "-c", "exec 3</dev/made"), /Operation not permitted/);
  },
  async "a device that does not exist is refused"(world) {
    const devices = [{ hostPath: "/dev/there-is-none", containerPath: "/dev/x", permissions: "rwm" }];
    await refused(world.run(await world.pod(), { devices }));
  },
  async "a CDI device that nobody has described is refused"(world) {
    const CDIDevices = [{ name: "example.com/there-is=none" }];
    const error = await refused(world.run(await world.pod(), { CDIDevices }));
    assert.match(error.message, /example\.com\/there-is/);
  },
});
