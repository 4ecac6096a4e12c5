/** Where the program's code begins in its file and, above `base`, in memory: after an ELF header and one program header. */
const codeOffset = 64 + 56;
const base = 0x400000n;

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value | 0);
  return bytes;
};

/** mov eax, number; the arguments into rdi, rsi, rdx, r10; syscall; exit(result < 0 ? -result : 0). */
function x64Code(number: number, args: readonly number[]): Buffer {
  const load = [
    [0x48, 0xc7, 0xc7],
    [0x48, 0xc7, 0xc6],
    [0x48, 0xc7, 0xc2],
    [0x49, 0xc7, 0xc2],
  ];
  return Buffer.concat([
    Buffer.from([0xb8]),
    int32(number),
    ...load.map((opcode, index) => Buffer.concat([Buffer.from(opcode), int32(args[index] ?? 0)])),
    Buffer.from([0x0f, 0x05, 0x31, 0xff, 0x85, 0xc0, 0x79, 0x04, 0x89, 0xc7, 0xf7, 0xdf, 0xb8]),
    int32(60),
    Buffer.from([0x0f, 0x05]),
  ]);
}

/** The same for 64-bit ARM: the number in x8, the arguments in x0 to x3. */
function arm64Code(number: number, args: readonly number[]): Buffer {
  const move = (register: number, value: number): number[] =>
    [0, 1, 2, 3].map((part) => {
      const bits = Number((BigInt.asUintN(64, BigInt(value)) >> BigInt(16 * part)) & 0xffffn);
      return ((part === 0 ? 0xd2800000 : 0xf2800000) | (part << 21) | (bits << 5) | register) >>> 0;
    });
  const call = 0xd4000001;
  const words = [
    ...move(8, number),
    ...[0, 1, 2, 3].flatMap((register) => move(register, args[register] ?? 0)),
    call,
    0xcb0003e1, // neg x1, x0
    0xf100001f, // cmp x0, #0
    0x9a81a3e0, // csel x0, xzr, x1, ge
    ...move(8, 93),
    call,
  ];
  const code = Buffer.alloc(words.length * 4);
  for (const [index, word] of words.entries()) code.writeUInt32LE(word, index * 4);
  return code;
}

/**
 * A whole executable (ELF, no libraries) that makes one system call and ends with its errno, 0 when it succeeded: so that what a filter
 * lets through can be seen without a compiler.
 */
export function systemCallProgram(number: number, args: readonly number[] = []): Buffer {
  const arm = process.arch === "arm64";
  const code = arm ? arm64Code(number, args) : x64Code(number, args);
  const header = Buffer.alloc(codeOffset);
  header.write("\x7fELF", 0, "latin1");
  header.set([2, 1, 1], 4); // 64 bits, little-endian, version 1
  header.writeUInt16LE(2, 16); // ET_EXEC
  header.writeUInt16LE(arm ? 183 : 62, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(base + BigInt(codeOffset), 24); // entry
  header.writeBigUInt64LE(64n, 32); // program headers
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  header.writeUInt32LE(1, 64); // PT_LOAD
  header.writeUInt32LE(5, 68); // readable, executable
  header.writeBigUInt64LE(base, 80);
  header.writeBigUInt64LE(base, 88);
  header.writeBigUInt64LE(BigInt(codeOffset + code.length), 96);
  header.writeBigUInt64LE(BigInt(codeOffset + code.length), 104);
  header.writeBigUInt64LE(0x1000n, 112);
  return Buffer.concat([header, code]);
}
