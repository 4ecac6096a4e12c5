// One end of a TCP connection, for cni-traffic.ts, which starts it in a network namespace:
//   tcp-program.ts serve                  prints its port; swallows what begins with "s", sends back what begins with "e"
//   tcp-program.ts send HOST PORT MS      sends for so long, prints bytes per second as the server received them
//   tcp-program.ts echo HOST PORT COUNT   sends a byte and waits for it, so many times; prints the median in microseconds
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { percentile } from "./statistics.ts";

const [, , verb, host = "", port = "", amount = ""] = process.argv;
const chunk = Buffer.alloc(256 * 1024, "s");

function serve(): void {
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    let received = 0;
    socket.once("data", (head) => {
      if (head[0] === chunk[0]) {
        received += head.length;
        socket.on("data", (more) => void (received += more.length));
        socket.on("end", () => socket.end(String(received)));
      } else {
        socket.write(head);
        socket.pipe(socket);
      }
    });
    socket.on("error", () => socket.destroy()); // the client says what went wrong
  });
  server.listen(0, () => console.log((server.address() as AddressInfo).port)); // a TCP server's address is never a path
}

async function connected(): Promise<Socket> {
  const socket = connect({ host, port: Number(port), noDelay: true });
  await once(socket, "connect");
  return socket;
}

async function send(): Promise<void> {
  const socket = await connected();
  const startedMs = performance.now();
  while (performance.now() - startedMs < Number(amount)) if (!socket.write(chunk)) await once(socket, "drain");
  socket.end();
  const [answer] = await once(socket, "data");
  console.log(Number(String(answer)) / ((performance.now() - startedMs) / 1000));
}

async function echo(): Promise<void> {
  const socket = await connected();
  const samples: number[] = [];
  for (let number = 0; number < Number(amount); number += 1) {
    const startedMs = performance.now();
    socket.write("e");
    await once(socket, "data");
    samples.push((performance.now() - startedMs) * 1000);
  }
  socket.end();
  console.log(percentile(samples, 50));
}

if (verb === "serve") serve();
else await (verb === "send" ? send() : echo());
