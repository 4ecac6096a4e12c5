import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface CuttingProxy extends AsyncDisposable {
  /** "127.0.0.1:PORT". */
  readonly host: string;
  /** Connections that were cut. */
  readonly cuts: number;
}

/** Passes TCP connections on to `target`, but cuts each that has sent more than `limitBytes` up, the first `times` times. For tests. */
export async function cuttingProxy(
  target: string,
  { limitBytes, times }: { readonly limitBytes: number; readonly times: number },
): Promise<CuttingProxy> {
  const [host = "", port = ""] = target.split(":");
  const open = new Set<Socket>();
  let cuts = 0;
  const server = createServer((down) => {
    const up = connect(Number(port), host);
    let sent = 0;
    const end = (): void => {
      down.destroy();
      up.destroy();
    };
    for (const socket of [down, up]) {
      open.add(socket);
      socket.on("error", end).on("close", () => {
        open.delete(socket);
        end();
      });
    }
    up.pipe(down);
    down.on("data", (piece: Buffer) => {
      sent += piece.length;
      if (sent > limitBytes && cuts < times) {
        cuts += 1;
        // What went before is let through, so that the registry has it.
        up.end();
        down.destroy();
      } else if (!up.write(piece)) {
        down.pause();
        up.once("drain", () => down.resume());
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`, // a TCP server's address
    get cuts() {
      return cuts;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
