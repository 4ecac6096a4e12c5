import * as v from "valibot";
import { between, oneOf, uint32, uint64 } from "./spec-values.ts";

const action = oneOf([
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_LOG",
  "SCMP_ACT_NOTIFY",
]);

const returnsErrno: ReadonlySet<string> = new Set(["SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"]);

/** `linux.seccomp` of config.json. Specification: config-linux.md, "Seccomp". */
export const seccompSchema = v.pipe(
  v.object({
    defaultAction: action,
    defaultErrnoRet: v.exactOptional(uint32),
    architectures: v.exactOptional(
      v.array(
        oneOf([
          "SCMP_ARCH_X86",
          "SCMP_ARCH_X86_64",
          "SCMP_ARCH_X32",
          "SCMP_ARCH_ARM",
          "SCMP_ARCH_AARCH64",
          "SCMP_ARCH_LOONGARCH64",
          "SCMP_ARCH_M68K",
          "SCMP_ARCH_MIPS",
          "SCMP_ARCH_MIPS64",
          "SCMP_ARCH_MIPS64N32",
          "SCMP_ARCH_MIPSEL",
          "SCMP_ARCH_MIPSEL64",
          "SCMP_ARCH_MIPSEL64N32",
          "SCMP_ARCH_PPC",
          "SCMP_ARCH_PPC64",
          "SCMP_ARCH_PPC64LE",
          "SCMP_ARCH_S390",
          "SCMP_ARCH_S390X",
          "SCMP_ARCH_SH",
          "SCMP_ARCH_SHEB",
          "SCMP_ARCH_PARISC",
          "SCMP_ARCH_PARISC64",
          "SCMP_ARCH_RISCV64",
        ]),
      ),
    ),
    flags: v.exactOptional(
      v.array(
        oneOf([
          "SECCOMP_FILTER_FLAG_TSYNC",
          "SECCOMP_FILTER_FLAG_LOG",
          "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
          "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        ]),
      ),
    ),
    listenerPath: v.exactOptional(v.string()),
    listenerMetadata: v.exactOptional(v.string()),
    syscalls: v.exactOptional(
      v.array(
        v.pipe(
          v.object({
            names: v.pipe(v.array(v.string()), v.nonEmpty("must name a system call")),
            action,
            errnoRet: v.exactOptional(uint32),
            args: v.exactOptional(
              v.array(
                v.object({
                  // A system call has six arguments; the schema asks for 32 bits.
                  index: between(0, 5),
                  value: uint64,
                  valueTwo: v.exactOptional(uint64),
                  op: oneOf([
                    "SCMP_CMP_NE",
                    "SCMP_CMP_LT",
                    "SCMP_CMP_LE",
                    "SCMP_CMP_EQ",
                    "SCMP_CMP_GE",
                    "SCMP_CMP_GT",
                    "SCMP_CMP_MASKED_EQ",
                  ]),
                }),
              ),
            ),
          }),
          v.check(
            ({ action: does, errnoRet }) => errnoRet === undefined || returnsErrno.has(does),
            "has an errnoRet, but its action returns none",
          ),
        ),
      ),
    ),
  }),
  v.check(
    ({ defaultAction, defaultErrnoRet }) => defaultErrnoRet === undefined || returnsErrno.has(defaultAction),
    "has a defaultErrnoRet, but its defaultAction returns none",
  ),
  v.check(
    ({ listenerPath, listenerMetadata }) => listenerMetadata === undefined || listenerPath !== undefined,
    "has listenerMetadata without a listenerPath",
  ),
);
