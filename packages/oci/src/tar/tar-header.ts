import type { TarEntry, TarEntryType } from "./tar-entry.ts";

const flags: Readonly<Record<TarEntryType, string>> = {
  file: "0",
  link: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

const maxOctal7 = 0o7777777;
const maxOctal11 = 0o77777777777;

function block(entry: TarEntry, flag: string): Buffer {
  const header = Buffer.alloc(512);
  const text = (value: string, at: number, length: number): void => {
    header.write(value.slice(0, length), at, "latin1");
  };
  const octal = (value: number, at: number, length: number): void =>
    text(
      `${Math.max(0, Math.floor(value))
        .toString(8)
        .padStart(length - 1, "0")}\0`,
      at,
      length,
    );
  text(entry.name, 0, 100);
  octal(entry.mode, 100, 8);
  octal(entry.uid > maxOctal7 ? 0 : entry.uid, 108, 8);
  octal(entry.gid > maxOctal7 ? 0 : entry.gid, 116, 8);
  octal(entry.size > maxOctal11 ? 0 : entry.size, 124, 12);
  octal(entry.mtime, 136, 12);
  text("        ", 148, 8);
  text(flag, 156, 1);
  text(entry.linkName, 157, 100);
  text("ustar\x0000", 257, 8);
  octal(entry.deviceMajor, 329, 8);
  octal(entry.deviceMinor, 337, 8);
  const sum = header.reduce((total, byte) => total + byte, 0);
  text(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8);
  return header;
}

const pad = (size: number): Buffer => Buffer.alloc((512 - (size % 512)) % 512);

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** Nanoseconds as seconds with a fraction. */
function secondsOf(ns: bigint): string {
  const fraction = (ns < 0n ? -ns : ns) % 1_000_000_000n;
  return `${ns < 0n ? "-" : ""}${(ns < 0n ? -ns : ns) / 1_000_000_000n}.${String(fraction).padStart(9, "0")}`;
}

/** The header blocks of one member: ustar, with a PAX header before it for what ustar cannot say. Same entry, same bytes. */
export function encodeTarHeader(entry: TarEntry): Buffer {
  const records: Buffer[] = [];
  const bytes = (value: string): Buffer => Buffer.from(value, "latin1");
  if (entry.name.length > 100) records.push(paxRecord("path", bytes(entry.name)));
  if (entry.linkName.length > 100) records.push(paxRecord("linkpath", bytes(entry.linkName)));
  if (entry.size > maxOctal11) records.push(paxRecord("size", bytes(String(entry.size))));
  if (entry.uid > maxOctal7) records.push(paxRecord("uid", bytes(String(entry.uid))));
  if (entry.gid > maxOctal7) records.push(paxRecord("gid", bytes(String(entry.gid))));
  if (entry.mtimeNs !== undefined) records.push(paxRecord("mtime", bytes(secondsOf(entry.mtimeNs))));
  else if (entry.mtime < 0) records.push(paxRecord("mtime", bytes(String(Math.floor(entry.mtime)))));
  for (const [name, value] of [...entry.xattrs].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    records.push(paxRecord(`SCHILY.xattr.${name}`, value));
  }
  const main = block(entry, flags[entry.type]);
  if (records.length === 0) return main;
  const body = Buffer.concat(records);
  const extension = block(
    {
      ...entry,
      name: "././@PaxHeader",
      linkName: "",
      mode: 0o644,
      uid: 0,
      gid: 0,
      size: body.length,
      mtime: 0,
      deviceMajor: 0,
      deviceMinor: 0,
    },
    "x",
  );
  return Buffer.concat([extension, body, pad(body.length), main]);
}

/** What fills a member of `size` bytes up to whole blocks. */
export const tarPadding = pad;

/** The end mark: two empty blocks. */
export const tarEnd = (): Buffer => Buffer.alloc(1024);

/** An entry with what is usual: a file, mode 0644, root's, of 1970. */
export function plainEntry(name: string, size: number, more: Partial<TarEntry> = {}): TarEntry {
  return {
    name: Buffer.from(name).toString("latin1"),
    type: "file",
    linkName: "",
    mode: 0o644,
    uid: 0,
    gid: 0,
    size,
    mtime: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map(),
    ...more,
  };
}
