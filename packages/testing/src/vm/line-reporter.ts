// A reporter of node:test for a machine with nothing but a serial line: an object of JSON a line. Runs in the guest, so it imports nothing.
import type { TestEvent } from "node:test/reporters";

const messageOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const causes = error.cause instanceof AggregateError ? [error.cause, ...error.cause.errors] : [error.cause];
  const cause = causes.map((each) => (each instanceof Error ? `\n${each.stack ?? each.message}` : "")).join("");
  // Of a file whose process was ended, rather than ended itself.
  const signal = "signal" in error && typeof error.signal === "string" ? ` by ${error.signal}` : "";
  return `${error.message}${signal}${cause}`;
};

export default async function* lineReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  /** What each file has said lately: all that is known of one that ends without a test. */
  const said = new Map<string, string>();
  for await (const event of source) {
    if (event.type === "test:stderr") {
      const { file, message } = event.data;
      said.set(file, `${said.get(file) ?? ""}${message}`.slice(-2000));
    }
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    const { name, file, details, skip } = event.data;
    // A suite is told by its tests.
    if (details.type === "suite" && event.type === "test:pass") continue;
    const outcome = event.type === "test:fail" ? "failed" : skip === undefined ? "passed" : "skipped";
    const words = name === file || file?.endsWith(`/${name}`) === true ? `\n${said.get(file ?? "") ?? ""}` : "";
    const why =
      event.type === "test:fail"
        ? `${messageOf(event.data.details.error)}${words}`
        : typeof skip === "string"
          ? skip
          : "";
    const durationMs = Math.round(details.duration_ms);
    yield `${JSON.stringify({ name, outcome, durationMs, why: why.slice(0, 3000) })}\n`;
  }
}
