import {
  chmodSync,
  closeSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { lsetxattr, lutimesNs, mknod } from "@tripod/linux";
import { seededRandom } from "@tripod/testing";

/** CAP_NET_RAW, permitted and effective, in the kernel's own form (struct vfs_cap_data, revision 2). */
export const netRaw = Buffer.from("0100000200200000000000000000000000000000", "hex");

const second = 1_000_000_000n;
const times = [
  0n,
  -1n,
  -86_400n * second,
  1_234_567_890_123_456_789n,
  2n ** 31n * second,
  4_102_444_800n * second + 1n,
];

/**
 * Fills the empty folder `dir` with a tree of `folders` x 100 plain files and one of everything else that a layer can hold: links of both
 * kinds, devices, sparse files, attributes, odd names, modes, owners and times. The same each time.
 */
export function makeOddTree(dir: string, folders: number): void {
  const random = seededRandom(4);
  const at = (name: string): string => join(dir, name);
  const put = (name: string, content: string | Buffer = name): string => {
    writeFileSync(at(name), content);
    return at(name);
  };
  for (let folder = 0; folder < folders; folder += 1) {
    mkdirSync(at(`plain/${folder}`), { recursive: true });
    for (let file = 0; file < 100; file += 1) {
      const name = put(`plain/${folder}/${file}`, Buffer.alloc(random.below(3000), `${folder} ${file} `));
      if (random.below(4) === 0) lchownSync(name, random.below(70_000), random.below(70_000));
      chmodSync(name, random.pick([0o644, 0o755, 0o600, 0o444]));
      lutimesNs(name, { modifiedAtNs: BigInt(random.below(2 ** 31)) * second });
    }
  }
  for (const name of ["odd", "odd/empty", "odd/closed", "odd/sticky", "names", "links/deep/er", "replaced"]) {
    mkdirSync(at(name), { recursive: true });
  }
  for (const [name, mode] of [
    ["odd/none", 0],
    ["odd/setuid", 0o4755],
    ["odd/setgid", 0o2755],
    ["odd/all", 0o7777],
  ] as const) {
    lchownSync(put(name), 1000, 2000);
    chmodSync(at(name), mode);
  }
  put("odd/zero", "");
  lchownSync(put("odd/far-owner"), 3_000_000, 4_000_000_000);
  for (const [index, time] of times.entries()) lutimesNs(put(`odd/time-${index}`), { modifiedAtNs: time });

  lsetxattr(put("odd/capability"), "security.capability", { value: netRaw });
  lsetxattr(put("odd/attributes"), "user.note", { value: Buffer.from("\u00e4\0b") });
  lsetxattr(at("odd/attributes"), "user.large", { value: Buffer.alloc(2000, "v") });
  lsetxattr(at("odd/attributes"), "trusted.note", { value: Buffer.from("root's") });
  lsetxattr(at("odd/sticky"), "user.folder", { value: Buffer.from("x") });

  const sparse = openSync(at("odd/sparse"), "wx");
  for (const offset of [0, 1_000_000, 5_000_000]) writeSync(sparse, Buffer.alloc(4096, "s"), 0, 4096, offset);
  ftruncateSync(sparse, 9_000_001);
  closeSync(sparse);

  mknod(at("odd/null"), { kind: "character", mode: 0o666, major: 1, minor: 3 });
  mknod(at("odd/loop"), { kind: "block", mode: 0o660, major: 7, minor: 300 });
  mknod(at("odd/pipe"), { kind: "fifo", mode: 0o622 });

  linkSync(put("links/one"), at("links/deep/two"));
  linkSync(at("links/one"), at("links/deep/er/three"));
  linkSync(at("odd/capability"), at("links/capability"));
  for (const [name, target] of [
    ["links/absolute", "/odd/zero"],
    ["links/dangling", "no/such/thing"],
    ["links/up", "../.."],
    ["links/self", "self"],
    ["links/long", "l/".repeat(300)],
  ] as const) {
    symlinkSync(target, at(name));
    lutimesNs(at(name), { modifiedAtNs: 1_000_000_000n * second });
  }
  lchownSync(at("links/dangling"), 7, 8);

  for (const name of [
    "n".repeat(255),
    "new\nline",
    "-rf",
    "spa ce ' \" \\ $x",
    "a.wh.b",
    "\u00fc",
    "u\u0308",
    "=",
    "%s",
  ]) {
    put(`names/${name}`);
  }
  writeFileSync(Buffer.concat([Buffer.from(at("names/")), Buffer.from([0x62, 0xff, 0xfe, 0x01])]), "bytes");
  const long = Array.from({ length: 5 }, (_, depth) => String(depth).repeat(200)).join("/");
  mkdirSync(at(`names/${long}`), { recursive: true });
  put(`names/${long}/file`);

  for (const name of ["file-to-folder", "file-to-link", "gone", "kept", "doomed"]) put(`replaced/${name}`);
  for (const name of ["folder-to-file", "folder-to-link", "remade", "gone-folder", "opaque", "opaque-later"]) {
    mkdirSync(at(`replaced/${name}/below`), { recursive: true });
    put(`replaced/${name}/below/file`);
    put(`replaced/${name}/old`);
  }
  // What is made in a folder changes its time, so these come last.
  chmodSync(at("odd/closed"), 0o500);
  chmodSync(at("odd/sticky"), 0o3777);
  lutimesNs(at("odd/empty"), { modifiedAtNs: 1_111_111_111_222_333_444n });
  for (const name of ["odd", "names", "links", "plain", ""])
    lutimesNs(at(name), { modifiedAtNs: 999_999_999n * second });
}
