import { constants } from "node:os";
import { Signal } from "@tripod/api/cri";

/** Real-time signals count from here to 64 (signal(7); 32 and 33 belong to the C library). */
const SIGRTMIN = 34;
const SIGRTMAX = 64;
const numbers: Readonly<Record<string, number>> = constants.signals;

/** The number of "TERM", "SIGTERM", "15", "RTMIN+3"; undefined for what is no signal. */
export function signalNumber(text: string): number | undefined {
  if (/^\d{1,2}$/.test(text)) {
    const number = Number(text);
    return number >= 1 && number <= SIGRTMAX ? number : undefined;
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realTime !== null) {
    const [, from, sign, offset = "0"] = realTime;
    const number = (from === "MIN" ? SIGRTMIN : SIGRTMAX) + (sign === "-" ? -1 : 1) * Number(offset);
    return number >= SIGRTMIN && number <= SIGRTMAX ? number : undefined;
  }
  if (name === "CLD") return numbers.SIGCHLD;
  return numbers[`SIG${name}`];
}

/** "RTMINPLUS3" is how the protocol spells RTMIN+3. */
const enumText = (signal: Signal): string =>
  (Object.entries(Signal).find(([, value]) => value === signal)?.[0] ?? "").replace("PLUS", "+").replace("MINUS", "-");

/** The signal that asks a container to end: the request's, else the image's, else SIGTERM. */
export function stopSignalOf(asked: Signal, ofImage: string | undefined): number {
  const fromRequest = asked === Signal.RUNTIME_DEFAULT ? undefined : signalNumber(enumText(asked));
  return fromRequest ?? (ofImage === undefined ? undefined : signalNumber(ofImage)) ?? numbers.SIGTERM ?? 15;
}

/** The protocol's name of a signal number; RUNTIME_DEFAULT for one that it has no name for. */
export function protocolSignal(number: number): Signal {
  const found = Object.entries(Signal).find(
    ([name, value]) => value !== Signal.RUNTIME_DEFAULT && signalNumber(enumText(value)) === number && name !== "",
  );
  return found?.[1] ?? Signal.RUNTIME_DEFAULT;
}
