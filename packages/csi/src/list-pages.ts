import { TripodError } from "@tripod/base";

const pageSize = 1000;
const mostPages = 1000;

/** What a driver lists, page by page. Throws "corrupt" when there is no end to it. */
export async function* listPages<Page extends { readonly nextToken: string }>(
  ask: (from: { readonly maxEntries: number; readonly startingToken: string }) => Promise<Page>,
): AsyncGenerator<Page> {
  let startingToken = "";
  for (let pages = 0; pages < mostPages; pages += 1) {
    const page = await ask({ maxEntries: pageSize, startingToken });
    yield page;
    startingToken = page.nextToken;
    if (startingToken === "") return;
  }
  throw new TripodError("corrupt", `the driver's list does not end after ${mostPages} pages`);
}
